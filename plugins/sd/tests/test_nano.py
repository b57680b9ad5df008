"""The built-in model draws what the prompt says, with every sampler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stable_core_sd
from runs import edges, is_red_on_blue, share_of
from stable_core.sdk import Progress, Text
from stable_core_sd.names import SAMPLERS
from stable_core_sd.plugin import Txt2ImgParams, txt2img

WEIGHTS = Path(stable_core_sd.__file__).parent / "models" / "nano" / "unet" / "diffusion_pytorch_model.safetensors"

pytestmark = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the weights of the built-in model are not there")


def draw(prompt: str, **knobs: Any) -> Any:
    """Return one picture of the built-in model as an array of shape (height, width, 3)."""
    [picture] = txt2img(Text(prompt), Txt2ImgParams(**{"seed": 7, **knobs}), Progress())
    return np.asarray(picture, dtype=int)


@pytest.mark.parametrize("sampler", [one.label for one in SAMPLERS])
def test_a_red_circle_on_a_blue_background(sampler: str) -> None:
    steps = 40 if sampler == "DPM fast" else 20  # its ancestral noise needs more than others'
    pixels = draw("a red circle on a blue background", sampler=sampler, steps=steps)
    assert pixels.shape == (128, 128, 3)
    assert is_red_on_blue(pixels)


@pytest.mark.parametrize(("colour", "channel"), [("red", 0), ("green", 1), ("blue", 2)])
def test_the_background_has_the_colour_of_the_prompt(colour: str, channel: int) -> None:
    assert share_of(edges(draw(f"a white square on a {colour} background")), channel) > 0.9


@pytest.mark.parametrize("cfg_scale", [3.0, 5.0, 7.0])
def test_guidance_of_any_usual_strength(cfg_scale: float) -> None:
    pixels = draw("a red circle on a blue background", cfg_scale=cfg_scale)
    assert share_of(pixels, 0) > 0.02
    assert share_of(edges(pixels), 2) > 0.9
