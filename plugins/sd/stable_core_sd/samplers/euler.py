"""Samplers of first order: Euler, with and without ancestral noise. DDIM's form of it is in ddim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stable_core_sd.samplers.core import STILL, Array, Churn, Denoise, Noise, Step, ancestral_step, walk


def sample_euler(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, churn: Churn = STILL
) -> Iterator[Step]:
    """Follow the slope of the probability flow.

    Source: Karras et al. 2022, https://arxiv.org/abs/2206.00364, Euler steps.
    """
    for sigma, following, done in walk(sigmas):
        x, sigma = churn.apply(x, sigma, len(sigmas) - 1, noise)
        denoised = denoise(x, sigma)
        x = x + (x - denoised) * ((following - sigma) / sigma)
        yield Step(x, denoised, done)


def sample_euler_ancestral(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Go lower than the next level with an Euler step, then add noise back: ancestral sampling.

    Source: the ancestral step of Ho et al. 2020, https://arxiv.org/abs/2006.11239, in terms of sigma (k-diffusion).
    """
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral_step(sigma, following, eta)
        x = x + (x - denoised) * ((down - sigma) / sigma)
        if following > 0:
            x = x + noise() * (s_noise * up)
        yield Step(x, denoised, done)
