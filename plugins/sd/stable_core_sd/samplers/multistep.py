"""Samplers that extrapolate the slope from former steps: LMS over any schedule, PLMS over whole timesteps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from stable_core_sd.samplers.core import Array, Denoise, Noise, Step, walk, with_variance_one

ADAMS_BASHFORTH = ((1,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Weights of the newest slope and the former ones, by how many there are."""


def sample_lms(denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, order: int = 4) -> Iterator[Step]:
    """Extrapolate the slope from the last steps with a polynomial.

    Source: the linear multistep method of Adams and Bashforth.
    """
    slopes: list[Array] = []
    for index, (sigma, following, done) in enumerate(walk(sigmas)):
        denoised = denoise(x, sigma)
        slopes = [(x - denoised) / sigma, *slopes][:order]
        known = [sigmas[index - age] for age in range(len(slopes))]
        for age, slope in enumerate(slopes):
            x = x + slope * _lagrange_integral(known, age, sigma, following)
        yield Step(x, denoised, done)


def sample_plms(denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise) -> Iterator[Step]:
    """Extrapolate as if all steps were equally long, after a first step that looks at both its ends.

    It stops at the lowest of its levels and returns a latent of variance one, like DDIM.

    Source: pseudo linear multistep, Liu et al. 2022, https://arxiv.org/abs/2202.09778, equations 12 and 13.
    """
    slopes: list[Array] = []
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        slopes = [(x - denoised) / sigma, *slopes][:4]
        slope = sum(weight * one for weight, one in zip(ADAMS_BASHFORTH[len(slopes) - 1], slopes, strict=True))
        if len(slopes) == 1:
            trial = x + slope * (following - sigma)
            slope = (slope + (trial - denoise(trial, following)) / following) / 2
        x = x + slope * (following - sigma)
        yield Step(with_variance_one(x, following) if done == 1 else x, denoised, done)


def _lagrange_integral(known: Sequence[float], chosen: int, start: float, end: float) -> float:
    """Integrate the polynomial that is 1 at `known[chosen]` and 0 at the others, of degree 3 at most."""
    others = [sigma for age, sigma in enumerate(known) if age != chosen]
    half, middle = (end - start) / 2, (end + start) / 2
    points = [middle - half / math.sqrt(3), middle + half / math.sqrt(3)]  # Gauss-Legendre, exact up to degree 3
    return half * sum(math.prod((point - other) / (known[chosen] - other) for other in others) for point in points)
