"""Brownian paths from seeds: noise between two levels that fits the noise between any two others. It knows no samplers.

A path is made where its noise is drawn, and only what is asked for goes to the device: a step takes some 30 draws.

The same seed gives the same path as torchsde's BrownianTree, which k-diffusion's stochastic samplers use, whatever is
asked for and in which order: the path is refined by halving until that time is hit, each half with a draw of its own.

Source: the virtual Brownian tree of Li et al. 2020, https://arxiv.org/abs/2001.01328, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from stable_core_sd.device import send

DIGITS = 6
"""Times are rounded to this many digits, so that halving comes to an end."""
POOL_SIZE = 24
KEPT_DRAWS = 48  # two paths from the root to a leaf

Draw = Callable[[int], torch.Tensor]


class _Node(NamedTuple):
    """A stretch of time, where it is in the tree, and how far the path goes from its start to its end."""

    start: float
    end: float
    key: int
    depth: int
    increment: torch.Tensor


class BrownianPath:
    """One path between two times, fixed by a seed."""

    def __init__(self, start: float, end: float, seed: int, draw: Draw) -> None:
        """Take a function that returns the normal noise of a seed of 32 bits, always of the same shape."""
        self._seed = seed
        self._draw = lru_cache(maxsize=KEPT_DRAWS)(lambda key, depth: draw(self._random_word((key, depth))))
        increment = draw(self._random_word()) * math.sqrt(end - start)
        self._root = _Node(round(start, DIGITS), round(end, DIGITS), 0, 0, increment)

    def increment(self, start: float, end: float) -> torch.Tensor:
        """Return how far the path goes from `start` to `end`, a later time; times outside of it are cut off."""
        first, last = (round(min(max(time, self._root.start), self._root.end), DIGITS) for time in (start, end))
        if first == last:
            return torch.zeros_like(self._root.increment)
        parts = self._parts(self._root, first, last)
        total = next(parts)
        for part in parts:
            total = total + part
        return total

    def _parts(self, node: _Node, first: float, last: float) -> Iterator[torch.Tensor]:
        """Yield the increments of the fewest nodes that make up the stretch from `first` to `last`."""
        if (first, last) == (node.start, node.end):
            yield node.increment
            return
        middle = round((node.start + node.end) / 2, DIGITS)
        before, after = middle - node.start, node.end - middle
        mean = before * node.increment * (1 / (node.end - node.start))
        spread = math.sqrt(before * after * (1 / (node.end - node.start)))
        left = mean + spread * self._draw(node.key, node.depth)
        if first < middle:
            child = _Node(node.start, middle, 2 * node.key, node.depth + 1, left)
            yield from self._parts(child, first, min(last, middle))
        if last > middle:
            child = _Node(middle, node.end, 2 * node.key + 1, node.depth + 1, node.increment - left)
            yield from self._parts(child, max(first, middle), last)

    def _random_word(self, spawn_key: tuple[int, ...] = ()) -> int:
        sequence = np.random.SeedSequence(self._seed, spawn_key=spawn_key, pool_size=POOL_SIZE)
        return int(sequence.generate_state(1)[0])


class BrownianNoise:
    """`noise(sigma, following)` for the stochastic samplers: one path per picture, so that batches equal singles."""

    def __init__(
        self,
        sigma_min: float,
        sigma_max: float,
        seeds: Sequence[int],
        draw: Draw,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take a draw as `BrownianPath` does, and the device that noise is returned on."""
        self._device = torch.device(device)
        self._paths = [BrownianPath(sigma_min, sigma_max, seed, draw) for seed in seeds]

    def __call__(self, sigma: float, following: float) -> torch.Tensor:
        """Return noise of variance 1 for a step down from `sigma`, of shape (pictures, …)."""
        increments = torch.stack([path.increment(following, sigma) for path in self._paths])
        return send(-increments / math.sqrt(sigma - following), self._device)
