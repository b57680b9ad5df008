"""Labels around a sheet of pictures: above its columns and beside its rows. What they say is known elsewhere.

Source of the layout: A1111 1.10, `draw_grid_annotations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

ACTIVE, INACTIVE, BACKGROUND = "#000000", "#999999", "#ffffff"
FONTS = ("DejaVuSans.ttf", "arial.ttf", "Arial Unicode.ttf", "NotoSans-Regular.ttf")
"""Fonts of the system, tried for labels that are not plain ASCII: the one built into Pillow has no other letters."""

SMALLEST = 4


class Line(NamedTuple):
    """One line of a label; an inactive one is gray and struck through."""

    text: str
    is_active: bool = True


Label = Sequence[Line]


def annotate(
    sheet: Image.Image, cell: tuple[int, int], columns: Sequence[Label], rows: Sequence[Label], margin: int = 0
) -> Image.Image:
    """Return a sheet of cells of one size with labels around it and `margin` pixels between the cells.

    Columns and rows without a label leave no room for them. The labels are as large as a 25th of width and height of a
    cell together; those that are too long for their place are broken into lines and then made smaller.
    """
    width, height = cell
    size = (width + height) // 25
    gap = size // 2
    column_count, row_count = sheet.width // width, sheet.height // height
    beside = width * 3 // 4 if any(line.text for label in rows for line in label) else 0
    above_labels = [_fit(label, width, size) for label in columns]
    beside_labels = [_fit(label, beside, size) for label in rows]
    above = max((_height(label, gap) for label in above_labels), default=0)
    above = above + 2 * gap if any(line.text for label in columns for line in label) else 0
    canvas = Image.new(
        "RGB",
        (sheet.width + beside + margin * (column_count - 1), sheet.height + above + margin * (row_count - 1)),
        BACKGROUND,
    )
    for row in range(row_count):
        for column in range(column_count):
            left, top = column * width, row * height
            picture = sheet.crop((left, top, left + width, top + height)).convert("RGBA")
            place = beside + (width + margin) * column, above + (height + margin) * row
            canvas.paste(picture, place, picture)
    draw = ImageDraw.Draw(canvas)
    for column, label in enumerate(above_labels[:column_count]):
        middle = beside + (width + margin) * column + width // 2
        _draw(draw, label, (middle, above // 2 - _height(label, gap) // 2), gap)
    for row, label in enumerate(beside_labels[:row_count]):
        middle = above + (height + margin) * row + height // 2
        _draw(draw, label, (beside // 2, middle - _height(label, gap) // 2), gap)
    return canvas


class _Set(NamedTuple):
    """A line in the font and size it is written in, and its height in pixels."""

    line: Line
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    width: int
    height: int


def _fit(label: Label, width: int, size: int) -> list[_Set]:
    lines = [Line(part, line.is_active) for line in label for part in _wrap(line.text, width, size)]
    return [_set(line, width, size) for line in lines]


def _set(line: Line, width: int, size: int) -> _Set:
    """Return a line in the largest font, up to `size`, in which it is not wider than `width`."""
    while True:
        font = _font(size, line.text)
        left, top, right, bottom = font.getbbox(line.text or " ")
        if right - left <= width or size <= SMALLEST:
            return _Set(line, font, int(right - left), int(bottom - top))
        size -= 1


def _wrap(text: str, width: int, size: int) -> list[str]:
    """Return the text in lines of whole words that are not wider than `width` at `size`, where that is possible."""
    font = _font(size, text)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _height(label: Sequence[_Set], gap: int) -> int:
    return sum(one.height + gap for one in label) - gap if label else 0


def _draw(draw: ImageDraw.ImageDraw, label: Sequence[_Set], place: tuple[int, int], gap: int) -> None:
    """Draw lines below each other, centred on `place[0]`, from `place[1]` down."""
    middle, top = place
    for line, font, width, height in label:
        left_bearing, top_bearing, *_ = font.getbbox(line.text or " ")
        color = ACTIVE if line.is_active else INACTIVE
        x = middle - width // 2
        draw.text((x - left_bearing, top - top_bearing), line.text, color, font)
        if not line.is_active:
            draw.line((x, top + height // 2, x + width, top + height // 2), color, max(1, height // 10))
        top += height + gap


def _font(size: int, text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in () if text.isascii() else FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(max(size, SMALLEST))
