"""Poor man's outpainting: a picture on a larger canvas whose new parts are drawn tile by tile. It draws nothing.

Source of the rules: A1111 1.10.
"""

from __future__ import annotations

from dataclasses import dataclass

import PIL.Image
from PIL import ImageDraw

from stable_core.sdk import Image
from stable_core.sdk.params import MAX_SEED
from stable_core_sd.images.sizes import tile_places, up_to
from stable_core_sd.invocations.outpainting import Side, Size, margins
from stable_core_sd.params import Img2ImgParams
from stable_core_sd.params_scripts import JoinTilesParams, PoorOutpaintParams, part_of, told_of

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Piece:
    """One tile of the canvas; without params it lies inside the old picture and stays as it is."""

    image: Image
    mask: Image
    latent_mask: Image
    run: Img2ImgParams | None


@dataclass(frozen=True)
class PlannedPieces:
    """All tiles, row by row, and how they are joined."""

    pieces: list[Piece]
    join: JoinTilesParams


def plan_poor_outpainting(picture: Image, prompt: str, params: PoorOutpaintParams) -> PlannedPieces:
    """Return the tiles of a picture on its larger canvas; they overlap by `pixels`, but at most by half of one.

    Raises:
        InvalidParams: no side was chosen.
    """
    grown = margins(picture.size, params)
    size = picture.width + grown["left"] + grown["right"], picture.height + grown["up"] + grown["down"]
    tile = params.width or up_to(picture.width, 8), params.height or up_to(picture.height, 8)
    overlap = min(params.pixels, min(tile) // 2)
    canvas = PIL.Image.new("RGB", size)
    canvas.paste(picture, (grown["left"], grown["up"]))
    mask, latent_mask = (_new_area(size, grown, inset) for inset in (2 * params.blur, params.blur // 2))
    inner = (grown["left"], grown["up"], size[0] - grown["right"], size[1] - grown["down"])
    softness = 2 * params.blur
    blurs = {"mask_blur_x": softness, "mask_blur_y": softness}
    inpaint = params.inpaint.model_copy(update={**blurs, "area": "Whole picture", "invert": False})
    changed = {"width": tile[0], "height": tile[1], "batch_size": 1, "batch_count": 1, "inpaint": inpaint}
    base = part_of(params, Img2ImgParams).model_copy(update=changed)
    columns, rows = (tile_places(length, side, overlap) for length, side in zip(size, tile, strict=True))
    pieces: list[Piece] = []
    seed = params.seed
    for box in ((x, y, x + tile[0], y + tile[1]) for y in rows for x in columns):
        run = None if _is_inside(box, inner) else base.model_copy(update={"seed": min(seed, MAX_SEED)})
        seed += run is not None
        pieces.append(Piece(canvas.crop(box), mask.crop(box), latent_mask.crop(box), run))
    told = told_of(prompt, base, from_image=True)
    join = JoinTilesParams(width=size[0], height=size[1], columns=columns, rows=rows, overlap=overlap, told=told)
    return PlannedPieces(pieces, join)


def _new_area(size: Size, grown: dict[Side, int], inset: int) -> Image:
    """Return a mask that is white outside of the old picture and `inset` pixels into it where it grows."""
    mask = PIL.Image.new("L", size, "white")
    insets = {side: pixels + inset if pixels else 0 for side, pixels in grown.items()}
    box = insets["left"], insets["up"], size[0] - insets["right"], size[1] - insets["down"]
    if box[2] >= box[0] and box[3] >= box[1]:
        ImageDraw.Draw(mask).rectangle(box, fill="black")
    return mask


def _is_inside(box: Box, inner: Box) -> bool:
    return box[0] >= inner[0] and box[1] >= inner[1] and box[2] <= inner[2] and box[3] <= inner[3]
