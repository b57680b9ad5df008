"""Noise levels: the training table of a model and the ways to space the sigmas of a run. Plain numbers, no tensors."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable

from stable_core_sd.beta_quantile import beta_quantile

ALIGNED_STEPS = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
ALIGNED_STEPS_XL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)
"""Align Your Steps for Stable Diffusion 1.x and XL. Source: Sabour et al. 2024, https://arxiv.org/abs/2404.14507"""


def single(value: float) -> float:
    """Round a number to 32 bits.

    The original computes noise levels in this precision, and Brownian paths round them to six digits, so that the last
    bits decide about which noise is drawn.
    """
    return array("f", (value,))[0]


class SigmaTable:
    """The noise levels a model was trained on, one per timestep, and the way between sigmas and timesteps.

    `sigma = sqrt((1 - a) / a)` where `a` is the product of all `1 - beta` so far. Between two timesteps the
    logarithm of sigma is interpolated linearly.
    """

    def __init__(self, betas: Iterable[float]) -> None:
        product, kept = 1.0, []
        for beta in betas:
            product *= 1 - beta
            kept.append(product)
        alphas = array("f", kept)  # rounded to float32, as checkpoints store them
        self._set_sigmas([single(math.sqrt(single(single(1 - alpha) / alpha))) for alpha in alphas])

    def _set_sigmas(self, sigmas: list[float]) -> None:
        self.sigmas = sigmas
        self._logs = [math.log(sigma) for sigma in sigmas]
        self.sigma_min, self.sigma_max = sigmas[0], sigmas[-1]

    def timestep(self, sigma: float) -> float:
        """Return the timestep, not rounded, at which the model saw noise of this strength; clamped to the table."""
        return self._position(sigma)

    def _position(self, sigma: float) -> float:
        log = math.log(sigma)
        low = min(max(bisect_right(self._logs, log) - 1, 0), len(self._logs) - 2)
        share = (log - self._logs[low]) / (self._logs[low + 1] - self._logs[low])
        return low + min(max(share, 0.0), 1.0)

    def sigma(self, timestep: float) -> float:
        """Return the noise level at a timestep between 0 and the length of the table - 1."""
        low = min(int(timestep), len(self._logs) - 2)
        share = timestep - low
        return math.exp((1 - share) * self._logs[low] + share * self._logs[low + 1])


class WholeTimesteps(SigmaTable):
    """The same noise levels, but a model is only asked about the nearest timestep that it was trained on."""

    def __init__(self, table: SigmaTable) -> None:
        self._set_sigmas(table.sigmas)

    def timestep(self, sigma: float) -> float:
        """Return the timestep with the nearest logarithm of sigma."""
        return float(_round_half_down(self._position(sigma)))


class ConsistencyTable(SigmaTable):
    """The 50 noise levels that latent consistency models are distilled at: every 20th of a table.

    Source: Luo et al. 2023, https://arxiv.org/abs/2310.04378.
    """

    LEVELS = 50
    HALFWAY = 2e-6
    """How far from the middle between two levels, as a share of their distance, still is the middle in 32 bits."""

    def __init__(self, table: SigmaTable) -> None:
        self._stride = len(table.sigmas) // self.LEVELS
        self._set_sigmas(table.sigmas[self._stride - 1 :: self._stride])

    def timestep(self, sigma: float) -> float:
        """Return the timestep, in those of the whole table, of the nearest level; of two equally near ones the lower.

        Odd numbers of steps ask for a level halfway between two. The original takes logarithms in 32 bits, where such
        distances are equal.
        """
        index = math.ceil(self._position(sigma) - 0.5 - self.HALFWAY)
        return float(index * self._stride + self._stride - 1)

    def sigma(self, timestep: float) -> float:
        """Return the noise level at a timestep of the whole table; below the lowest level it is that level's."""
        return super().sigma(max((timestep - (self._stride - 1)) / self._stride, 0.0))


def training_betas(kind: str, start: float, end: float, count: int) -> list[float]:
    """Return the betas of a training schedule as diffusers names it: `scaled_linear` (Stable Diffusion) or `linear`.

    Raises:
        ValueError: another kind.
    """
    if kind == "scaled_linear":
        return [root * root for root in _evenly(math.sqrt(start), math.sqrt(end), count)]
    if kind == "linear":
        return _evenly(start, end, count)
    raise ValueError(f"The noise schedule {kind!r} is not known here")


def uniform(steps: int, table: SigmaTable, sigma_min: float, sigma_max: float) -> list[float]:
    """Space the timesteps evenly over the whole table."""
    ways = _linspace(table.timestep(table.sigma_max), table.timestep(table.sigma_min), steps)
    return [single(table.sigma(t)) for t in ways] + [0.0]


def karras(steps: int, table: SigmaTable, sigma_min: float, sigma_max: float, rho: float = 7.0) -> list[float]:
    """Space `sigma ** (1 / rho)` evenly. Source: Karras et al. 2022, https://arxiv.org/abs/2206.00364, equation 5."""
    return [*karras_levels(steps, sigma_min, sigma_max, rho), 0.0]


def karras_levels(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> list[float]:
    """Return `steps` noise levels spaced like those of `karras`, without a 0 at the end."""
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    roots = [single(single(top) + single(way * single(bottom - top))) for way in _linspace(0, 1, steps)]
    return [single(root**rho) for root in roots]


def exponential(steps: int, table: SigmaTable, sigma_min: float, sigma_max: float) -> list[float]:
    """Space the logarithm of sigma evenly."""
    return [single(math.exp(log)) for log in _linspace(math.log(sigma_max), math.log(sigma_min), steps)] + [0.0]


def polyexponential(steps: int, table: SigmaTable, sigma_min: float, sigma_max: float, rho: float = 1.0) -> list[float]:
    """Space the logarithm of sigma by a power of the way left; rho 1 is `exponential`."""
    low, high = math.log(sigma_min), math.log(sigma_max)
    ways = [single(single(way**rho) * single(high - low)) for way in _linspace(1, 0, steps)]
    return [single(math.exp(single(way + single(low)))) for way in ways] + [0.0]


def sgm_uniform(steps: int, table: SigmaTable, sigma_min: float, sigma_max: float) -> list[float]:
    """Space the timesteps evenly and leave out the lowest, as Stability's generative-models code does."""
    ways = _linspace(table.timestep(sigma_max), table.timestep(sigma_min), steps + 1)
    return [table.sigma(t) for t in ways[:-1]] + [0.0]


def normal(steps: int, table: SigmaTable, sigma_min: float, sigma_max: float) -> list[float]:
    """Space the timesteps evenly between the two sigmas."""
    ways = _linspace(table.timestep(sigma_max), table.timestep(sigma_min), steps)
    return [table.sigma(t) for t in ways] + [0.0]


def simple(steps: int, table: SigmaTable, sigma_min: float, sigma_max: float) -> list[float]:
    """Take every n-th sigma of the table from the top."""
    stride = len(table.sigmas) / steps
    return [table.sigmas[-(1 + int(index * stride))] for index in range(steps)] + [0.0]


def ddim(steps: int, table: SigmaTable, sigma_min: float, sigma_max: float) -> list[float]:
    """Take the sigmas of timesteps 1, 1 + s, 1 + 2s, …: perhaps more than `steps`, below sigma_max at the top."""
    rising = table.sigmas[1 :: max(len(table.sigmas) // steps, 1)]
    return [*reversed(rising), 0.0]


def kl_optimal(steps: int, table: SigmaTable, sigma_min: float, sigma_max: float) -> list[float]:
    """Space the arctangent of sigma evenly, down to sigma_min and not to 0.

    Source: Sabour et al. 2024, https://arxiv.org/abs/2404.14507, section 4.1.
    """
    return [math.tan(angle) for angle in _linspace(math.atan(sigma_max), math.atan(sigma_min), steps + 1)]


def align_your_steps(
    steps: int, table: SigmaTable, sigma_min: float, sigma_max: float, is_xl: bool = False
) -> list[float]:
    """Resample the eleven sigmas found by Sabour et al. 2024 on a logarithmic scale."""
    aligned = ALIGNED_STEPS_XL if is_xl else ALIGNED_STEPS
    if steps == len(aligned):
        return [*aligned, 0.0]
    logs = [math.log(sigma) for sigma in aligned]
    sampled = []
    for way in _linspace(0, len(logs) - 1, steps):
        low = min(int(way), len(logs) - 2)
        sampled.append(math.exp(logs[low] + (way - low) * (logs[low + 1] - logs[low])))
    return [*sampled, 0.0]


def beta(
    steps: int, table: SigmaTable, sigma_min: float, sigma_max: float, alpha: float = 0.6, beta: float = 0.6
) -> list[float]:
    """Space the sigmas as the quantiles of a beta distribution, many at both ends.

    Source: Lee et al. 2024, https://arxiv.org/abs/2407.12173; over sigmas and not over timesteps, as A1111 does it.
    """
    ways = _linspace(1, 0, steps)
    return [sigma_min + beta_quantile(way, alpha, beta) * (sigma_max - sigma_min) for way in ways] + [0.0]


def variance_preserving(steps: int, beta_d: float, beta_min: float, epsilon: float) -> list[float]:
    """Space the time of a continuous variance-preserving process evenly. Models of this kind are not loaded here.

    Source: Song et al. 2021, https://arxiv.org/abs/2011.13456, equation 33, in the notation of Karras et al. 2022.
    """
    times = _linspace(1, epsilon, steps)
    return [math.sqrt(math.expm1(beta_d * time**2 / 2 + beta_min * time)) for time in times] + [0.0]


Schedule = Callable[..., list[float]]

SCHEDULES: dict[str, Schedule] = {
    "uniform": uniform,
    "karras": karras,
    "exponential": exponential,
    "polyexponential": polyexponential,
    "sgm_uniform": sgm_uniform,
    "kl_optimal": kl_optimal,
    "align_your_steps": align_your_steps,
    "simple": simple,
    "normal": normal,
    "ddim": ddim,
    "beta": beta,
}
"""Each takes (steps, table, sigma_min, sigma_max) and returns falling sigmas, mostly steps + 1 that end in 0."""


def _round_half_down(value: float) -> int:
    return math.ceil(value - 0.5)


def _linspace(start: float, end: float, count: int) -> list[float]:
    """Return evenly spaced numbers as PyTorch makes them in 32 bits: counted from both ends to the middle."""
    if count == 1:
        return [float(start)]
    start, end = single(start), single(end)
    step = single(single(end - start) / (count - 1))
    rising = [single(start + step * index) for index in range(count // 2)]
    return rising + [single(end - step * (count - 1 - index)) for index in range(count // 2, count)]


def _evenly(start: float, end: float, count: int) -> list[float]:
    return [start + (end - start) * index / (count - 1) for index in range(count)]
