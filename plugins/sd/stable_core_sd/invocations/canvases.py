"""Canvases: a picture with more room at one side, and pieces pasted onto it. Sizes and masks are in outpainting."""

from __future__ import annotations

import PIL.Image

from stable_core.sdk import Image
from stable_core_sd.images.outpaint_noise import fill_with_noise
from stable_core_sd.invocations.drawing import tell
from stable_core_sd.invocations.outpainting import canvas_size, grown_size, new_area
from stable_core_sd.params_scripts import ContinueParams, PasteParams


def extend_canvas(picture: Image, params: ContinueParams) -> Image:
    """Return the picture on a larger canvas with noise like it where it is new, a little of the old area included."""
    size = canvas_size(picture.size, params.side, params.pixels)
    grown = grown_size(picture.size, params.side, params.pixels)
    canvas = PIL.Image.new("RGB", size)
    left, top = (params.pixels if params.side == side else 0 for side in ("left", "up"))
    canvas.paste(picture, (left, top))
    mask = new_area(size, grown, params.side, params.pixels + params.blur)
    return fill_with_noise(canvas, mask, params.falloff, params.color_variation)


def paste_piece(picture: Image, piece: Image, params: PasteParams) -> Image:
    """Return the picture with a piece on it, cut to the size that is kept."""
    pasted = picture.convert("RGB")
    pasted.paste(piece, (params.x, params.y))
    kept = pasted.crop((0, 0, params.width or pasted.width, params.height or pasted.height))
    return tell(kept, params.told, piece.size)
