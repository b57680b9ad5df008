"""The stages' small parts do what they say; no model is trained here."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from training.nano.autoencoder import SCALING, new_autoencoder, normalise_latents, picture_loss, to_signed
from training.nano.data import scene_number
from training.nano.denoiser import LEGIBLE, NOISE, misname, sample_steps, step_weights
from training.nano.drawing import draw_scene
from training.nano.parallel import learning_rate


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    assert learning_rate(0.0, 1.0) < 0.1
    assert learning_rate(0.02, 1.0) == pytest.approx(1.0)
    assert learning_rate(1.0, 1.0) == pytest.approx(0.0)


def test_noisy_steps_are_drawn_more_often() -> None:
    steps = sample_steps(20_000)
    assert steps.min() >= 0
    assert steps.max() <= 999
    assert (steps >= 650).float().mean() == pytest.approx(0.5 + 0.5 * 0.35, abs=0.02)


def test_some_captions_are_swapped_where_the_picture_is_legible_and_nowhere_else() -> None:
    rows = torch.arange(2_000)[:, None].repeat(1, 3)
    legible = misname(rows, torch.full((2_000,), LEGIBLE - 1))
    swapped = (legible != rows).any(1)
    assert swapped.float().mean() == pytest.approx(0.25, abs=0.05)
    assert torch.equal(legible[swapped], rows.roll(1, 0)[swapped])
    assert torch.equal(misname(rows, torch.full((2_000,), LEGIBLE)), rows)


def test_step_weights_are_bounded() -> None:
    weights = step_weights(DDPMScheduler(**NOISE).alphas_cumprod)
    assert weights.min() > 0
    assert weights.max() <= 8.0


def test_equal_pictures_have_no_loss() -> None:
    picture = torch.rand(1, 3, 16, 16)
    assert picture_loss(picture, picture) == 0
    assert picture_loss(picture, 1 - picture) > 0


def test_normalised_latents_have_unit_variance_and_decode_alike() -> None:
    torch.manual_seed(0)
    model = new_autoencoder().eval()
    pictures = np.stack([np.asarray(draw_scene(*scene_number(index))) for index in range(20)])
    signed = to_signed(pictures[:4])
    with torch.no_grad():
        before = model.decode(model.encode(signed).latent_dist.mean).sample
        normalise_latents(model, pictures)
        latents = model.encode(to_signed(pictures)).latent_dist.mean * SCALING
        after = model.decode(model.encode(signed).latent_dist.mean).sample
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-3)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-2)
    assert torch.allclose(before, after, atol=1e-3)
