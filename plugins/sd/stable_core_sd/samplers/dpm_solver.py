"""The DPM-Solver samplers that choose their own steps, DPM fast and DPM adaptive: of a schedule they take the ends.

Time here is `t = -ln(sigma)`, so it rises while the noise falls.

Source: Lu et al. 2022, https://arxiv.org/abs/2206.00927.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from stable_core_sd.samplers.core import Array, Denoise, Noise, Step, ancestral_step

MIDDLES = 1 / 3, 2 / 3
"""Where within a step DPM-Solver-3 looks at the slope."""


RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 0.05, 0.0078
ACCEPTED_CHANGE = 0.81
"""An adaptive step counts if it does not have to be shortened below this share of its length."""
FIRST_LENGTH = 0.05
"""The length of the first adaptive step, in t."""


def sample_dpm_fast(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 0.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do steps of third order, and lower ones at the end, with as many model calls as the schedule has steps.

    Args:
        sigmas: only their number, the first and the last are looked at; the last is above 0.

    Source: DPM-Solver-fast, section 3.4.
    """
    start, end = (-math.log(sigma) for sigma in (sigmas[0], sigmas[-1]))
    orders = fast_orders(len(sigmas) - 1)
    times = [start + (end - start) * index / len(orders) for index in range(len(orders) + 1)]
    for index, order in enumerate(orders):
        time, following = times[index], times[index + 1]
        target, up = _ancestral_target(time, following, end, eta)
        slope, denoised = _slope(denoise, x, time)
        if order == 1:
            x = _first_order(x, slope, time, target)
        elif order == 2:
            x = _second_order(x, slope, _slope_within(denoise, x, slope, time, target, 1 / 2), time, target, 1 / 2)
        else:
            middle = _slope_within(denoise, x, slope, time, target, MIDDLES[0])
            x = _third_order(denoise, x, slope, middle, time, target)
        x = x + noise() * (up * s_noise)
        yield Step(x, denoised, (index + 1) / len(orders))


def fast_orders(steps: int) -> list[int]:
    """Return the orders of the steps of DPM fast; they add up to `steps`."""
    threes, rest = divmod(steps, 3)
    return [3] * (threes - 1) + [2, 1] if rest == 0 else [3] * threes + [rest]


def sample_dpm_adaptive(
    denoise: Denoise, x: Array, sigmas: Sequence[float], noise: Noise, eta: float = 0.0, s_noise: float = 1.0
) -> Iterator[Step]:
    """Do steps of third order as long as the difference to second order allows; it yields rejected steps too.

    All pictures of a batch share the length of their steps.

    Args:
        sigmas: only the first and the last are looked at; the last is above 0.

    Source: DPM-Solver-12 and -23, appendix C.
    """
    start, end = (-math.log(sigma) for sigma in (sigmas[0], sigmas[-1]))
    time, length, previous = start, FIRST_LENGTH, x
    while time < end - 1e-5:
        following = min(end, time + length)
        target, up = _ancestral_target(time, following, end, eta)
        slope, denoised = _slope(denoise, x, time)
        middle = _slope_within(denoise, x, slope, time, target, MIDDLES[0])
        low = _second_order(x, slope, middle, time, target, MIDDLES[0])
        high = _third_order(denoise, x, slope, middle, time, target)
        error = _relative_error(low, high, previous)
        change = 1 + math.atan((1 / (error + 1e-8)) ** (1 / (1.5 if eta else 3)) - 1)
        if change >= ACCEPTED_CHANGE:
            previous = low
            x = high + noise() * (up * s_noise)
            time = following
        length *= change
        yield Step(x, denoised, (time - start) / (end - start))


def _relative_error(low: Array, high: Array, previous: Array) -> float:
    largest = _maximum(abs(low), abs(previous))
    ratio = (low - high) / _maximum(largest * RELATIVE_TOLERANCE, largest * 0 + ABSOLUTE_TOLERANCE)
    return math.sqrt(float((ratio * ratio).mean()))


def _maximum(first: Array, second: Array) -> Array:
    is_larger = first > second
    return first * is_larger + second * ~is_larger


def _ancestral_target(time: float, following: float, end: float, eta: float) -> tuple[float, float]:
    """Return the time to denoise to, and how much noise then leads back to `following`."""
    if not eta:
        return following, 0.0
    down, _ = ancestral_step(math.exp(-time), math.exp(-following), eta)
    target = min(end, -math.log(down))
    return target, math.sqrt(max(math.exp(-2 * following) - math.exp(-2 * target), 0.0))


def _slope(denoise: Denoise, x: Array, time: float) -> tuple[Array, Array]:
    sigma = math.exp(-time)
    denoised = denoise(x, sigma)
    return (x - denoised) / sigma, denoised


def _slope_within(denoise: Denoise, x: Array, slope: Array, time: float, end: float, part: float) -> Array:
    """Return the slope at a part of the way to `end`, reached by a step of first order."""
    middle = time + part * (end - time)
    return _slope(denoise, _first_order(x, slope, time, middle), middle)[0]


def _first_order(x: Array, slope: Array, time: float, end: float) -> Array:
    return x - slope * (math.exp(-end) * math.expm1(end - time))


def _second_order(x: Array, slope: Array, middle: Array, time: float, end: float, part: float) -> Array:
    factor = math.exp(-end) * math.expm1(end - time)
    return x - slope * factor - (middle - slope) * (factor / (2 * part))


def _third_order(denoise: Denoise, x: Array, slope: Array, middle: Array, time: float, end: float) -> Array:
    step, (first, second) = end - time, MIDDLES
    later = time + second * step
    bend = second / first * (math.expm1(second * step) / (second * step) - 1)
    trial = _first_order(x, slope, time, later) - (middle - slope) * (math.exp(-later) * bend)
    later_slope, _ = _slope(denoise, trial, later)
    bend = (math.expm1(step) / step - 1) / second
    return _first_order(x, slope, time, end) - (later_slope - slope) * (math.exp(-end) * bend)
