"""The grid job: places, sizes, labels, limits."""

import PIL.Image
import pytest

from stable_core.sdk import InvalidInput, InvalidParams, Progress
from stable_core_image import grid as grid_module
from stable_core_image.plugin import GridParams, grid

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
WHITE = (255, 255, 255)


def images(number, size=(20, 10)):
    return [PIL.Image.new("RGB", size, COLORS[index % len(COLORS)]) for index in range(number)]


def has_ink(image, box, background=WHITE):
    cut = image.crop(box)
    return any(cut.getpixel((x, y)) != background for x in range(cut.width) for y in range(cut.height))


@pytest.mark.parametrize(
    ("number", "columns", "size"), [(1, 0, (1, 1)), (4, 0, (2, 2)), (5, 0, (3, 2)), (5, 2, (2, 3)), (3, 9, (3, 1))]
)
def test_columns_and_rows(number, columns, size):
    result = grid(images(number), GridParams(columns=columns, gap=0), Progress())
    assert result.size == (size[0] * 20, size[1] * 10)


def test_images_lie_in_reading_order_with_gaps():
    result = grid(images(3), GridParams(columns=2, gap=4, background="#000000"), Progress())
    assert result.size == (4 + 2 * 24, 4 + 2 * 14)
    assert [result.getpixel(place) for place in ((4, 4), (28, 4), (4, 18))] == COLORS[:3]
    assert result.getpixel((0, 0)) == result.getpixel((25, 5)) == result.getpixel((30, 20)) == (0, 0, 0)


def test_smaller_images_are_centred_in_their_cell():
    small = PIL.Image.new("RGB", (2, 2), COLORS[1])
    result = grid([*images(1), small], GridParams(columns=1, gap=0), Progress())
    assert result.getpixel((9, 14)) == COLORS[1]
    assert result.getpixel((0, 14)) == WHITE


def test_transparent_places_show_the_background():
    clear = PIL.Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert grid([clear], GridParams(gap=0, background="#00ff00"), Progress()).getpixel((1, 1)) == (0, 255, 0)


def test_labels_are_drawn_at_their_side():
    pictures = images(4, size=(80, 40))
    plain = grid(pictures, GridParams(gap=4), Progress())
    below = grid(pictures, GridParams(gap=4, labels="one"), Progress())
    assert below.height > plain.height
    assert has_ink(below, (4, 45, 84, below.height // 2))
    assert not has_ink(below, (88, 45, 168, below.height // 2))
    above = grid(pictures, GridParams(gap=4, column_labels="a\nb"), Progress())
    top = above.height - plain.height
    assert has_ink(above, (4, 0, 84, top))
    assert has_ink(above, (88, 0, 168, top))
    beside = grid(pictures, GridParams(gap=4, row_labels="first\nsecond"), Progress())
    left = beside.width - plain.width
    assert has_ink(beside, (0, 0, left, 48))
    assert has_ink(beside, (0, 48, left, 92))


def test_text_stands_out_from_the_background():
    dark = grid(images(1, (80, 40)), GridParams(gap=0, background="#101010", labels="XXXX"), Progress())
    assert max(dark.crop((0, 40, 80, dark.height)).convert("L").getextrema()) > 200


def test_long_labels_wrap_and_end_in_dots():
    short = grid(images(1, (80, 40)), GridParams(labels="one line"), Progress())
    long = grid(images(1, (80, 40)), GridParams(labels="many words " * 3), Progress())
    endless = grid(images(1, (80, 40)), GridParams(labels="many words " * 500), Progress())
    unbroken = grid(images(1, (80, 40)), GridParams(labels="x" * 2000), Progress())
    assert short.height < long.height <= endless.height == unbroken.height


def test_more_labels_than_images_are_ignored():
    result = grid(images(1), GridParams(labels="a\nb\nc", column_labels="a\nb", row_labels="a\nb\nc"), Progress())
    assert result.width < 100


def test_letters_that_no_font_has_are_replaced(monkeypatch):
    monkeypatch.setattr(grid_module, "FONTS", ())
    plain = grid(images(1, (80, 40)), GridParams(labels="a"), Progress())
    accented = grid(images(1, (80, 40)), GridParams(labels="ä"), Progress())
    assert accented.tobytes() == plain.tobytes()


def test_progress_counts_the_images():
    steps = []

    class Recorder(Progress):
        def report(self, step, total, message, preview):
            steps.append((step, total))

    grid(images(3), GridParams(), Recorder())
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_an_empty_grid_and_a_huge_one_are_refused():
    with pytest.raises(InvalidInput, match="at least one"):
        grid([], GridParams(), Progress())
    wide = [PIL.Image.new("L", (20_000, 1)), PIL.Image.new("L", (1, 20_000))]
    with pytest.raises(InvalidParams, match="would be"):
        grid(wide, GridParams(), Progress())
