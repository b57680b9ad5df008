"""The DPM-Solver++ samplers that follow the probability flow: 2M and, with ancestral noise, 2S a. See sde for the rest.

Source: Lu et al. 2022, https://arxiv.org/abs/2211.01095.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from stable_core_sd.samplers.core import Array, Denoise, Noise, Step, ancestral_step, blend, walk


def sample_dpmpp_2s_ancestral(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do single-step DPM-Solver++(2S) steps with noise added back. Source: algorithm 1."""
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral_step(sigma, following, eta)
        target = denoised
        if down > 0:
            middle = math.sqrt(sigma * down)
            target = denoise(blend(x, denoised, middle / sigma), middle)
        x = blend(x, target, down / sigma)
        if following > 0:
            x = x + noise() * (s_noise * up)
        yield Step(x, denoised, done)


def sample_dpmpp_2m(denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise) -> Iterator[Step]:
    """Do multistep DPM-Solver++(2M) steps. Source: algorithm 2."""
    previous: tuple[float, Array] | None = None
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        target = denoised
        if previous is not None and following > 0:
            ratio = math.log(previous[0] / sigma) / math.log(sigma / following)
            target = denoised + (denoised - previous[1]) / (2 * ratio)
        x = blend(x, target, following / sigma)
        previous = sigma, denoised
        yield Step(x, denoised, done)
