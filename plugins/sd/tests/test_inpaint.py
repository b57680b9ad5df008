"""Keeping what is not masked, against the loops of the original written out: no model, a formula guesses."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stable_core_sd.inpaint import Keep, latent_mask, masked_content
from stable_core_sd.samplers import SAMPLES
from stable_core_sd.schedules import SigmaTable, training_betas
from stable_core_sd.timesteps import ddim_timesteps, falling_sigmas

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))
SHAPE = (2, 4, 6, 5)


@pytest.fixture
def keep() -> Keep:
    generator = torch.Generator().manual_seed(1)
    paint = torch.zeros(6, 5)
    paint[2:4, 1:4] = 1
    paint[4, 4] = 0.5
    return Keep(torch.randn(SHAPE, generator=generator), paint)


def noise() -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))


def guess(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return something that depends on all of its inputs, as a model's guess does."""
    return torch.tanh(x / math.sqrt(sigma**2 + 1) + sigma / 10) * 0.7


def run(sampler: str, keep: Keep, x: torch.Tensor, sigmas: list[float], walks_timesteps: bool) -> torch.Tensor:
    steps: Any = SAMPLES[sampler](keep.around(guess, walks_timesteps), x, sigmas, noise)
    *_, last = steps
    return last.x


def test_euler_blends_each_guess(keep: Keep) -> None:
    sigmas = [5.0, 2.0, 0.7, 0.1, 0.0]
    x = keep.init + noise() * sigmas[0]
    expected = x
    for sigma, following in itertools.pairwise(sigmas):
        clean = guess(expected, sigma) * keep.paint + keep.init * (1 - keep.paint)
        expected = expected + (expected - clean) / sigma * (following - sigma)
    assert torch.allclose(run("Euler", keep, x, sigmas, walks_timesteps=False), expected, atol=1e-5)


def test_ddim_blends_the_clean_picture_into_what_the_model_sees(keep: Keep) -> None:
    timesteps = ddim_timesteps(10)[:7]
    alphas = [1 / (TABLE.sigmas[t] ** 2 + 1) for t in timesteps]
    x = keep.init * alphas[-1] ** 0.5 + noise() * (1 - alphas[-1]) ** 0.5
    start = x / alphas[-1] ** 0.5
    for alpha, following in zip(alphas[:0:-1], alphas[-2::-1], strict=True):
        sigma = math.sqrt((1 - alpha) / alpha)
        seen = x * keep.paint + keep.init * (1 - keep.paint)
        epsilon = (seen / alpha**0.5 - guess(seen / alpha**0.5, sigma)) / sigma
        clean = (x - (1 - alpha) ** 0.5 * epsilon) / alpha**0.5
        x = following**0.5 * clean + (1 - following) ** 0.5 * epsilon
    found = run("DDIM", keep, start, falling_sigmas(timesteps, TABLE), walks_timesteps=True)
    assert torch.allclose(found, x, atol=1e-4)


def test_a_pair_of_guesses_is_blended_too(keep: Keep) -> None:
    both = keep.around(lambda x, sigma: (guess(x, sigma), -guess(x, sigma)), walks_timesteps=False)
    first, second = both(noise(), 1.0)
    kept = (1 - keep.paint) == 1
    assert torch.equal(first[..., kept], keep.init[..., kept])
    assert torch.equal(second[..., kept], keep.init[..., kept])


def test_the_mask_of_latents_is_resized_and_rounded() -> None:
    mask = Image.new("L", (40, 48))
    mask.paste(255, (8, 16, 28, 32))
    hard, soft = (latent_mask(mask, torch.zeros(SHAPE), is_rounded) for is_rounded in (True, False))
    assert hard.shape == (6, 5)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert hard[2:4, 1:3].min() == 1
    assert 0 < float(soft[2, 3]) < 1
    assert np.allclose(np.around(soft.numpy()), hard.numpy())


@pytest.mark.parametrize("fill", ["fill", "original", "latent noise", "latent nothing"])
def test_what_is_under_the_mask(keep: Keep, fill: str) -> None:
    content = masked_content(keep.init, keep.paint, fill, noise)
    expected = {"latent noise": noise(), "latent nothing": torch.zeros(SHAPE)}.get(fill, keep.init)
    assert torch.allclose(content, keep.init * (1 - keep.paint) + expected * keep.paint, atol=1e-6)
