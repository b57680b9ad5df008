"""What all samplers share: their vocabulary, ancestral steps and churn. No sampler is here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

Array = Any
Denoise = Callable[[Array, float], Array]
Noise = Callable[..., Array]


class Step(NamedTuple):
    """What is known after one step.

    Attributes:
        x: the latent on its way.
        denoised: the model's present guess of the clean latent.
        done: the share of the way that lies behind, up to 1.
    """

    x: Array
    denoised: Array
    done: float


Sample = Callable[..., Iterator[Step]]


def walk(sigmas: Sequence[float]) -> Iterator[tuple[float, float, float]]:
    """Yield each noise level, the following one, and the share of the way that is done when that is reached."""
    for index, (sigma, following) in enumerate(itertools.pairwise(sigmas), 1):
        yield sigma, following, index / (len(sigmas) - 1)


def ancestral_step(sigma: float, following: float, eta: float = 1.0) -> tuple[float, float]:
    """Split the way to `following` into (sigma_down, sigma_up): how far to denoise and how much noise to add back."""
    if not eta:
        return following, 0.0
    up = min(following, eta * math.sqrt(max(following**2 * (sigma**2 - following**2) / sigma**2, 0.0)))
    return math.sqrt(following**2 - up**2), up


def blend(x: Array, target: Array, share: float) -> Array:
    """Return `share` of `x` and the rest of `target`: the exact step if the model's guess were constant."""
    return x * share + target * (1 - share)


def with_variance_one(x: Array, sigma: float) -> Array:
    """Return a latent with noise of strength `sigma` in the scale of DDIM and its kin, whose variance is always one."""
    return x / math.sqrt(sigma**2 + 1)


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
