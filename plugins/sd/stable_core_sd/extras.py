"""Work on a finished picture: enlarging it with one or two upscalers, restoring its faces. The models are elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from stable_core.sdk import Progress
from stable_core_sd.faces.files import check_files
from stable_core_sd.faces.restoration import NO_FACE, restore_faces
from stable_core_sd.infotext import write_infotext
from stable_core_sd.upscale_models import NONE, upscaler

if TYPE_CHECKING:
    from stable_core_sd.params_upscale import UpscaleParams


class FaceStep(NamedTuple):
    """One network that restores faces: its name, how much of its faces is seen, and its weight."""

    name: str
    visibility: float
    weight: float = 0


def upscale_picture(image: Image.Image, params: UpscaleParams, progress: Progress) -> Image.Image:
    """Return the picture enlarged, then its faces restored as the params say, with what was done in its info.

    Source: A1111 1.10, the extras tab.

    Raises:
        InvalidParams: an upscaler is unknown, or a model that is asked for is not there or cannot be used.
    """
    steps = face_steps(params)
    for step in steps:
        check_files(step.name)
    has_second = params.second_upscaler != NONE and params.second_visibility > 0
    enlarging = 100 * (1 + has_second)
    percents = enlarging + 100 * len(steps)
    enlarged = enlarge_picture(image, params, lambda start: _counted(progress, start, percents))
    made, notes = enlarged.convert("RGB"), []
    for index, step in enumerate(steps):
        say = partial(progress, enlarging + 100 * index, percents)
        restored = restore_faces(made, step.name, step.weight, say)
        notes += [] if restored else [NO_FACE]
        made = Image.blend(made, restored or made, step.visibility)
    if enlarged.mode == "RGBA":
        made.putalpha(enlarged.getchannel("A"))
    progress(percents, percents)
    made.info["parameters"] = write_infotext("", "", pairs(params))
    if notes:
        made.info["notes"] = list(dict.fromkeys(notes))
    return made


def face_steps(params: UpscaleParams) -> list[FaceStep]:
    """Return the networks that restore faces, in A1111's order; those that would not be seen are left out."""
    knobs = params.faces
    codeformer = FaceStep("CodeFormer", knobs.codeformer_visibility, knobs.codeformer_weight)
    return [step for step in (FaceStep("GFPGAN", knobs.gfpgan_visibility), codeformer) if step.visibility > 0]


def enlarge_picture(
    image: Image.Image, params: UpscaleParams, report_from: Callable[[int], Callable[[int, int, str], None]]
) -> Image.Image:
    """Return the picture enlarged, cut to the size asked for, in mode RGB or RGBA.

    Args:
        report_from: returns what reports an upscaler as the hundred steps from a number.
    """
    opaque = image.convert("RGB")
    factor = scale_of(opaque.size, params)
    made = enlarge_with(params.upscaler, opaque, factor, params, report_from(0))
    if params.second_upscaler != NONE and params.second_visibility > 0:
        second = enlarge_with(params.second_upscaler, opaque, factor, params, report_from(100))
        made = Image.blend(made, second.resize(made.size, Image.Resampling.LANCZOS), params.second_visibility)
    if "A" in image.getbands() or "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
        made.putalpha(alpha.resize(made.size, Image.Resampling.LANCZOS))
    if params.width and params.height and params.crop:
        made = centre_crop(made, (params.width, params.height))
    return made


def scale_of(size: tuple[int, int], params: UpscaleParams) -> float:
    """Return how many times larger a picture of `size` gets."""
    factor = params.scale
    if params.width or params.height:
        factor = max(params.width / size[0], params.height / size[1])
    longer = max(size) * factor
    return factor * params.max_side / longer if params.max_side and longer > params.max_side else factor


def enlarge_with(
    name: str, image: Image.Image, factor: float, params: UpscaleParams, report: Callable[[int, int, str], None]
) -> Image.Image:
    """Return the picture enlarged by one upscaler; the tiles of a network are reported, or the steps of LDSR."""

    def on_tile(index: int, count: int) -> None:
        report(index, count, f"Upscaling with {name}")

    return upscaler(name, params.tile, params.tile_overlap, on_tile, params.ldsr_steps)(image, factor)


def _counted(progress: Progress, start: int, total: int) -> Callable[[int, int, str], None]:
    """Return what reports one upscaler as the hundred steps from `start`; a second turn of it changes nothing."""
    reached = start

    def report(index: int, count: int, message: str) -> None:
        nonlocal reached
        reached = max(reached, start + 100 * index // count)
        progress(reached, total, message)

    return report


def centre_crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the middle of a picture; where it is smaller than `size`, the rest is black or transparent."""
    left, top = image.width // 2 - size[0] // 2, image.height // 2 - size[1] // 2
    return image.crop((left, top, left + size[0], top + size[1]))


def pairs(params: UpscaleParams) -> dict[str, object]:
    """Return the generation data of a picture worked on, under A1111's names."""
    to_size = f"{params.width}x{params.height}" if params.width or params.height else None
    faces, is_enlarged = params.faces, params.upscaler != NONE
    return {
        "Postprocess upscale to": to_size if is_enlarged else None,
        "Postprocess upscale by": params.scale if is_enlarged and not to_size else None,
        "Postprocess crop to": to_size if params.crop and params.width and params.height else None,
        "Postprocess upscaler": params.upscaler if is_enlarged else None,
        "Postprocess upscaler 2": params.second_upscaler if params.second_visibility > 0 else None,
        "GFPGAN visibility": round(faces.gfpgan_visibility, 3) or None,
        "CodeFormer visibility": round(faces.codeformer_visibility, 3) or None,
        "CodeFormer weight": round(faces.codeformer_weight, 3) if faces.codeformer_visibility > 0 else None,
    }
