"""The whole timesteps that DDIM and its kin walk, as noise levels. All other schedules are in schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from stable_core_sd.schedules import SigmaTable

Spacing = Literal["time_uniform", "time_quadratic", "logSNR"]


def ddim_timesteps(steps: int, count: int = 1000) -> list[int]:
    """Return the rising timesteps of DDIM: every `count // steps`-th plus one; there may be more than `steps`."""
    return [min(t + 1, count - 1) for t in range(0, count, max(count // steps, 1))]


def falling_sigmas(timesteps: Sequence[int], table: SigmaTable) -> list[float]:
    """Return the noise levels of rising timesteps, the highest first."""
    return [table.sigmas[timestep] for timestep in reversed(timesteps)]


def unipc_sigmas(steps: int, table: SigmaTable, start: float, spacing: Spacing = "time_uniform") -> list[float]:
    """Return `steps + 1` falling noise levels from the timestep `start` down to the first, 0.

    Between two timesteps the logarithm of alpha is interpolated and not, as elsewhere here, that of sigma.

    Source: the discrete noise schedule of Lu et al. 2022, https://arxiv.org/abs/2206.00927, appendix D.
    """
    ways = [index / steps for index in range(steps + 1)]
    high, low = (start + 1) / len(table.sigmas), 1 / len(table.sigmas)  # the time of timestep t is (t + 1) / count
    if spacing == "logSNR":
        top, bottom = (math.log(_sigma(time, table)) for time in (high, low))
        return [math.exp(top + way * (bottom - top)) for way in ways]
    if spacing == "time_quadratic":
        roots = math.sqrt(high), math.sqrt(low)
        return [_sigma((roots[0] + way * (roots[1] - roots[0])) ** 2, table) for way in ways]
    return [_sigma(high + way * (low - high), table) for way in ways]


def _sigma(time: float, table: SigmaTable) -> float:
    """Return the noise level at a time in 0..1; with alpha² = 1 / (sigma² + 1)."""
    position = min(max(time * len(table.sigmas) - 1, 0.0), len(table.sigmas) - 1.0)
    below = min(int(position), len(table.sigmas) - 2)
    logs = [math.log1p(table.sigmas[index] ** 2) for index in (below, below + 1)]
    return math.sqrt(math.expm1(logs[0] + (position - below) * (logs[1] - logs[0])))
