"""The sampler of latent consistency models, and the scaling such a model's guess needs. Its levels are in schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stable_core_sd.samplers.core import Array, Denoise, Noise, Step, walk

SIGMA_DATA, TIME_SCALE = 0.5, 10.0


def sample_lcm(denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise) -> Iterator[Step]:
    """Take each guess as the result and put noise on it again.

    Source: Luo et al. 2023, https://arxiv.org/abs/2310.04378, algorithm 3.
    """
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        x = denoised + noise() * following if following > 0 else denoised
        yield Step(x, denoised, done)


def scale_boundary(denoise: Denoise, timestep: Callable[[float], float]) -> Denoise:
    """Return `denoise` with the scaling that makes a consistency model's guess at timestep 0 its input.

    Args:
        timestep: of a noise level.

    Source: Luo et al. 2023, equation 8, with the factors of their published code.
    """

    def scaled(x: Array, sigma: float) -> Array:
        scaled_time = timestep(sigma) * TIME_SCALE
        length = scaled_time**2 + SIGMA_DATA**2
        return denoise(x, sigma) * (scaled_time / length**0.5) + x * (SIGMA_DATA**2 / length)

    return scaled
