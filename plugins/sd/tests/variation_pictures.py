"""Pictures of the built-in model between two seeds, for tests and for the documentation.

python plugins/sd/tests/variation_pictures.py docs/images/variations.png
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from PIL import Image

from stable_core.sdk import Progress, Text
from stable_core_sd.plugin import Txt2ImgParams, txt2img

PAIRS = [("a shape on a white background", 7, 8), ("a shape on a white background", 9, 10), ("a red circle", 1, 2)]
"""Prompts with two seeds each."""
STEPS, SIDE, GAP = 7, 96, 4


@cache
def variations(prompt: str, seed: int, second: int, count: int = STEPS) -> list[Image.Image]:
    """Return pictures from those of one seed to those of another, at evenly spaced strengths."""
    made = []
    for index in range(count):
        knobs = Txt2ImgParams(seed=seed, variation={"seed": second, "strength": index / (count - 1)})
        made += txt2img(Text(prompt), knobs, Progress())
    return made


def sheet() -> Image.Image:
    """Return one row for each pair."""
    made = Image.new("RGB", (STEPS * (SIDE + GAP), len(PAIRS) * (SIDE + GAP)), "white")
    for row, pair in enumerate(PAIRS):
        for column, picture in enumerate(variations(*pair)):
            small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            made.paste(small, (column * (SIDE + GAP), row * (SIDE + GAP)))
    return made


if __name__ == "__main__":
    sheet().quantize(256, kmeans=2, dither=Image.Dither.NONE).save(Path(sys.argv[1]), optimize=True)
