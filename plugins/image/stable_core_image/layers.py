"""Layers: one image over another with a mask, an opacity and a blend mode. It knows no params class."""

from __future__ import annotations

from typing import Literal

import PIL.Image
from PIL import ImageChops

from stable_core.sdk import Image

BlendMode = Literal[
    "normal", "multiply", "screen", "overlay", "soft_light", "hard_light", "darken", "lighten", "difference", "add"
]
BLENDS = {
    "multiply": ImageChops.multiply,
    "screen": ImageChops.screen,
    "overlay": ImageChops.overlay,
    "soft_light": ImageChops.soft_light,
    "hard_light": ImageChops.hard_light,
    "darken": ImageChops.darker,
    "lighten": ImageChops.lighter,
    "difference": ImageChops.difference,
    "add": ImageChops.add,
}


def mix(
    base: Image,
    overlay: Image,
    mask: Image | None,
    position: tuple[int, int],
    opacity: float,
    blend: BlendMode,
) -> Image:
    """Return the base with the overlay on it; RGBA if the base is.

    Args:
        mask: mode L, 255 where the overlay shows; stretched to the overlay's size.
        position: of the overlay's top left corner on the base, in pixels; may be negative.

    Source: W3C Compositing and Blending Level 1, https://www.w3.org/TR/compositing-1/#blending
    """
    result = base.convert("RGBA")
    x, y = position
    box = (max(0, x), max(0, y), min(base.width, x + overlay.width), min(base.height, y + overlay.height))
    if box[0] < box[2] and box[1] < box[3]:
        inner = (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
        below = result.crop(box)
        above = overlay.convert("RGBA").crop(inner)
        coverage = above.getchannel("A").point(lambda value: value * opacity)
        if mask is not None:
            coverage = ImageChops.multiply(coverage, mask.resize(overlay.size).crop(inner))
        layer = above.convert("RGB")
        if blend != "normal":
            blended = BLENDS[blend](below.convert("RGB"), layer)
            layer = PIL.Image.composite(blended, layer, below.getchannel("A"))  # nothing below, nothing to blend with
        layer.putalpha(coverage)
        below.alpha_composite(layer)
        result.paste(below, box)
    return result if base.mode == "RGBA" else result.convert("RGB")
