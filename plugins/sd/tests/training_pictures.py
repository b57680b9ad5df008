"""A new thing, drawn five times, and what the built-in model draws after learning it; for tests and documentation.

python plugins/sd/tests/training_pictures.py docs/images/sd_training.png
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from stable_core.sdk import Progress, Text
from stable_core_sd.networks.training.jobs import train_embedding
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.params_training import (
    LearningParams,
    ProgressParams,
    TrainEmbeddingParams,
    TrainingPictures,
    WordsParams,
)
from stable_core_sd.plugin import txt2img

SIDE = 128
NAME = "gobbler"
PURPLE, WHITE = (140, 50, 170), (255, 255, 255)
PLACES = ((64, 64, 32), (50, 60, 27), (76, 66, 30), (60, 70, 37), (70, 58, 25))
"""Where the thing stands in each picture, and its radius."""
TEMPLATES = f"{NAME} on a white background\na picture of {NAME} on a white background"


def drawn_thing(x: int, y: int, radius: int) -> Image.Image:
    """Return a picture of the thing: a purple disc with its mouth open to the right, for which nano has no word."""
    fine = 3
    picture = Image.new("RGB", (SIDE * fine, SIDE * fine), WHITE)
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(picture).pieslice([fine * one for one in box], 60, 300, fill=PURPLE)
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def learn(steps: int) -> Path:
    """Train an embedding on the five pictures and return its file."""
    params = TrainEmbeddingParams(
        name=NAME,
        steps=steps,
        learn_rate=f"0.02:{steps * 2 // 3}, 0.005",
        vectors=4,
        learning=LearningParams(batch_size=5, latent_sampling="deterministic", noise_from=0.6),
        words=WordsParams(templates=TEMPLATES.replace(NAME, "[name]")),
        on_the_way=ProgressParams(save_every=0, preview_every=0),
    )
    given = TrainingPictures([drawn_thing(*place) for place in PLACES])
    return train_embedding(given, params, Progress())


def pictures(prompt: str, count: int = 5) -> list[Image.Image]:
    """Return pictures of the seeds from 7 on."""
    params = Txt2ImgParams(seed=7, steps=16, batch_size=count)
    return list(txt2img(Text(prompt), params, Progress()))


def sheet() -> Image.Image:
    """Return the five pictures it learns from, and below what some prompts give before and after."""
    prompts = [f"{NAME} on a {colour} background" for colour in ("white", "green", "yellow")]
    rows = {f"before: {prompts[0]}": pictures(prompts[0])}
    learn(240)
    rows |= {"learnt from": [drawn_thing(*place) for place in PLACES]}
    rows |= {f"after: {prompt}": pictures(prompt) for prompt in prompts}
    shown, line = 96, 14
    made = Image.new("RGB", (5 * (shown + 4), len(rows) * (shown + line + 4)), "white")
    draw, font = ImageDraw.Draw(made), ImageFont.load_default(11)
    for row, (told, some) in enumerate(rows.items()):
        top = row * (shown + line + 4)
        draw.text((2, top), told, "black", font)
        for column, picture in enumerate(some):
            left = 2 + column * (shown + 4)
            made.paste(picture.resize((shown, shown), Image.Resampling.LANCZOS), (left, top + line))
            draw.rectangle([left, top + line, left + shown - 1, top + line + shown - 1], outline="lightgray")
    return made


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STABLE_CORE_MODELS"] = folder
        sheet().quantize(256, kmeans=2, dither=Image.Dither.NONE).save(Path(sys.argv[1]), optimize=True)
