"""Canvases: new pictures to draw on, their colours and their largest size. Drawing itself is elsewhere."""

from __future__ import annotations

import PIL.Image
from PIL import ImageColor

from stable_core.sdk import Image, InvalidParams

MAX_PIXELS = 2**28
"""The largest picture that is made, in pixels: 16,384 x 16,384, the largest that can be read again."""

COLOR = r"^#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?$"
"""A colour in params: #rrggbb, or #rrggbbaa where it may be transparent."""


def parse_color(text: str) -> tuple[int, ...]:
    """Return `#rrggbb` or `#rrggbbaa` as red, green, blue and, if given, alpha."""
    return ImageColor.getrgb(text)


def new_canvas(size: tuple[int, int], color: str, like: Image | None = None) -> Image:
    """Return a picture of one colour, with transparency if the colour or the image to come has some.

    Raises:
        InvalidParams: it would be too large.
    """
    check_size(*size)
    channels = parse_color(color)
    has_alpha = len(channels) == 4 or (like is not None and like.mode == "RGBA")
    return PIL.Image.new("RGBA" if has_alpha else "RGB", size, channels)


def check_size(width: int, height: int) -> None:
    """Refuse a picture of more than MAX_PIXELS before memory is taken for it.

    Raises:
        InvalidParams: it would be too large.
    """
    if width * height > MAX_PIXELS:
        message = f"The result would be {width:,} x {height:,} pixels."
        raise InvalidParams(message, f"Make it smaller: at most {MAX_PIXELS:,} pixels in all.")
