"""Noise from seeds: the reference draws, and independence of the batch."""

from __future__ import annotations

import pytest
import torch

from stable_core_sd.noise import ImageNoise, image_seeds
from vectors import cases

PLAIN = [
    case
    for case in cases("seed_noise")
    if case["input"]["op"] == "image_rng"
    and case["input"]["source"] == "CPU"
    and not case["input"]["subseed_strength"]
    and not case["input"]["eta_noise_seed_delta"]
    and not (case["input"]["seed_resize_from_h"] and case["input"]["seed_resize_from_w"])
]


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case["id"])
def test_draws_equal_the_reference(case: dict) -> None:
    asked = case["input"]
    noise = ImageNoise(tuple(asked["shape"]), asked["seeds"])
    for expected in case["expected"]["draws"]:
        drawn = noise()
        assert list(drawn.shape) == expected["shape"]
        assert drawn.ravel().tolist() == pytest.approx(expected["data"], abs=2e-5)


def test_there_are_reference_draws() -> None:
    assert len(PLAIN) >= 3


def test_an_image_has_the_same_noise_in_a_batch_and_alone() -> None:
    batch, alone = ImageNoise((4, 3, 5), [7, 8, 9]), ImageNoise((4, 3, 5), [8])
    for _ in range(3):
        assert torch.equal(batch()[1:2], alone())


def test_seeds_count_up_and_minus_one_is_random() -> None:
    assert image_seeds(7, 3) == [7, 8, 9]
    first, second = image_seeds(-1, 2)
    assert 0 <= first < second == first + 1 <= 2**32
    assert image_seeds(-1, 1) != image_seeds(-1, 1)
