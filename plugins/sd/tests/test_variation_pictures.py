"""A variation goes all the way from one real picture to another, measured in pixels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from variation_pictures import variations

SETTLED = [("a red circle on a blue background", seed, seed + 1) for seed in (3, 11, 21)]
"""A prompt that leaves nothing open to the seed but where the circle is and how large."""
OPEN = [("a shape on a white background", seed, seed + 1) for seed in range(7, 27, 2)]
"""A prompt whose shape and colour are the seed's: they turn over at once, perhaps by way of a third."""


def distance(first: Any, second: Any) -> float:
    return float(np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean())


@pytest.mark.parametrize("pair", SETTLED)
def test_a_picture_morphs_monotonically_into_that_of_the_second_seed(pair: tuple[str, int, int]) -> None:
    pictures = variations(*pair)
    for made in (pictures, pictures[::-1]):
        away = [distance(one, made[0]) for one in made]
        assert away[-1] > 0.5
        assert all(later > earlier - 0.02 * away[-1] for earlier, later in itertools.pairwise(away))


def progress_of(pictures: list[Any]) -> list[float]:
    """Return how far each picture is on the way from the first, 0, to the last, 1."""
    away = [(distance(one, pictures[0]), distance(one, pictures[-1])) for one in pictures]
    return [first / (first + last) for first, last in away]


def test_over_many_seeds_each_strength_is_further_on_the_way_to_the_second() -> None:
    ways = np.array([progress_of(variations(*pair, count=4)) for pair in OPEN])
    assert np.ptp(ways[:, [0, -1]], axis=0).max() == 0
    steps = np.diff(ways.mean(axis=0))
    assert steps.min() > 0.05
    assert steps.max() < 0.6
