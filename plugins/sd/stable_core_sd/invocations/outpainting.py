"""Outpainting side by side: the canvas, the masks and the window of each step. The noise is in images.outpaint_noise.

Source of the rules: A1111 1.10, outpainting mk2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import PIL.Image
from PIL import ImageDraw

from stable_core.sdk import Image, InvalidParams
from stable_core.sdk.params import MAX_SEED
from stable_core_sd.images.sizes import up_to
from stable_core_sd.params import Img2ImgParams
from stable_core_sd.params_scripts import (
    BoxParams,
    ContinueParams,
    OutpaintParams,
    PasteParams,
    PoorOutpaintParams,
    part_of,
    told_of,
)

Side = Literal["left", "right", "up", "down"]
Size = tuple[int, int]
UNIT = 64
"""The sides of what outpainting makes are multiples of this many pixels."""

MASK_SOFTNESS = 4
"""How much wider than its overlap the mask is blurred."""


@dataclass(frozen=True)
class Step:
    """One side: how the canvas grows, the piece of it that is drawn with which masks and params, and where it goes."""

    canvas: ContinueParams
    window: BoxParams
    mask: Image
    latent_mask: Image
    run: Img2ImgParams
    paste: PasteParams


def margins(size: Size, params: OutpaintParams | PoorOutpaintParams) -> dict[Side, int]:
    """Return by how many pixels each side grows, so that the picture's sides become multiples of 64.

    Raises:
        InvalidParams: no side was chosen.
    """
    sides: tuple[Side, ...] = ("left", "right", "up", "down")
    wanted = {side: params.pixels if getattr(params, side) else 0 for side in sides}
    if not any(wanted.values()):
        raise InvalidParams("No side is chosen.", "Set left, right, up or down.")
    grown: dict[Side, int] = {}
    opposite: tuple[tuple[Side, Side, int], ...] = (("left", "right", size[0]), ("up", "down", size[1]))
    for first, second, length in opposite:
        both = wanted[first] + wanted[second]
        more = up_to(length + both, UNIT) - length if both else 0
        grown[first] = wanted[first] * more // both if wanted[first] else 0
        grown[second] = more - grown[first] if wanted[second] else 0
    return {side: grown[side] for side in sides}


def plan_outpainting(size: Size, prompt: str, params: OutpaintParams) -> list[list[Step]]:
    """Return the steps for each picture, left, right, up and down in turn; each starts from the step before.

    Raises:
        InvalidParams: no side was chosen.
    """
    grown = margins(size, params)
    pictures = []
    for index in range(params.batch_size * params.batch_count):
        now, steps = size, []
        changed = {"width": params.width or size[0], "height": params.height or size[1]}
        seeded = params.model_copy(update={**changed, "seed": min(params.seed + index, MAX_SEED)})
        for side, pixels in grown.items():
            if pixels:
                step = _plan_step(now, side, pixels, prompt, seeded)
                steps.append(step)
                now = step.paste.width, step.paste.height
        pictures.append(steps)
    return pictures


def canvas_size(size: Size, side: Side, pixels: int) -> Size:
    """Return the size of the canvas while a side grows: multiples of 64, with something to spare."""
    wide, tall = grown_size(size, side, pixels)
    return up_to(wide, UNIT), up_to(tall, UNIT)


def grown_size(size: Size, side: Side, pixels: int) -> Size:
    """Return the size of a picture that grows by some pixels at one side."""
    is_across = side in ("left", "right")
    return size[0] + pixels * is_across, size[1] + pixels * (not is_across)


def _plan_step(size: Size, side: Side, pixels: int, prompt: str, params: OutpaintParams) -> Step:
    grown, canvas = grown_size(size, side, pixels), canvas_size(size, side, pixels)
    is_across = side in ("left", "right")
    wide = min(up_to(min(params.width, grown[0]), 8), canvas[0]) if is_across else canvas[0]
    tall = canvas[1] if is_across else min(up_to(min(params.height, grown[1]), 8), canvas[1])
    x = canvas[0] - wide if side == "right" else 0
    y = canvas[1] - tall if side == "down" else 0
    mask = new_area(canvas, grown, side, pixels + params.blur).crop((x, y, x + wide, y + tall))
    latent_mask = new_area((wide, tall), (wide, tall), side, pixels + 2 * params.blur)
    softness = min(MASK_SOFTNESS * params.blur, 64)
    blurs = {"mask_blur_x": softness if is_across else 0, "mask_blur_y": 0 if is_across else softness}
    inpaint = params.inpaint.model_copy(update={**blurs, "fill": "original", "area": "Whole picture", "invert": False})
    changed = {"width": wide, "height": tall, "batch_size": 1, "batch_count": 1, "inpaint": inpaint}
    run = part_of(params, Img2ImgParams).model_copy(update=changed)
    told = told_of(prompt, run, from_image=True)
    knobs = {"blur": params.blur, "falloff": params.falloff, "color_variation": params.color_variation}
    return Step(
        ContinueParams(side=side, pixels=pixels, **knobs),
        BoxParams(x=x, y=y, width=wide, height=tall),
        mask,
        latent_mask,
        run,
        PasteParams(x=x, y=y, width=grown[0], height=grown[1], told=told),
    )


def new_area(canvas: Size, grown: Size, side: Side, depth: int) -> Image:
    """Return a mask that is white `depth` pixels deep at one side, and where the canvas is larger than the picture.

    At the right and at the bottom the depth counts from the end of the canvas.
    """
    mask = PIL.Image.new("L", canvas, "white")
    kept = [0, 0, *grown]
    if side in ("left", "up"):
        kept[("left", "up").index(side)] = depth
    else:
        place = ("right", "down").index(side)
        kept[2 + place] = canvas[place] - depth
    if kept[2] >= kept[0] and kept[3] >= kept[1]:
        ImageDraw.Draw(mask).rectangle(tuple(kept), fill="black")
    return mask
