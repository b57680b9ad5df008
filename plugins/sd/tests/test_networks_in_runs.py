"""Networks that prompts name, in whole runs: they change the picture, are told about, and are gone in the next run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from stable_core.sdk import Progress, Text
from stable_core_sd.batches import Batch
from stable_core_sd.checkpoint_store import open_checkpoint, unload
from stable_core_sd.memory import MemoryPlan, apply_plan
from stable_core_sd.networks.hypernetwork import HypernetworkModule, Structure
from stable_core_sd.networks.hypernetwork_file import Hypernetwork, write_hypernetwork
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.passes import Pass, draw
from stable_core_sd.plugin import plugin, txt2img
from stable_core_sd.report import StepReport
from stable_core_sd.settings import SdSettings

UNET_LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v"
TEXT_LAYER = "lora_te_text_model_encoder_layers_0_mlp_fc1"


@pytest.fixture(autouse=True)
def networks(tiny_models: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put LoRAs of the UNet and of the text encoder, a hypernetwork and an embedding beside the tiny model."""
    monkeypatch.setenv("STABLE_CORE_MODELS", os.pathsep.join([str(tiny_models), str(models_folder)]))
    for folder in ("loras", "hypernetworks", "embeddings"):
        (tiny_models / folder).mkdir()
    torch.manual_seed(0)
    for name, layer, shape in (("shape", UNET_LAYER, (32, 32)), ("word", TEXT_LAYER, (64, 32))):
        tensors = {"lora_up.weight": torch.randn(shape[0], 4), "lora_down.weight": torch.randn(4, shape[1])}
        stored = {f"{layer}.{key}": value for key, value in tensors.items()}
        save_file(stored, tiny_models / "loras" / f"{name}.safetensors")
    modules = {32: (HypernetworkModule(32, Structure()), HypernetworkModule(32, Structure()))}
    write_hypernetwork(Hypernetwork("mood", Structure(), modules), tiny_models / "hypernetworks" / "mood.pt")
    save_file({"emb_params": torch.randn(2, 32) * 3}, tiny_models / "embeddings" / "zibbit.safetensors")
    return tiny_models


def make(prompt: str, **knobs: Any) -> Image.Image:
    params = Txt2ImgParams(**{"checkpoint": "tiny", "steps": 3, "seed": 7, **knobs})
    return next(iter(txt2img(Text(prompt), params, Progress())))


def pixels(picture: Image.Image) -> Any:
    return np.asarray(picture, dtype=int)


@pytest.mark.parametrize("call", ["<lora:shape:1>", "<lora:word:1>", "<hypernet:mood:1>", "zibbit"])
def test_a_network_changes_the_picture_of_its_run_only(call: str) -> None:
    before = pixels(make("a circle"))
    assert np.abs(pixels(make(f"a circle {call}")) - before).max() > 0
    assert np.array_equal(pixels(make("a circle")), before)


def test_the_settings_add_a_hypernetwork_to_every_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make("a circle<hypernet:mood:1>")
    monkeypatch.setattr(plugin, "settings", SdSettings(hypernetwork="mood"))
    made = make("a circle")
    assert np.array_equal(pixels(made), pixels(expected))
    assert made.info["parameters"] == expected.info["parameters"]


@pytest.mark.parametrize("call", ["<lora:shape:0>", "<lora:word:0><hypernet:mood:0>", "<lora:word:te=0:unet=1>"])
def test_a_multiplier_of_0_changes_nothing(call: str) -> None:
    assert np.array_equal(pixels(make(f"a circle {call}")), pixels(make("a circle ")))


def test_names_in_the_negative_prompt_are_embeddings_too() -> None:
    plain, named = make("a circle", negative_prompt="zobbet"), make("a circle", negative_prompt="zibbit")
    assert np.abs(pixels(plain) - pixels(named)).max() > 0


def test_loras_of_the_second_pass_come_on_top_of_nothing() -> None:
    before = pixels(make("a circle", hires={"enabled": True, "upscaler": "Latent", "steps": 2}))
    make("a circle <lora:word:1>", hires={"enabled": True, "upscaler": "Latent", "steps": 2})
    assert np.array_equal(pixels(make("a circle", hires={"enabled": True, "upscaler": "Latent", "steps": 2})), before)


def test_the_generation_data_name_what_was_used() -> None:
    text = make("a circle zibbit <lora:shape:0.5>").info["parameters"]
    assert text.startswith("a circle zibbit <lora:shape:0.5>\n")
    assert 'Lora hashes: "shape: ' in text
    assert 'TI hashes: "zibbit: ' in text
    assert "hashes" not in make("a circle <lora:missing:1>").info["parameters"]


def test_what_was_not_found_is_a_note_of_the_picture() -> None:
    assert make("a circle <lora:missing:1><hypernet:none:1>").info["notes"] == [
        "Networks not found: missing",
        "Hypernetworks not found: none",
    ]
    assert "notes" not in make("a circle <lora:shape:1>").info


def test_a_batch_has_the_networks_of_its_first_prompt() -> None:
    each = {"prompts": ["a circle <lora:shape:1>", "a circle <lora:missing:1>"]}
    params = Txt2ImgParams(checkpoint="tiny", steps=3, seed=7, batch_size=2, each=each)
    first, second = txt2img(Text(""), params, Progress())
    assert np.abs(pixels(first) - pixels(make("a circle <lora:shape:1>"))).max() <= 1
    assert "notes" not in second.info


@pytest.mark.parametrize("plan", [MemoryPlan(offload="models"), MemoryPlan(offload="layers"), MemoryPlan(fp8=True)])
def test_models_in_little_memory_have_networks_too(plan: MemoryPlan) -> None:
    checkpoint = open_checkpoint("tiny", "None", SdSettings())
    one = Pass(checkpoint, Txt2ImgParams(checkpoint="tiny", steps=3, preview=False), StepReport(Progress(), 3))
    apply_plan(checkpoint, plan)
    try:
        plain, changed, again = (
            draw(one, Batch([prompt], [""], [7], [0], (64, 64)))
            for prompt in ("a circle ", "a circle <lora:shape:1><lora:word:1><hypernet:mood:1>", "a circle ")
        )
    finally:
        unload()
    assert not torch.equal(changed, plain)
    assert torch.equal(again, plain)
