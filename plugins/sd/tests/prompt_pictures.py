"""Pictures of the built-in model that show what the prompt language does, for tests and for the documentation.

python plugins/sd/tests/prompt_pictures.py docs/images/prompts.png
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from stable_core.sdk import Progress, Text
from stable_core_sd.plugin import Txt2ImgParams, txt2img

WEIGHTS = (
    "a (red:1.6) and blue circle on a white background",
    "a red and (blue:1.6) circle on a white background",
)
OPEN = "a circle on a white background"
COMPOSED = (
    "a small red circle on the left on a white background AND a small blue square on the right on a white background"
)
EDITED = "a red [circle:square:0.3] on a white background"
ROWS = [
    *((prompt, "") for prompt in WEIGHTS),
    (OPEN, ""),
    (OPEN, "red, blue"),
    (COMPOSED, ""),
    ("a red circle on a white background", ""),
    (EDITED, ""),
    ("a red square on a white background", ""),
]
"""Prompts and negative prompts, in the order in which they are shown."""

SIDE, LINE = 64, 14


@cache
def pictures(prompt: str, negative_prompt: str = "", count: int = 5) -> list[Image.Image]:
    """Return pictures of the seeds from 7 on."""
    params = Txt2ImgParams(negative_prompt=negative_prompt, seed=7, steps=16, batch_size=count)
    return list(txt2img(Text(prompt), params, Progress()))


def sheet() -> Image.Image:
    """Return all rows, each below its prompt."""
    made = Image.new("RGB", (600, len(ROWS) * (SIDE + LINE + 6)), "white")
    draw, font = ImageDraw.Draw(made), ImageFont.load_default(11)
    for row, (prompt, negative_prompt) in enumerate(ROWS):
        top = row * (SIDE + LINE + 6)
        told = f"{prompt}     negative prompt: {negative_prompt}" if negative_prompt else prompt
        draw.text((2, top), told, "black", font)
        for column, picture in enumerate(pictures(prompt, negative_prompt)):
            made.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (2 + column * (SIDE + 4), top + LINE))
    return made


if __name__ == "__main__":
    sheet().quantize(256, kmeans=2, dither=Image.Dither.NONE).save(Path(sys.argv[1]), optimize=True)
