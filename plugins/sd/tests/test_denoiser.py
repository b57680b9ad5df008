"""Guidance and prediction types, with a UNet that is a formula."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stable_core_sd.denoiser import Denoiser
from stable_core_sd.schedules import SigmaTable, training_betas

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))
X = torch.linspace(-2, 2, 2 * 4 * 3 * 3).reshape(2, 4, 3, 3)
PROMPT, NEGATIVE = torch.full((1, 77, 8), 2.0), torch.full((1, 77, 8), 0.5)


class FormulaUNet:
    """Predicts its scaled input times the mean of the text, and keeps its calls."""

    dtype = torch.float32

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[int, ...], float]] = []

    def __call__(self, x: Any, timestep: Any, encoder_hidden_states: Any, return_dict: bool) -> tuple[Any]:
        self.calls.append((tuple(x.shape), float(timestep)))
        return (x * encoder_hidden_states.mean((1, 2))[:, None, None, None],)


def denoise(
    sigma: float, cfg_scale: float = 7.0, prediction: str = "epsilon", negative: Any = NEGATIVE
) -> tuple[Any, FormulaUNet]:
    unet = FormulaUNet()
    checkpoint: Any = SimpleNamespace(unet=unet, sigma_table=TABLE, prediction_type=prediction)
    return Denoiser(checkpoint, PROMPT, negative, cfg_scale, batch_size=2)(X, sigma), unet


@pytest.mark.parametrize("sigma", [0.05, 1.0, 14.0])
def test_guidance_goes_from_the_negative_prompt_past_the_prompt(sigma: float) -> None:
    found, unet = denoise(sigma)
    scaled = X / math.sqrt(sigma**2 + 1)
    assert torch.allclose(found, X - sigma * scaled * (0.5 + 7 * (2.0 - 0.5)), atol=1e-4)
    assert unet.calls == [((4, 4, 3, 3), pytest.approx(TABLE.timestep(sigma), abs=1e-3))]


def test_velocity_prediction() -> None:
    found, _ = denoise(2.0, cfg_scale=1, prediction="v_prediction")
    scaled = X / math.sqrt(5)
    assert torch.allclose(found, X / 5 - 2 / math.sqrt(5) * scaled * 2, atol=1e-5)


def test_the_negative_prompt_is_not_run_at_cfg_scale_1() -> None:
    found, unet = denoise(2.0, cfg_scale=1)
    assert [shape[0] for shape, _ in unet.calls] == [2]
    assert torch.allclose(found, X - 2 * X / math.sqrt(5) * 2, atol=1e-5)


def test_texts_of_different_length_run_one_after_the_other() -> None:
    together, unet = denoise(2.0)
    apart, split = denoise(2.0, negative=torch.full((1, 154, 8), 0.5))
    assert torch.allclose(together, apart, atol=1e-5)
    assert ([shape[0] for shape, _ in unet.calls], [shape[0] for shape, _ in split.calls]) == ([4], [2, 2])
