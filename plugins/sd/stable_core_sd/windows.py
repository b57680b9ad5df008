"""A network over a picture larger than it can see at once: in windows that overlap, blended. It knows no networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stable_core_sd.images.sizes import tile_places

Window = tuple[slice, slice]
"""Rows and columns."""


def windows_of(height: int, width: int, side: int, overlap: int) -> list[Window]:
    """Return windows of at most `side` by `side` that cover everything; 0 is one window."""
    tall, wide = (min(side, length) if side else length for length in (height, width))
    return [
        (slice(top, top + tall), slice(left, left + wide))
        for top in tile_places(height, tall, min(overlap, tall - 1))
        for left in tile_places(width, wide, min(overlap, wide - 1))
    ]


def blended(run: Callable[[Window], Tensor], windows: list[Window], size: tuple[int, int], scale: int = 1) -> Tensor:
    """Return what `run` makes of all windows as one tensor, where it is one; a window counts less towards its edges.

    Args:
        run: returns for a window a tensor of shape (batch, channels, rows * scale, columns * scale).
        size: height and width of everything.
    """
    if len(windows) == 1:
        return run(windows[0])
    total = weight = torch.zeros(())
    for rows, columns in windows:
        made = run((rows, columns))
        if not total.ndim:
            total = made.new_zeros(*made.shape[:2], size[0] * scale, size[1] * scale)
            weight = made.new_zeros(total.shape[2:])
        place = _scaled(rows, scale), _scaled(columns, scale)
        share = closeness(made.shape[-2], made.shape[-1]).to(made)
        total[..., place[0], place[1]] += made * share
        weight[place] += share
    return total / weight


def closeness(height: int, width: int) -> Tensor:
    """Return how near each place is to the middle, from 0.01 at the edges to 0.5, of shape (height, width)."""

    def along(length: int) -> Tensor:
        way = torch.linspace(0, 1, length)
        return torch.minimum(way, 1 - way)

    return torch.minimum(along(height)[:, None], along(width)[None]).clamp(0.01, 0.5)


def _scaled(part: slice, scale: int) -> slice:
    return slice(part.start * scale, part.stop * scale)
