"""Samplers that average the slopes at both ends of each step: Heun, and Restart, which goes back up in between."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from stable_core_sd.samplers.core import STILL, Array, Churn, Denoise, Noise, Step, walk
from stable_core_sd.schedules import karras_levels

RESTART_LOW, RESTART_HIGH = 0.1, 2.0
"""Restart goes from about the lower of these noise levels back to about the higher."""


def sample_heun(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, churn: Churn = STILL
) -> Iterator[Step]:
    """Average the slopes at both ends of each step.

    Source: Karras et al. 2022, https://arxiv.org/abs/2206.00364, algorithm 2.
    """
    for sigma, following, done in walk(sigmas):
        x, sigma = churn.apply(x, sigma, len(sigmas) - 1, noise)
        x, denoised = _heun_step(denoise, x, sigma, following)
        yield Step(x, denoised, done)


def sample_restart(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do Heun steps and walk the stretch where errors arise more than once, with fresh noise each time.

    Source: Xu et al. 2023, https://arxiv.org/abs/2306.14878, algorithm 1.
    """
    legs = restart_legs(sigmas)
    reached = legs[0][0]
    for index, (sigma, following) in enumerate(legs, 1):
        if sigma > reached:
            x = x + noise() * (s_noise * math.sqrt(sigma**2 - reached**2))
        x, denoised = _heun_step(denoise, x, sigma, following)
        reached = following
        yield Step(x, denoised, index / len(legs))


def restart_legs(sigmas: Sequence[float]) -> list[tuple[float, float]]:
    """Return the steps of Restart, each from one noise level to a lower one.

    With 20 steps or more, part of them is spent on the second and, from 36 steps, third walk.
    """
    steps = len(sigmas) - 1
    if steps < 20:
        return list(itertools.pairwise(sigmas))
    spent, times = (9, 1) if steps < 36 else (steps // 4, 2)
    levels = [*karras_levels(steps - spent * times, sigmas[-2], sigmas[0]), 0.0]
    low, high = (_nearest(levels, level) for level in (RESTART_LOW, RESTART_HIGH))
    legs = list(itertools.pairwise(levels))
    if low == 0 or high >= low:
        return legs
    again = list(itertools.pairwise(karras_levels(spent + 1, levels[low], levels[high])))
    return legs[:low] + again * times + legs[low:]


def _heun_step(denoise: Denoise, x: Array, sigma: float, following: float) -> tuple[Array, Array]:
    denoised = denoise(x, sigma)
    slope = (x - denoised) / sigma
    if following > 0:
        trial = x + slope * (following - sigma)
        slope = (slope + (trial - denoise(trial, following)) / following) / 2
    return x + slope * (following - sigma), denoised


def _nearest(levels: Sequence[float], level: float) -> int:
    return min(range(len(levels)), key=lambda index: abs(levels[index] - level))
