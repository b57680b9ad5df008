"""How many processor threads a pass computes with. It starts none and knows no models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL_STEP = 4e9
"""Multiplications of one call of a model, roughly, below which waking a second thread takes longer than it saves.

Measured with threads that sleep while they wait (OMP_WAIT_POLICY=passive): the built-in model takes 26 ms with one
thread and 33 to 45 ms with two for one picture of 128x128, 81 and 69 ms for one of 256x256.
"""


@contextmanager
def fitting_threads(model: torch.nn.Module, latents: torch.Tensor) -> Iterator[None]:
    """Let a small model draw latents of shape (pictures, channels, height, width) on one thread, a larger one on all.

    The estimate takes each weight to be used once for each place of the latents.
    """
    all_threads = torch.get_num_threads()
    places = latents.numel() / latents.shape[1]
    if latents.device.type == "cpu" and places * sum(weight.numel() for weight in model.parameters()) < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(all_threads)
