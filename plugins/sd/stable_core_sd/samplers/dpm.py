"""The DPM-Solver samplers over a given schedule: DPM2, with and without ancestral noise. For others see dpm_solver."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from stable_core_sd.samplers.core import STILL, Array, Churn, Denoise, Noise, Step, ancestral_step, walk


def sample_dpm_2(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, churn: Churn = STILL
) -> Iterator[Step]:
    """Take the slope at the logarithmic middle of each step.

    Source: DPM-Solver-2, Lu et al. 2022, https://arxiv.org/abs/2206.00927.
    """
    for sigma, following, done in walk(sigmas):
        x, sigma = churn.apply(x, sigma, len(sigmas) - 1, noise)
        denoised = denoise(x, sigma)
        x = _midpoint_step(denoise, x, denoised, sigma, following)
        yield Step(x, denoised, done)


def sample_dpm_2_ancestral(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do DPM-Solver-2 steps below the next level and add noise back: `sample_dpm_2` made ancestral."""
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral_step(sigma, following, eta)
        x = _midpoint_step(denoise, x, denoised, sigma, down)
        if down > 0:
            x = x + noise() * (s_noise * up)
        yield Step(x, denoised, done)


def _midpoint_step(denoise: Denoise, x: Array, denoised: Array, sigma: float, following: float) -> Array:
    slope = (x - denoised) / sigma
    if following > 0:
        middle = math.sqrt(sigma * following)
        trial = x + slope * (middle - sigma)
        slope = (trial - denoise(trial, middle)) / middle
    return x + slope * (following - sigma)
