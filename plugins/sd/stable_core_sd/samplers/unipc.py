"""UniPC: a predictor and corrector of any order with one model call per step. Its noise levels are made elsewhere.

With `l = -ln(sigma)` and guesses of the clean latent, one step from `l0` to `l` of length `h` is
`x = (sigma / sigma0) x0 - (exp(-h) - 1) m0 - B (weighted differences of guesses)`.

Source: Zhao et al. 2023, https://arxiv.org/abs/2302.04867, algorithms 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from stable_core_sd.samplers.core import Array, Denoise, Noise, Step, walk, with_variance_one


class _Known(NamedTuple):
    """A guess of the clean latent and the noise level that it was made at."""

    sigma: float
    denoised: Array


class Method(NamedTuple):
    """The knobs of UniPC.

    Attributes:
        order: how many guesses a step looks at; as many as there are steps at most.
        variant: the function B(h) of the paper: bh1 is -h, bh2 is exp(-h) - 1.
        lower_order_final: lower the order in the last steps, which is steadier if there are few.
    """

    order: int = 3
    variant: Literal["bh1", "bh2"] = "bh1"
    lower_order_final: bool = True


USUAL = Method()


def sample_unipc(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, method: Method = USUAL
) -> Iterator[Step]:
    """Predict, call the model, correct with what it says. The last step is not corrected."""
    steps = len(sigmas) - 1
    known = [_Known(sigmas[0], denoise(x, sigmas[0]))]
    for index, (_, following, done) in enumerate(walk(sigmas), 1):
        order = min(method.order, index, steps + 1 - index if method.lower_order_final else steps)
        update = _Update(known[:order], following, method.variant)
        predicted = update.apply(x, update.predictor_weights())
        if index < steps:
            guess = denoise(predicted, following)
            x = update.apply(x, update.corrector_weights(), guess)
            known = [_Known(following, guess), *known][: method.order]
            yield Step(x, guess, done)
        else:
            yield Step(with_variance_one(predicted, following), known[0].denoised, done)


class _Update:
    """One step to a noise level, from the newest known guess and former ones."""

    def __init__(self, known: Sequence[_Known], following: float, variant: str) -> None:
        self.known, self.following = known, following
        self.length = math.log(known[0].sigma / following)
        self.scale = -self.length if variant == "bh1" else math.expm1(-self.length)
        self.ratios = [math.log(known[0].sigma / one.sigma) / self.length for one in known[1:]]

    def predictor_weights(self) -> list[float]:
        """Return the weights of the differences between former guesses and the newest."""
        if len(self.ratios) == 1:
            return [0.5]  # of second order: the paper's simpler form
        return _solve_vandermonde(self.ratios, self._moments()[:-1])

    def corrector_weights(self) -> list[float]:
        """Return the weights of those differences and of that of the guess at the end of the step."""
        return _solve_vandermonde([*self.ratios, 1.0], self._moments()) if self.ratios else [0.5]

    def apply(self, x: Array, weights: Sequence[float], guess: Array = None) -> Array:
        """Return `x` after the step; `guess` is that at its end, for the corrector."""
        newest = self.known[0]
        differences = [
            (one.denoised - newest.denoised) / ratio for one, ratio in zip(self.known[1:], self.ratios, strict=True)
        ]
        if guess is not None:
            differences.append(guess - newest.denoised)
        x = x * (self.following / newest.sigma) - newest.denoised * math.expm1(-self.length)
        for weight, difference in zip(weights, differences, strict=True):
            x = x - difference * (self.scale * weight)
        return x

    def _moments(self) -> list[float]:
        """Return what the weights have to give with each power of the ratios, from 0 on."""
        moments, factorial = [], 1
        phi = math.expm1(-self.length) / -self.length - 1
        for power in range(1, len(self.known) + 1):
            moments.append(phi * factorial / self.scale)
            factorial *= power + 1
            phi = phi / -self.length - 1 / factorial
        return moments


def _solve_vandermonde(ratios: Sequence[float], moments: Sequence[float]) -> list[float]:
    """Return weights w with `sum(w * ratio ** k) == moments[k]` for every k, by Gaussian elimination."""
    size = len(ratios)
    rows = [[ratio**power for ratio in ratios] + [moments[power]] for power in range(size)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in range(size):
            if row != column:
                factor = rows[row][column] / rows[column][column]
                rows[row] = [one - factor * other for one, other in zip(rows[row], rows[column], strict=True)]
    return [rows[row][size] / rows[row][row] for row in range(size)]
