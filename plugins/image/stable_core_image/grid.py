"""The grid: many images in one, with labels below them, over the columns and beside the rows. No params class here."""

from __future__ import annotations

import bisect
import math
import unicodedata
from collections.abc import Sequence

from PIL import ImageDraw, ImageFont

from stable_core.sdk import Image, InvalidInput, Progress
from stable_core_image.canvas import new_canvas, parse_color

MAX_LINES = 4
"""A longer label ends in dots."""

FONTS = ("DejaVuSans.ttf", "arial.ttf", "Arial Unicode.ttf", "NotoSans-Regular.ttf")
"""Fonts of the system, tried for labels that are not plain ASCII: the one built into Pillow has no other letters."""


def draw_grid(  # noqa: PLR0913 - every knob of the job
    images: Sequence[Image],
    *,
    columns: int,
    gap: int,
    background: str,
    labels: Sequence[str],
    column_labels: Sequence[str],
    row_labels: Sequence[str],
    text_size: int,
    progress: Progress,
) -> Image:
    """Return one image with all images in rows, each centred in a cell as large as the largest.

    Args:
        columns: images per row; 0 = about as many as rows.
        labels: one per image; missing and empty ones leave their place free.
        text_size: in pixels; 0 = a sixteenth of a cell's width, within 12 and 64.

    Raises:
        InvalidInput: there are no images.
        InvalidParams: the grid would be too large.
    """
    if not images:
        raise InvalidInput("A grid needs at least one image.")
    columns = min(columns, len(images)) or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    width, height = max(image.width for image in images), max(image.height for image in images)
    is_ascii = "".join([*labels, *column_labels, *row_labels]).isascii()
    text = _Text(text_size or max(12, min(64, width // 16)), background, is_ascii)
    below = [text.wrap(label, width) for label in labels[: len(images)]]
    above = [text.wrap(label, width) for label in column_labels[:columns]]
    beside = [text.wrap(label, max(width, 8 * text.size)) for label in row_labels[:rows]]
    below_height = max(map(text.height, below), default=0)
    left = gap + max((text.width(label) + gap for label in beside if label), default=0)
    top = gap + max((text.height(label) + gap for label in above if label), default=0)
    across, down = width + gap, height + below_height + gap
    canvas = new_canvas((left + columns * across, top + rows * down), background)
    draw = ImageDraw.Draw(canvas)
    for number, label in enumerate(above):
        text.draw(draw, label, left + number * across + width // 2, top - gap - text.height(label))
    for number, label in enumerate(beside):
        y = top + number * down + (height - text.height(label)) // 2
        text.draw(draw, label, gap + (left - 2 * gap) // 2, y)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        x, y = left + column * across, top + row * down
        corner = (x + (width - image.width) // 2, y + (height - image.height) // 2)
        canvas.paste(image, corner, image if image.mode == "RGBA" else None)
        if number < len(below):
            text.draw(draw, below[number], x + width // 2, y + height)
        progress(number + 1, len(images))
    return canvas


class _Text:
    """Text of one size in black or white, whichever can be read on the background."""

    def __init__(self, size: int, background: str, is_ascii: bool) -> None:
        red, green, blue, *alpha = parse_color(background)
        is_dark = red * 299 + green * 587 + blue * 114 < 128_000 and alpha != [0]
        self.size = size
        self.color = "white" if is_dark else "black"
        found = None if is_ascii else _system_font(size)
        self.font = found or ImageFont.load_default(size)
        self.is_limited = found is None
        self.line_height = round(size * 1.3)

    def wrap(self, label: str, width: int) -> list[str]:
        """Return the label in lines no wider than `width` pixels; words that are wider are cut."""
        lines: list[str] = []
        words = (_plain(label) if self.is_limited else label).split()
        while words and len(lines) <= MAX_LINES:
            word = words.pop(0)
            if lines and self._fits(f"{lines[-1]} {word}", width):
                lines[-1] += f" {word}"
                continue
            length = len(word)
            if length > 1 and not self._fits(word, width):
                length = max(1, bisect.bisect(range(1, length), width, key=lambda end: self.width([word[:end]])))
                words.insert(0, word[length:])
            lines.append(word[:length])
        if len(lines) > MAX_LINES:
            last = lines[MAX_LINES - 1]
            while len(last) > 1 and not self._fits(f"{last}...", width):
                last = last[:-1]
            lines[MAX_LINES - 1 :] = [f"{last}..."]
        return lines

    def _fits(self, text: str, width: int) -> bool:
        return self.font.getlength(text) <= width

    def width(self, lines: Sequence[str]) -> int:
        """Return the width of the longest line in pixels."""
        return max((math.ceil(self.font.getlength(line)) for line in lines), default=0)

    def height(self, lines: Sequence[str]) -> int:
        """Return the height of all lines in pixels."""
        return len(lines) * self.line_height

    def draw(self, draw: ImageDraw.ImageDraw, lines: Sequence[str], middle: int, top: int) -> None:
        """Draw the lines below each other, centred on `middle`."""
        for number, line in enumerate(lines):
            place = (middle - self.font.getlength(line) / 2, top + number * self.line_height)
            draw.text(place, line, self.color, self.font)


def _system_font(size: int) -> ImageFont.FreeTypeFont | None:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


def _plain(label: str) -> str:
    """Return the label in ASCII: accents dropped, other letters as question marks."""
    letters = (letter for letter in unicodedata.normalize("NFKD", label) if not unicodedata.combining(letter))
    return "".join(letters).encode("ascii", "replace").decode()
