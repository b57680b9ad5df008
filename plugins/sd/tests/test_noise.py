"""Noise from seeds: independence of the batch, variations, sources, Brownian paths. Reference draws: test_parity."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from stable_core_sd.brownian import BrownianNoise, BrownianPath
from stable_core_sd.noise import ImageNoise, Variation, image_noise, image_seeds, paste_centre, slerp, variation_seeds
from stable_core_sd.params import RunParams
from stable_core_sd.philox import philox

SHAPE = (4, 3, 5)


def draw(seed: int) -> torch.Tensor:
    return ImageNoise(SHAPE, []).draw(seed)


@pytest.mark.parametrize("source", ["CPU", "GPU", "NV"])
def test_an_image_has_the_same_noise_in_a_batch_and_alone(source: str) -> None:
    variation = Variation([20, 21, 22], 0.3, (3, 4))
    batch = ImageNoise(SHAPE, [7, 8, 9], "cpu", source, variation, 31337)
    alone = ImageNoise(SHAPE, [8], "cpu", source, Variation([21], 0.3, (3, 4)), 31337)
    for _ in range(3):
        assert torch.equal(batch()[1:2], alone())


def test_sources_differ_and_all_are_normal() -> None:
    cpu, nvidia = (ImageNoise((4, 64, 64), [7], "cpu", source)() for source in ("CPU", "NV"))
    assert not torch.allclose(cpu, nvidia)
    for noise in (cpu, nvidia):
        assert float(noise.mean()) == pytest.approx(0, abs=0.03)
        assert float(noise.std()) == pytest.approx(1, abs=0.03)


def test_philox_gives_the_published_words() -> None:
    # The known answers that come with the Random123 library: all zeros, and all ones.
    zeros = philox(np.zeros((4, 1), dtype=np.uint32), 0)
    assert [f"{int(word):08x}" for word in zeros[:, 0]] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    ones = philox(np.full((4, 1), 0xFFFFFFFF, dtype=np.uint32), 0xFFFFFFFFFFFFFFFF)
    assert [f"{int(word):08x}" for word in ones[:, 0]] == ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]


def test_seeds_count_up_and_minus_one_is_random() -> None:
    assert image_seeds(7, 3) == variation_seeds(7, 3) == [7, 8, 9]
    assert image_seeds(7, 3, variation_strength=0.5) == [7, 7, 7]
    assert image_seeds([5, 3], 2) == [5, 3]
    first, second = image_seeds(-1, 2)
    assert 0 <= first < second == first + 1 <= 2**32 - 2
    assert image_seeds(-1, 1) != image_seeds(-1, 1)


def test_variation_goes_from_one_noise_to_the_other() -> None:
    start, end = (ImageNoise((4, 16, 16), [seed])() for seed in (1, 2))
    steps = [ImageNoise((4, 16, 16), [1], variation=Variation([2], share))() for share in (0, 0.25, 0.5, 0.75, 1)]
    assert torch.equal(steps[0], start)
    assert torch.allclose(steps[-1], end, atol=1e-5)
    distances = [float((step - start).norm()) for step in steps]
    assert distances == sorted(distances)
    assert all(float(step.std()) == pytest.approx(1, abs=0.1) for step in steps)


def test_a_missing_second_seed_is_0() -> None:
    noise = ImageNoise(SHAPE, [1, 2], variation=Variation([3], 1.0))()
    assert torch.allclose(noise[1], draw(0), atol=1e-5)


def test_slerp_of_parallel_tensors_swaps_the_ends_as_the_original_does() -> None:
    start = torch.ones(1, 2, 2)
    assert torch.allclose(slerp(0.25, start, start * 2), start * 0.25 + start * 2 * 0.75)


def test_seed_resize_keeps_the_centre() -> None:
    small, large = ImageNoise((4, 4, 4), [1])(), ImageNoise((4, 8, 6), [1], variation=Variation(from_size=(4, 4)))()
    assert torch.equal(large[:, :, 2:6, 1:5], small)
    cropped = ImageNoise((4, 2, 4), [1], variation=Variation(from_size=(4, 4)))()
    assert torch.equal(cropped, small[:, :, 1:3])


def test_pasting_never_fails_whatever_the_sizes() -> None:
    for source in range(1, 6):
        for target in range(1, 6):
            pasted = paste_centre(torch.ones(1, source, target), torch.zeros(1, target, source))
            assert pasted.shape == (1, target, source)


def test_the_seed_delta_changes_the_noise_of_the_steps_only() -> None:
    plain, shifted = ImageNoise(SHAPE, [5]), ImageNoise(SHAPE, [5], seed_delta=10)
    assert torch.equal(plain(), shifted())
    assert torch.equal(shifted()[0], draw(15))
    assert not torch.equal(plain(), shifted())


def test_the_knobs_of_a_run_reach_its_noise() -> None:
    variation = {"strength": 0.5, "resize_from_width": 16, "resize_from_height": 24}
    params = RunParams(noise={"source": "NV", "seed_delta": 3}, variation=variation)
    found = image_noise(params, SHAPE, [5], [6], "cpu")
    expected = ImageNoise(SHAPE, [5], "cpu", "NV", Variation([6], 0.5, (2, 3)), 3)
    for _ in range(2):
        assert torch.equal(found(), expected())


def test_brownian_path_equals_that_of_torchsde() -> None:
    # torchsde 0.2.6: BrownianTree(0.0291675, zeros(4, 3, 5), 14.614642, entropy=7)(start, end), the first six numbers.
    path = BrownianPath(0.0291675, 14.614642, 7, draw)
    expected = {
        (1.25, 3.5): [0.090889, -0.992414, 0.310978, 2.708878, 0.24419, 0.669153],
        (0.0291675, 0.0413): [-0.041943, -0.100818, -0.004777, 0.00596, -0.169361, 0.073759],
    }
    for (start, end), increment in expected.items():
        assert path.increment(start, end).flatten()[:6].tolist() == pytest.approx(increment, abs=2e-6)


def test_brownian_path_adds_up_whatever_is_asked_for_first() -> None:
    path, other = (BrownianPath(0.03, 14.6, 3, draw) for _ in range(2))
    whole = path.increment(0.5, 9.0)
    parts = [other.increment(*pair) for pair in ((3.0, 9.0), (0.5, 0.7), (0.7, 3.0))]
    assert torch.allclose(sum(parts), whole, atol=1e-5)
    assert not path.increment(2.0, 2.0000001).any()
    assert torch.equal(path.increment(14.0, 99.0), path.increment(14.0, 14.6))


def test_brownian_noise_is_normal_and_each_picture_has_its_own() -> None:
    generator = ImageNoise((4, 32, 32), [])
    noise = BrownianNoise(0.03, 14.6, [1, 2], generator.draw)
    sigmas = [14.6, 8.0, 3.0, 1.0, 0.3, 0.03]
    draws = [noise(sigma, following) for sigma, following in itertools.pairwise(sigmas)]
    assert all(float(one.std()) == pytest.approx(1, abs=0.05) for one in draws)
    correlation = float((draws[0] * draws[1]).mean())
    assert abs(correlation) < 3 / math.sqrt(draws[0].numel())
    assert torch.equal(draws[0][1:], BrownianNoise(0.03, 14.6, [2], generator.draw)(14.6, 8.0))
