"""Draw the contact sheet of the docs: a fixed list of prompts, each with two seeds.

    python -m training.nano.contact_sheet --model plugins/sd/stable_core_sd/models/nano --out sheet.png

It judges nothing; that is `evaluate`'s work.
"""

import argparse
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from training.nano.drawing import SIDE
from training.nano.evaluate import SAMPLERS, Artist

PROMPTS = (
    "a red circle on a blue background",
    "a small yellow heart in the top left on a purple background",
    "a large white star on a green background",
    "a black arrow on the right on a pink background",
    "a green star and a yellow square on a white background",
    "a cyan diamond to the left of a black cross on a pink background",
    "a blue triangle above a red square on a yellow background",
    "a purple crescent below an orange ring on a gray background",
    "a white heart inside a red circle on a black background",
    "three pink triangles on a black background",
    "four green circles on a white background",
    "two brown arrows on a cyan background",
    "a landscape with a house and trees",
    "a red house in the snow",
    "a house with a blue roof at sunset",
    "a boat on the sea",
    "a sunset sea with a boat and the sun",
    "a night landscape with stars and a crescent moon",
    "a tree",
    "pine trees and mountains in the snow",
    "a desert landscape with mountains and the sun",
    "a lake with trees and mountains",
    "a star on a white background",
    "a beautiful photo of a golden heart, high quality",
)
SEEDS = (1, 2)
COLUMNS, LABEL, GAP = 4, 30, 4


def contact_sheet(artist: Artist) -> Image.Image:
    """Draw every prompt with every seed, four prompts in a row, the words beneath."""
    width, height = len(SEEDS) * (SIDE + GAP) + GAP, SIDE + LABEL + GAP
    rows = -(-len(PROMPTS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), (32, 32, 34))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    texts = [text for text in PROMPTS for _ in SEEDS]
    pictures = artist.draw(texts, [*SEEDS] * len(PROMPTS))
    for index, text in enumerate(PROMPTS):
        x, y = index % COLUMNS * width, index // COLUMNS * height
        for number in range(len(SEEDS)):
            picture = Image.fromarray(pictures[index * len(SEEDS) + number])
            sheet.paste(picture, (x + number * (SIDE + GAP), y))
        pen.text((x + 2, y + SIDE + 1), textwrap.fill(text, 42), (235, 235, 235), font, spacing=1)
    return sheet


def main() -> None:
    """Read the command line and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sampler", choices=tuple(SAMPLERS), default="euler_a")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(Artist(arguments.model, arguments.sampler)).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
