"""Loopback: how strongly each pass over its own result may change the picture. It runs nothing.

Source of the curves: A1111 1.10, loopback.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

Curve = Literal["Linear", "Aggressive", "Lazy"]

CURVES: dict[Curve, Callable[[float], float]] = {
    "Linear": lambda share: share,
    "Aggressive": lambda share: math.sin(share * math.pi / 2),
    "Lazy": lambda share: 1 - math.cos(share * math.pi / 2),
}
"""From the share of the loops that are done, 0 to 1, to the share of the way from the first strength to the last."""


def loop_strengths(loops: int, first: float, last: float, curve: Curve = "Linear") -> list[float]:
    """Return the denoising strength of each loop; a single loop has the first."""
    shares = [index / (loops - 1) for index in range(loops)] if loops > 1 else [0.0]
    return [first + (last - first) * CURVES[curve](share) for share in shares]
