"""A variation goes all the way from one real picture to another, measured in pixels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from variation_pictures import PAIRS, variations

FIXED = [("a red circle on a blue background", seed, seed + 1) for seed in (3, 11, 21)]


def distances(pictures: list[Any], end: Any) -> list[float]:
    return [float(np.abs(np.asarray(one, dtype=float) - np.asarray(end, dtype=float)).mean()) for one in pictures]


@pytest.mark.parametrize("pair", [*PAIRS, *FIXED])
def test_a_picture_morphs_monotonically_into_that_of_the_second_seed(pair: tuple[str, int, int]) -> None:
    pictures = variations(*pair)
    for made in (pictures, pictures[::-1]):
        away = distances(made, made[0])
        assert away[-1] > 0.5
        assert all(later > earlier - 0.02 * away[-1] for earlier, later in itertools.pairwise(away))
