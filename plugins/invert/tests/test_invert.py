"""The invert plugin, called as plain functions."""

import importlib.util
from pathlib import Path

import PIL.Image
import pytest

from stable_core.sdk import Progress

spec = importlib.util.spec_from_file_location("invert_plugin", Path(__file__).parent.parent / "plugin.py")
invert_plugin = importlib.util.module_from_spec(spec)
spec.loader.exec_module(invert_plugin)
invert, InvertParams = invert_plugin.invert, invert_plugin.InvertParams


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [("RGB", (255, 0, 10), (0, 255, 245)), ("L", 40, 215), ("RGBA", (255, 0, 10, 77), (0, 255, 245, 77))],
)
def test_colours_are_turned_round_and_transparency_stays(mode, before, after):
    image = PIL.Image.new(mode, (1, 1), before)
    assert invert(image, InvertParams(), Progress()).getpixel((0, 0)) == after


def test_the_amount_blends():
    image = PIL.Image.new("RGB", (3, 2), (200, 0, 100))
    assert invert(image, InvertParams(amount=0), Progress()).getpixel((2, 1)) == (200, 0, 100)
    assert invert(image, InvertParams(amount=0.5), Progress()).getpixel((2, 1)) == (127, 127, 127)


def test_the_plugin_stays_small():
    lines = Path(invert_plugin.__file__).read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(code) <= 15
