"""Pictures of the built-in model that show runs from pictures, large ones and tiles, for tests and the documentation.

python plugins/sd/tests/picture_runs.py docs/images/img2img.png
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from runs import box_mask, change, draw

CIRCLE, STAR = "a red circle on a blue background", "a yellow star on a blue background"
GREEN_STAR = "a yellow star on a green background"
SNOW = "a landscape with snow, trees and mountains"
DOTS = "four green circles on a white background"
MASK = box_mask((128, 128), (34, 34, 94, 94))
STRENGTHS = (0.2, 0.4, 0.6, 0.9)
GENTLE, USUAL = 2.0, 5.0
"""A guidance that asks little of a prompt, and the default; a low strength keeps shapes with both."""
SIDE, LINE = 96, 14


@cache
def drawn(prompt: str = CIRCLE, seed: int = 7, tiling: bool = False) -> Image.Image:
    """Return a picture from text."""
    return draw(prompt, checkpoint="nano", steps=16, seed=seed, tiling=tiling)[0]


@cache
def changed(strength: float, cfg_scale: float = GENTLE, color_correction: bool = False) -> Image.Image:
    """Return the circle changed towards a star on another background."""
    knobs = {"denoising_strength": strength, "cfg_scale": cfg_scale, "color_correction": color_correction}
    return from_circle(GREEN_STAR, **knobs)


@cache
def repainted(fill: str, area: str = "Whole picture") -> Image.Image:
    """Return the circle with a star painted over its middle."""
    knobs = {"fill": fill, "area": area, "mask_blur_x": 2, "mask_blur_y": 2}
    return from_circle(STAR, mask=MASK, denoising_strength=1.0, inpaint=knobs)


def from_circle(prompt: str, **knobs: Any) -> Image.Image:
    """Return a picture made from the circle."""
    return change(drawn(), prompt, checkpoint="nano", steps=16, **knobs)[0]


@cache
def enlarged(upscaler: str, strength: float) -> Image.Image:
    """Return the circle drawn again at twice the size."""
    hires = {"enabled": True, "upscaler": upscaler, "denoising_strength": strength}
    return draw(CIRCLE, checkpoint="nano", steps=16, seed=7, hires=hires)[0]


def rows() -> dict[str, list[Image.Image]]:
    """Return the rows of the sheet by what is written above them."""
    plain, tile = drawn(DOTS, 1), drawn(DOTS, 1, tiling=True)
    return {
        f"a circle, then a star on green at strengths {STRENGTHS}, guidance {GENTLE:g}": [
            drawn(),
            *(changed(one) for one in STRENGTHS),
        ],
        f"the same with guidance {USUAL:g}": [drawn(), *(changed(one, USUAL) for one in STRENGTHS)],
        "a mask, and under it a star: fill, original, latent noise, latent nothing": [
            MASK.convert("RGB"),
            *(repainted(fill) for fill in ("fill", "original", "latent noise", "latent nothing")),
        ],
        "hires fix to twice the size: Lanczos 0.3, 0.5; Latent 0.6": [
            enlarged("Lanczos", 0.3),
            enlarged("Lanczos", 0.5),
            enlarged("Latent", 0.6),
        ],
        "four of one picture, side by side; the same with tiling": [
            *(four_of(picture) for picture in (plain, tile)),
        ],
    }


def four_of(picture: Image.Image) -> Image.Image:
    """Return a picture four times, two by two."""
    sheet = Image.new("RGB", (2 * picture.width, 2 * picture.height))
    for index in range(4):
        sheet.paste(picture, (index % 2 * picture.width, index // 2 * picture.height))
    return sheet


def sheet() -> Image.Image:
    """Return all rows, each below its words; large pictures are shown larger."""
    shown = rows()
    heights = [LINE + 6 + max(side(picture) for picture in pictures) for pictures in shown.values()]
    made = Image.new("RGB", (5 * (SIDE + 4), sum(heights)), "white")
    pen, font, top = ImageDraw.Draw(made), ImageFont.load_default(11), 0
    for (words, pictures), height in zip(shown.items(), heights, strict=True):
        pen.text((2, top), words, "black", font)
        left = 2
        for picture in pictures:
            size = side(picture), side(picture)
            made.paste(picture.resize(size, Image.Resampling.LANCZOS), (left, top + LINE))
            left += size[0] + 4
        top += height
    return made


def side(picture: Image.Image) -> int:
    """Return how large a picture is shown."""
    return SIDE if picture.width <= 128 else 3 * SIDE // 2


if __name__ == "__main__":
    sheet().quantize(256, kmeans=2, dither=Image.Dither.NONE).save(Path(sys.argv[1]), optimize=True)
