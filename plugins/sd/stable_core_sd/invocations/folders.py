"""Folders: which pictures of a folder are changed, with which masks and knobs, and the names of what comes out.

Source of the rules: A1111 1.10, img2img batch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import PIL.Image
from PIL import ImageOps

from stable_core.sdk import Image, InvalidParams
from stable_core_sd.file_names import NamedPicture, fill_pattern, sanitize
from stable_core_sd.images.sizes import up_to
from stable_core_sd.infotext_reader import read_infotext
from stable_core_sd.params import Img2ImgParams
from stable_core_sd.params_scripts import BatchFolderParams, BatchItemParams, part_of
from stable_core_sd.picture_files import texts_in, write_picture
from stable_core_sd.restoring import restore_run

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
MAX_SIDE = 4096
PLACES = {"Seed": "seed", "CFG scale": "cfg_scale", "Sampler": "sampler", "Steps": "steps", "Model": "checkpoint"}
"""The params that can be taken from the generation data of each picture."""


class Item(NamedTuple):
    """One picture of a folder, its mask if there are masks, and how it is changed."""

    picture: Path
    mask: Path | None
    params: BatchItemParams


def plan_folder(params: BatchFolderParams) -> list[Item]:
    """Return the pictures of the folder in the order of their names; those without their mask are left out.

    A single mask is that of all pictures; of several each belongs to the picture of the same name.

    Raises:
        InvalidParams: a folder is not there or has no pictures.
    """
    masks = pictures_in(params.mask_folder) if params.mask_folder else []
    by_stem = {mask.stem: mask for mask in masks}
    items = []
    for picture in pictures_in(params.folder):
        mask = masks[0] if len(masks) == 1 else by_stem.get(picture.stem)
        if mask is not None or not masks:
            knobs = part_of(params, BatchItemParams).model_copy(update={"basename": picture.stem})
            items.append(Item(picture, mask, knobs))
    if not items:
        raise InvalidParams("No picture has a mask.", "A mask has the name of its picture.")
    return items


def pictures_in(folder: str) -> list[Path]:
    """Return the picture files in a folder.

    Raises:
        InvalidParams: it is not there, or it has none.
    """
    path = Path(folder).expanduser()
    if not path.is_absolute() or not path.is_dir():
        raise InvalidParams(f"{folder!r} is no folder on the machine of the server.", "Give its full path.")
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise InvalidParams(f"{folder} has no pictures.", f"Pictures end in {', '.join(sorted(SUFFIXES))}.")
    return found


def open_picture(path: Path) -> Image:
    """Return a picture from a file, upright."""
    with PIL.Image.open(path) as picture:
        picture.load()
        return ImageOps.exif_transpose(picture)


def knobs_for(path: Path, picture: Image, prompt: str, params: BatchItemParams) -> tuple[str, Img2ImgParams]:
    """Return the prompt and params for one picture: its own size and, where asked for, its own generation data."""
    changed: dict[str, Any] = {}
    if params.scale_by:
        for name, length in (("width", picture.width), ("height", picture.height)):
            changed[name] = min(up_to(max(1, int(length * params.scale_by)), 8), MAX_SIDE)
    if params.take:
        infotext = texts_in(path.read_bytes())[0]
        pairs, restored = read_infotext(infotext, style_mode="Ignore"), restore_run(infotext)["params"]
        if "Prompt" in params.take:
            prompt = " ".join(filter(None, [prompt, pairs["Prompt"]]))
        if "Negative prompt" in params.take:
            both = [params.negative_prompt, pairs["Negative prompt"]]
            changed["negative_prompt"] = " ".join(filter(None, both))
        changed |= {PLACES[key]: restored[PLACES[key]] for key in params.take if PLACES.get(key) in restored}
    return prompt, part_of(params, Img2ImgParams).model_copy(update=changed)


def save_results(pictures: list[Image], params: BatchItemParams) -> None:
    """Write the results of one picture into the output folder under its name, numbered if there are several."""
    folder = Path(params.output_folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        infotext = picture.info.get("parameters", "")
        content, form = write_picture(picture, infotext, params.output_format)
        named = replace(
            _named(picture, infotext), basename=params.basename, batch_size=len(pictures), batch_index=index
        )
        name = sanitize(fill_pattern(params.output_names, named), underscores=False) or params.basename
        path = folder / f"{name}.{form.replace('jpeg', 'jpg')}"
        half_written = path.with_name(f"{path.name}.tmp")
        half_written.write_bytes(content)
        half_written.replace(path)


def _named(picture: Image, infotext: str) -> NamedPicture:
    """Return what a name can say of a picture, read from its generation data."""
    pairs = read_infotext(infotext, style_mode="Ignore")
    return NamedPicture(
        picture=picture,
        prompt=pairs["Prompt"],
        negative_prompt=pairs["Negative prompt"],
        seed=pairs.get("Seed"),
        steps=pairs.get("Steps", ""),
        cfg_scale=pairs.get("CFG scale", ""),
        sampler=pairs.get("Sampler", ""),
        scheduler=pairs["Schedule type"],
        model_hash=pairs.get("Model hash", ""),
        model_name=pairs.get("Model", ""),
        vae=pairs.get("VAE", ""),
        clip_skip=pairs["Clip skip"],
        denoising_strength=pairs.get("Denoising strength", ""),
    )
