"""The sizes of the high-resolution pass: of the picture, of the first pass, and what is cut off. No pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

from stable_core_sd.images.resizing import Size


class HiresSizes(NamedTuple):
    """What the second pass works on.

    Attributes:
        upscale_to: the size in pixels the first pass is brought to.
        cut: how many latent pixels of its width and height are cut off then.
    """

    upscale_to: Size
    cut: tuple[int, int]


def hires_sizes(size: Size, scale: float, resize_x: int = 0, resize_y: int = 0) -> HiresSizes:
    """Return the sizes for a first pass of `size`.

    Args:
        scale: how many times larger; it counts only where `resize_x` and `resize_y` are 0.
        resize_x, resize_y: the size of the picture; where one of them is 0 it follows from the other, and where both
            are given what sticks out is cut off.

    Source: A1111 1.10, `calculate_target_resolution`.
    """
    width, height = size
    if not resize_x and not resize_y:
        return HiresSizes((int(width * scale), int(height * scale)), (0, 0))
    if not resize_y:
        return HiresSizes((resize_x, resize_x * height // width), (0, 0))
    if not resize_x:
        return HiresSizes((resize_y * width // height, resize_y), (0, 0))
    if width * resize_y < resize_x * height:
        upscale_to = resize_x, resize_x * height // width
    else:
        upscale_to = resize_y * width // height, resize_y
    return HiresSizes(upscale_to, ((upscale_to[0] - resize_x) // 8, (upscale_to[1] - resize_y) // 8))


def kept_range(length: int, cut: int) -> tuple[int, int]:
    """Return (first, end) of what is kept of `length` rows or columns when `cut` of them go, half at each end."""
    return cut // 2, length - (cut + 1) // 2


def first_pass_size(size: Size, native: int = 512) -> Size:
    """Return the size of a first pass for a picture of `size`: about native² pixels, in multiples of 64.

    Source: A1111 before 1.0, where width and height were those of the finished picture.
    """
    scale = math.sqrt(native * native / (size[0] * size[1]))
    return math.ceil(scale * size[0] / 64) * 64, math.ceil(scale * size[1] / 64) * 64
