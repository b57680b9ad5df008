"""DDIM and its CFG++ form, over whole timesteps. Which timesteps they walk is not decided here.

DDIM keeps a latent of variance one, `x / sqrt(sigma² + 1)`. In terms of sigma its step is the ancestral Euler step,
with eta 0 the plain one; only the end is scaled back. It stops at the lowest timestep, where hardly any noise is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stable_core_sd.samplers.core import Array, Denoise, Noise, Step, ancestral_step, walk, with_variance_one


def sample_ddim(denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 0.0) -> Iterator[Step]:
    """Do DDIM steps. Source: Song et al. 2020, https://arxiv.org/abs/2010.02502, equation 12."""
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral_step(sigma, following, eta)
        x = x + (x - denoised) * ((down - sigma) / sigma) + noise() * up
        yield Step(with_variance_one(x, following) if done == 1 else x, denoised, done)


def sample_ddim_cfgpp(
    denoise_both: Callable[[Array, float], tuple[Array, Array]],
    x: Array,
    sigmas: Sequence[float],
    noise: Noise,
    eta: float = 0.0,
) -> Iterator[Step]:
    """Do DDIM steps from the guided guess in the direction of the unguided one.

    Args:
        denoise_both: returns the guided guess and the one for the negative prompt alone.

    Source: CFG++, Chung et al. 2024, https://arxiv.org/abs/2406.08070, algorithm 2.
    """
    for sigma, following, done in walk(sigmas):
        denoised, unguided = denoise_both(x, sigma)
        down, up = ancestral_step(sigma, following, eta)
        x = denoised + (x - unguided) * (down / sigma) + noise() * up
        yield Step(with_variance_one(x, following) if done == 1 else x, denoised, done)
