"""The DPM-Solver++ samplers of the reverse stochastic process: SDE, 2M SDE and 3M SDE.

Their `noise(sigma, following)` returns the increment of a Brownian path between two noise levels, scaled to variance 1.

Source: Lu et al. 2022, https://arxiv.org/abs/2211.01095, section 3.4 and appendix A; 3M as in k-diffusion.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from stable_core_sd.samplers.core import Array, Denoise, Noise, Step, ancestral_step, blend, walk

MIDDLE = 1 / 2
"""Where within a step, on a logarithmic scale, DPM++ SDE calls the model a second time."""


class _Guess(NamedTuple):
    """A former guess of the clean latent, and the length in ln(sigma) of the step that it was made for."""

    denoised: Array
    length: float


def sample_dpmpp_sde(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do single-step DPM-Solver++(2S) steps of the stochastic process."""
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        if following > 0:
            middle = math.exp(math.log(sigma) + MIDDLE * (math.log(following) - math.log(sigma)))
            down, up = ancestral_step(sigma, middle, eta)
            trial = blend(x, denoised, down / sigma) + noise(sigma, middle) * (s_noise * up)
            weight = 1 / (2 * MIDDLE)
            target = denoised * (1 - weight) + denoise(trial, middle) * weight
            down, up = ancestral_step(sigma, following, eta)
            x = blend(x, target, down / sigma) + noise(sigma, following) * (s_noise * up)
        else:
            x = denoised
        yield Step(x, denoised, done)


def sample_dpmpp_2m_sde(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do multistep DPM-Solver++(2M) steps of the stochastic process, with the slope at the middle of each."""
    add_noise = partial(_with_noise, noise=noise, eta=eta, s_noise=s_noise)
    return _multistep(denoise, x, sigmas, eta, add_noise, lambda exponent: -math.expm1(-exponent) / 2)


def sample_dpmpp_2m_sde_heun(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do multistep DPM-Solver++(2M) steps of the stochastic process, with the slopes at both ends of each."""
    add_noise = partial(_with_noise, noise=noise, eta=eta, s_noise=s_noise)
    return _multistep(denoise, x, sigmas, eta, add_noise, lambda exponent: 1 + math.expm1(-exponent) / exponent)


def _multistep(
    denoise: Denoise,
    x: Array,
    sigmas: Sequence[float],
    eta: float,
    add_noise: Callable[[Array, float, float], Array],
    weight: Callable[[float], float],
) -> Iterator[Step]:
    """Do steps of second order; `weight` is that of the difference to the former guess, for a step of some length."""
    former: _Guess | None = None
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        if following > 0:
            length = math.log(sigma / following)
            exponent = length * (1 + eta)
            x = blend(x, denoised, math.exp(-exponent))
            if former is not None:
                x = x + (denoised - former.denoised) * (weight(exponent) * length / former.length)
            x = add_noise(x, sigma, following)
            former = _Guess(denoised, length)
        else:
            x = denoised
        yield Step(x, denoised, done)


def sample_dpmpp_3m_sde(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do multistep steps of third order of the stochastic process."""
    former: list[_Guess] = []
    for sigma, following, done in walk(sigmas):
        denoised = denoise(x, sigma)
        if following > 0:
            length = math.log(sigma / following)
            exponent = length * (1 + eta)
            x = blend(x, denoised, math.exp(-exponent)) + _bends(denoised, length, exponent, former)
            x = _with_noise(x, sigma, following, noise, eta, s_noise)
            former = [_Guess(denoised, length), *former][:2]
        else:
            x = denoised
        yield Step(x, denoised, done)


def _bends(denoised: Array, length: float, exponent: float, former: Sequence[_Guess]) -> Array:
    """Return what the former guesses add to a step: their first and second difference, or 0 without any."""
    if not former:
        return 0
    second = math.expm1(-exponent) / exponent + 1
    near_ratio = former[0].length / length
    near = (denoised - former[0].denoised) / near_ratio
    if len(former) == 1:
        return near * second
    far_ratio = former[1].length / length
    far = (former[0].denoised - former[1].denoised) / far_ratio
    curve = (near - far) / (near_ratio + far_ratio)
    return (near + curve * near_ratio) * second - curve * (second / exponent - 0.5)


def _with_noise(x: Array, sigma: float, following: float, noise: Noise, eta: float, s_noise: float) -> Array:
    if not eta:
        return x
    spread = following * math.sqrt(1 - (following / sigma) ** (2 * eta))
    return x + noise(sigma, following) * (spread * s_noise)
