"""Lengths in pixels: rounded, and cut into overlapping pieces. No pixels and no numpy."""

from __future__ import annotations

import math


def up_to(length: int, unit: int) -> int:
    """Return the smallest multiple of `unit` that is not less than `length`."""
    return math.ceil(length / unit) * unit


def tile_places(length: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles start along one axis; the last one ends with the picture.

    Source: A1111 1.10, `split_grid`.
    """
    count = math.ceil((length - overlap) / (tile - overlap))
    step = (length - tile) / (count - 1) if count > 1 else 0
    places = [int(index * step) for index in range(count)]
    return [length - tile if place + tile >= length else place for place in places]
