"""VAEs for which 16 bits are too few: they run in 32, with all of their weights, and the result says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import tiny
from runs import change, difference, draw, noisy, pixels
from stable_core_sd.checkpoint import load_checkpoint
from stable_core_sd.memory import MemoryPlan, apply_plan
from stable_core_sd.plugin import plugin
from stable_core_sd.settings import Offload

LARGE, TOO_LARGE = 3e4, 3e6
"""Factors for a first layer: in 16 bits its weights fit but not what it makes; or they are infinite. The layer after it
brings its values back to a usual range."""


@pytest.fixture
def half_precision() -> Iterator[None]:
    plugin.configure({"precision": "fp16"})
    yield
    plugin.configure({})


def models_with_large(part: str, factor: float) -> dict[str, torch.nn.Module]:
    models = tiny.make_models()
    for weight in models["vae"].get_submodule(part).parameters():
        weight.data *= factor
    return models


def assert_it_is_said_once(first: Image.Image, second: Image.Image) -> None:
    """The VAE runs in 32 bits from the first run on, so nothing is done again in the second."""
    assert [note for note in first.info["notes"] if "32" in note] == first.info["notes"]
    assert "notes" not in second.info
    assert difference(first, second) == 0


def nearly_the_same(one: Image.Image, other: Image.Image) -> bool:
    return bool(abs(pixels(one) - pixels(other)).mean() < 20)


@pytest.mark.parametrize("factor", [LARGE, TOO_LARGE])
@pytest.mark.parametrize("layout", ["file", "folder", "vae"])
def test_a_decoder_that_needs_more_range_runs_in_32_bits(tiny_models: Path, factor: float, layout: str) -> None:
    models, name = models_with_large("decoder.conv_in", factor), f"large_{layout}_{factor:g}"
    knobs: dict[str, Any] = {"checkpoint": name}
    if layout == "file":
        tiny.write_single_file(tiny_models / "checkpoints" / f"{name}.safetensors", models)
    elif layout == "folder":
        tiny.write_folder(tiny_models / "checkpoints" / name, models)
    else:
        (tiny_models / "vae").mkdir(exist_ok=True)
        save_file(models["vae"].state_dict(), tiny_models / "vae" / f"{name}.safetensors")
        knobs = {"vae": name}
    full = draw(**knobs)[0]
    plugin.configure({"precision": "fp16"})
    first, second = (draw(**knobs)[0] for _ in range(2))
    plugin.configure({})
    assert pixels(full).std() > 5
    assert nearly_the_same(full, first)
    assert_it_is_said_once(first, second)


@pytest.mark.parametrize("factor", [LARGE, TOO_LARGE])
def test_an_encoder_that_needs_more_range_runs_in_32_bits(tiny_models: Path, factor: float) -> None:
    name = f"wide_{factor:g}"
    path = tiny_models / "checkpoints" / f"{name}.safetensors"
    tiny.write_single_file(path, models_with_large("encoder.conv_in", factor))
    start = noisy()
    full = change(start, checkpoint=name)[0]
    plugin.configure({"precision": "fp16"})
    first, second = (change(start, checkpoint=name)[0] for _ in range(2))
    plugin.configure({})
    assert nearly_the_same(full, first)
    assert_it_is_said_once(first, second)


@pytest.mark.parametrize("offload", get_args(Offload))
@torch.inference_mode()
def test_weights_that_are_elsewhere_are_read_again_too(tiny_models: Path, offload: Offload) -> None:
    path = tiny_models / "checkpoints" / "large_elsewhere.safetensors"
    tiny.write_single_file(path, models_with_large("decoder.conv_in", TOO_LARGE))
    cpu, latents = torch.device("cpu"), torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    full = load_checkpoint(path, cpu, torch.float32).decode(latents)
    half = load_checkpoint(path, cpu, torch.float16)
    apply_plan(half, MemoryPlan(offload))
    assert (half.decode(latents) - full).abs().max() < 1e-5
    half.hooks.rest()
    assert (half.decode(latents) - full).abs().max() < 1e-5
    assert len(half.take_notes()) == 1
    assert half.take_notes() == []


@pytest.mark.usefixtures("half_precision")
def test_a_preview_that_needs_more_range_is_said_too(tiny_models: Path) -> None:
    path = tiny_models / "checkpoints" / "large_preview.safetensors"
    tiny.write_single_file(path, models_with_large("decoder.conv_in", LARGE))
    made = draw(checkpoint="large_preview", previews={"method": "Full"})[0]
    assert len(made.info["notes"]) == 1


@pytest.mark.usefixtures("tiny_models", "half_precision")
def test_a_usual_vae_keeps_16_bits_and_nothing_is_said() -> None:
    assert "notes" not in draw()[0].info


@pytest.mark.parametrize("part", ["decoder", "encoder"])
def test_a_broken_vae_is_an_error_and_not_a_black_picture(tiny_models: Path, part: str) -> None:
    models = tiny.make_models()
    models["vae"].get_submodule(part).conv_in.bias.data[0] = float("nan")
    tiny.write_single_file(tiny_models / "checkpoints" / f"broken_{part}.safetensors", models)
    with pytest.raises(FloatingPointError, match="VAE"):
        change(noisy(), checkpoint=f"broken_{part}")
