"""The quantiles of the beta distribution, for the schedule named after it. Plain numbers; no statistics beyond that."""

from __future__ import annotations

import math

_BISECTIONS = 80  # halves an interval of length 1 down to the spacing of doubles near 0
_FRACTION_TERMS = 300
_TINY = 1e-300


def beta_quantile(share: float, alpha: float, beta: float) -> float:
    """Return where the cumulative beta distribution with these shapes, above 0, reaches a share between 0 and 1."""
    if share <= 0 or share >= 1:
        return min(max(share, 0.0), 1.0)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if regularized_incomplete_beta(middle, alpha, beta) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def regularized_incomplete_beta(x: float, alpha: float, beta: float) -> float:
    """Return the share of the beta distribution below `x`. Source: NIST DLMF, https://dlmf.nist.gov/8.17, §8.17(v)."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (alpha + 1) / (alpha + beta + 2):  # the fraction converges fast below this only
        return 1 - regularized_incomplete_beta(1 - x, beta, alpha)
    log_density = alpha * math.log(x) + beta * math.log1p(-x)
    log_norm = math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta)
    return math.exp(log_density + log_norm) / (alpha * _continued_fraction(x, alpha, beta))


def _continued_fraction(x: float, alpha: float, beta: float) -> float:
    """Evaluate 1 + d1 / (1 + d2 / (1 + …)) from the front, by Lentz's method."""
    value, numerator, denominator = 1.0, 1.0, 0.0
    for term in range(1, _FRACTION_TERMS):
        half = term // 2
        if term % 2:
            weight = -(alpha + half) * (alpha + beta + half) / ((alpha + 2 * half) * (alpha + 2 * half + 1))
        else:
            weight = half * (beta - half) / ((alpha + 2 * half - 1) * (alpha + 2 * half))
        denominator = 1 / ((1 + weight * x * denominator) or _TINY)
        numerator = (1 + weight * x / numerator) or _TINY
        value *= numerator * denominator
        if abs(numerator * denominator - 1) < 1e-15:
            break
    return value
