"""The samplers: one pure function each, from noise to a clean latent, over `denoise(x, sigma)`. They know no torch.

Every sampler is a generator. It yields a `Step` after each step; the last one holds the result. `x` is any array with
arithmetic (a tensor, a numpy array) and holds noise of strength `sigmas[0]` at the start. Sigmas are plain numbers that
fall, usually to 0. `noise()` returns a fresh draw shaped like `x`; draws happen in the order that A1111 makes them, so
the same seed gives the same picture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

Array = Any
Denoise = Callable[[Array, float], Array]
Noise = Callable[[], Array]


class Step(NamedTuple):
    """What is known after one step: the latent on its way, and the model's present guess of the clean latent."""

    x: Array
    denoised: Array


Sample = Callable[..., Iterator[Step]]


def ancestral_step(sigma: float, following: float, eta: float = 1.0) -> tuple[float, float]:
    """Split the way to `following` into (sigma_down, sigma_up): how far to denoise and how much noise to add back."""
    if not eta:
        return following, 0.0
    up = min(following, eta * math.sqrt(max(following**2 * (sigma**2 - following**2) / sigma**2, 0.0)))
    return math.sqrt(following**2 - up**2), up


class Churn(NamedTuple):
    """Extra noise before each step. Source: Karras et al. 2022, https://arxiv.org/abs/2206.00364, algorithm 2."""

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def apply(self, x: Array, sigma: float, steps: int, noise: Noise) -> tuple[Array, float]:
        """Return `x` and its noise level after churning; noise is drawn even where none is added."""
        drawn = noise()
        gamma = min(self.s_churn / steps, math.sqrt(2) - 1) if self.s_tmin <= sigma <= self.s_tmax else 0.0
        if not gamma:
            return x, sigma
        raised = sigma * (1 + gamma)
        return x + drawn * (self.s_noise * math.sqrt(raised**2 - sigma**2)), raised


STILL = Churn()
"""No extra noise."""


def sample_euler(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, churn: Churn = STILL
) -> Iterator[Step]:
    """Follow the slope of the probability flow.

    Source: Karras et al. 2022, https://arxiv.org/abs/2206.00364, Euler steps.
    """
    for sigma, following in _pairs(sigmas):
        x, sigma = churn.apply(x, sigma, len(sigmas) - 1, noise)
        denoised = denoise(x, sigma)
        x = x + (x - denoised) * ((following - sigma) / sigma)
        yield Step(x, denoised)


def sample_euler_ancestral(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Go lower than the next level with an Euler step, then add noise back: ancestral sampling.

    Source: the ancestral step of Ho et al. 2020, https://arxiv.org/abs/2006.11239, in terms of sigma (k-diffusion).
    """
    for sigma, following in _pairs(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral_step(sigma, following, eta)
        x = x + (x - denoised) * ((down - sigma) / sigma)
        if following > 0:
            x = x + noise() * (s_noise * up)
        yield Step(x, denoised)


def sample_heun(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, churn: Churn = STILL
) -> Iterator[Step]:
    """Average the slopes at both ends of each step.

    Source: Karras et al. 2022, https://arxiv.org/abs/2206.00364, algorithm 2.
    """
    for sigma, following in _pairs(sigmas):
        x, sigma = churn.apply(x, sigma, len(sigmas) - 1, noise)
        denoised = denoise(x, sigma)
        slope = (x - denoised) / sigma
        if following > 0:
            trial = x + slope * (following - sigma)
            slope = (slope + (trial - denoise(trial, following)) / following) / 2
        x = x + slope * (following - sigma)
        yield Step(x, denoised)


def sample_dpm_2(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, churn: Churn = STILL
) -> Iterator[Step]:
    """Take the slope at the logarithmic middle of each step.

    Source: DPM-Solver-2, Lu et al. 2022, https://arxiv.org/abs/2206.00927.
    """
    for sigma, following in _pairs(sigmas):
        x, sigma = churn.apply(x, sigma, len(sigmas) - 1, noise)
        denoised = denoise(x, sigma)
        x = _midpoint_step(denoise, x, denoised, sigma, following)
        yield Step(x, denoised)


def sample_dpm_2_ancestral(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do DPM-Solver-2 steps below the next level and add noise back: `sample_dpm_2` made ancestral."""
    for sigma, following in _pairs(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral_step(sigma, following, eta)
        x = _midpoint_step(denoise, x, denoised, sigma, down)
        if down > 0:
            x = x + noise() * (s_noise * up)
        yield Step(x, denoised)


def sample_lms(denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, order: int = 4) -> Iterator[Step]:
    """Extrapolate the slope from the last steps with a polynomial.

    Source: the linear multistep method of Adams and Bashforth.
    """
    slopes: list[Array] = []
    for index, (sigma, following) in enumerate(_pairs(sigmas)):
        denoised = denoise(x, sigma)
        slopes = [(x - denoised) / sigma, *slopes][:order]
        known = [sigmas[index - age] for age in range(len(slopes))]
        for age, slope in enumerate(slopes):
            x = x + slope * _lagrange_integral(known, age, sigma, following)
        yield Step(x, denoised)


def sample_dpmpp_2s_ancestral(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 1.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do single-step DPM-Solver++(2S) steps with noise added back. Source: Lu et al. 2022, https://arxiv.org/abs/2211.01095."""
    for sigma, following in _pairs(sigmas):
        denoised = denoise(x, sigma)
        down, up = ancestral_step(sigma, following, eta)
        target = denoised
        if down > 0:
            middle = math.sqrt(sigma * down)
            target = denoise(_blend(x, denoised, middle / sigma), middle)
        x = _blend(x, target, down / sigma)
        if following > 0:
            x = x + noise() * (s_noise * up)
        yield Step(x, denoised)


def sample_dpmpp_2m(denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise) -> Iterator[Step]:
    """Do multistep DPM-Solver++(2M) steps. Source: Lu et al. 2022, https://arxiv.org/abs/2211.01095, algorithm 2."""
    previous: tuple[float, Array] | None = None
    for sigma, following in _pairs(sigmas):
        denoised = denoise(x, sigma)
        target = denoised
        if previous is not None and following > 0:
            ratio = math.log(previous[0] / sigma) / math.log(sigma / following)
            target = denoised + (denoised - previous[1]) / (2 * ratio)
        x = _blend(x, target, following / sigma)
        previous = sigma, denoised
        yield Step(x, denoised)


def sample_ddim(denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 0.0) -> Iterator[Step]:
    """Do DDIM steps over the sigmas of whole timesteps; it stops at the lowest, where hardly any noise is left.

    DDIM keeps a latent of variance one, `x / sqrt(sigma² + 1)`. In terms of sigma its step is the ancestral Euler
    step, with eta 0 the plain one; only the end is scaled back.

    Source: Song et al. 2020, https://arxiv.org/abs/2010.02502, equation 12.
    """
    for index, (sigma, following) in enumerate(_pairs(sigmas)):
        denoised = denoise(x, sigma)
        down, up = ancestral_step(sigma, following, eta)
        x = x + (x - denoised) * ((down - sigma) / sigma) + noise() * up
        is_last = index == len(sigmas) - 2
        yield Step(x / math.sqrt(following**2 + 1) if is_last else x, denoised)


SAMPLES: dict[str, Sample] = {
    "DPM++ 2M": sample_dpmpp_2m,
    "DPM++ 2S a": sample_dpmpp_2s_ancestral,
    "Euler a": sample_euler_ancestral,
    "Euler": sample_euler,
    "LMS": sample_lms,
    "Heun": sample_heun,
    "DPM2": sample_dpm_2,
    "DPM2 a": sample_dpm_2_ancestral,
    "DDIM": sample_ddim,
}
"""The function of each sampler by its label."""


def _pairs(sigmas: Sequence[float]) -> Iterator[tuple[float, float]]:
    return itertools.pairwise(sigmas)


def _blend(x: Array, target: Array, share: float) -> Array:
    """Return `share` of `x` and the rest of `target`: the exact step if the model's guess were constant."""
    return x * share + target * (1 - share)


def _midpoint_step(denoise: Denoise, x: Array, denoised: Array, sigma: float, following: float) -> Array:
    slope = (x - denoised) / sigma
    if following > 0:
        middle = math.sqrt(sigma * following)
        trial = x + slope * (middle - sigma)
        slope = (trial - denoise(trial, middle)) / middle
    return x + slope * (following - sigma)


def _lagrange_integral(known: Sequence[float], chosen: int, start: float, end: float) -> float:
    """Integrate the polynomial that is 1 at `known[chosen]` and 0 at the others, of degree 3 at most."""
    others = [sigma for age, sigma in enumerate(known) if age != chosen]
    half, middle = (end - start) / 2, (end + start) / 2
    points = [middle - half / math.sqrt(3), middle + half / math.sqrt(3)]  # Gauss-Legendre, exact up to degree 3
    return half * sum(math.prod((point - other) / (known[chosen] - other) for other in others) for point in points)
