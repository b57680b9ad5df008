"""A second model for the last steps of a pass: when it takes over. What it is told is known to passes.

Source: the refiner of Podell et al. 2023, https://arxiv.org/abs/2307.01952; the moment is that of A1111 1.10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stable_core_sd.samplers import Denoise
from stable_core_sd.schedules import SigmaTable


@dataclass
class RefinedDenoise:
    """Guesses with one model first and with another once enough noise is gone.

    Attributes:
        first: guesses until then.
        take_over: returns what guesses from then on; it is called once.
        switch_at: the share of the training noise levels that the first one works on.
        table: the noise levels of the model.
    """

    first: Denoise
    take_over: Callable[[], Denoise]
    switch_at: float
    table: SigmaTable
    second: Denoise | None = None

    def __call__(self, x: Tensor, sigma: float) -> Any:
        """Return the guess for `x` with noise of strength `sigma`."""
        if self.second is None and share_done(self.table, sigma) >= self.switch_at:
            self.second = self.take_over()
        return (self.second or self.first)(x, sigma)


def share_done(table: SigmaTable, sigma: float) -> float:
    """Return which share of the training noise levels lies above `sigma`, counted at the nearest of them."""
    count = len(table.sigmas)
    nearest = min(range(count), key=lambda index: abs(table.sigmas[index] - sigma))
    return (count - 1 - nearest) / count
