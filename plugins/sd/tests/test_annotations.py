"""Labels around a sheet of pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stable_core_sd.images.annotations import INACTIVE, Line, annotate

CELL = (200, 150)


def sheet(columns: int = 2, rows: int = 2) -> Image.Image:
    return Image.new("RGB", (columns * CELL[0], rows * CELL[1]), "red")


def ink(picture: Image.Image, box: tuple[int, int, int, int]) -> tuple[int, int, int, int] | None:
    """Return where something darker than white stands in a box of a picture."""
    return picture.crop(box).convert("L").point(lambda value: 255 if value < 200 else 0).getbbox()


def test_without_labels_only_the_gaps_are_added() -> None:
    drawn = annotate(sheet(), CELL, [], [[Line("")], [Line("")]], margin=10)
    assert drawn.size == (2 * 200 + 10, 2 * 150 + 10)
    assert drawn.getpixel((205, 20)) == drawn.getpixel((20, 155)) == (255, 255, 255)
    assert drawn.getpixel((199, 149)) == drawn.getpixel((210, 160)) == (255, 0, 0)


def test_row_labels_take_three_quarters_of_a_cell_and_stand_in_its_middle() -> None:
    drawn = annotate(sheet(), CELL, [], [[Line("first")], [Line("second")]])
    assert drawn.size == (150 + 400, 300)
    for row in range(2):
        box = ink(drawn, (0, row * 150, 150, row * 150 + 150))
        assert box is not None
        assert abs((box[0] + box[2]) / 2 - 75) < 3
        assert abs((box[1] + box[3]) / 2 - 75) < 6


@pytest.mark.parametrize(
    "text", ["a label of many words that does not fit into one line", "Unbreakable" * 6, "色 é 日本"]
)
def test_long_labels_stay_inside_their_column(text: str) -> None:
    drawn = annotate(sheet(), CELL, [[Line(text)], [Line("")]], [])
    top = drawn.height - 300
    assert ink(drawn, (0, 0, 200, top)) is not None
    assert ink(drawn, (200, 0, 400, top)) is None


def test_inactive_lines_are_gray_and_struck_through() -> None:
    active = annotate(sheet(1, 1), CELL, [[Line("yes")]], [])
    inactive = annotate(sheet(1, 1), CELL, [[Line("yes", is_active=False)]], [])
    top = active.height - 150
    gray = np.asarray(inactive.crop((0, 0, 200, top)))
    assert gray.min() == int(INACTIVE[1:3], 16)
    widest = (gray.min(axis=2) < 200).sum(axis=1).max()
    assert widest > (np.asarray(active.crop((0, 0, 200, top))).min(axis=2) < 200).sum(axis=1).max()


def test_transparent_cells_are_laid_on_white() -> None:
    drawn = annotate(Image.new("RGBA", CELL), CELL, [], [])
    assert drawn.getpixel((5, 5)) == (255, 255, 255)
