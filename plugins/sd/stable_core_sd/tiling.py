"""Pictures that repeat without a seam: every convolution wraps around. It is undone after the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def tiled(*models: Any, is_on: bool = True) -> Iterator[None]:
    """Let every convolution of the models take what is beyond an edge from the edge opposite, while inside."""
    if not is_on:
        yield
        return
    convolutions = [part for model in models for part in model.modules() if isinstance(part, torch.nn.Conv2d)]
    modes = [part.padding_mode for part in convolutions]
    try:
        for part in convolutions:
            part.padding_mode = "circular"
        yield
    finally:
        for part, mode in zip(convolutions, modes, strict=True):
            part.padding_mode = mode
