"""LoRAs: the layers of a checkpoint are found under every name that a file may give them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from loras import ATTENTION, RESNET, TinyCheckpoint, changed, names_of, random
from stable_core_sd import ldm_keys
from stable_core_sd.model_kinds import SDXL
from stable_core_sd.networks.lora import LoraCall, apply_loras
from stable_core_sd.networks.lora_names import LayerIndex, split_name
from stable_core_sd.networks.weight_patch import WeightPatch


@pytest.mark.parametrize(
    "layer", [f"{ATTENTION}.to_q", "mid_block.attentions.0.proj_in", RESNET, "time_embedding.linear_1"]
)
def test_a_lora_is_found_under_every_name_and_adds_its_product(loras: Path, layer: str) -> None:
    checkpoint = TinyCheckpoint()
    weight = checkpoint.unet.get_parameter(f"{layer}.weight")
    up, down = random(weight.shape[0], 3), random(3, *weight.shape[1:])
    up = up[:, :, None, None] if weight.ndim == 4 else up
    for family, (up_name, down_name) in names_of(layer).items():
        save_file({up_name: up, down_name: down}, loras / f"{family}.safetensors")
        difference, notes = changed(checkpoint, LoraCall(family, unet_multiplier=0.5))
        assert (notes, list(difference)) == ([], [f"unet.{layer}.weight"]), family
        expected = 0.5 * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        assert torch.allclose(difference[f"unet.{layer}.weight"], expected, atol=1e-6), family


@pytest.mark.parametrize(
    ("up_name", "layer"),
    [
        ("lora_te_text_model_encoder_layers_1_mlp_fc1.lora_up.weight", "encoder.layers.1.mlp.fc1"),
        ("lora_te1_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight", "encoder.layers.0.self_attn.q_proj"),
        (
            "text_encoder.text_model.encoder.layers.0.self_attn.v_proj.lora_linear_layer.up.weight",
            "encoder.layers.0.self_attn.v_proj",
        ),
        (
            "text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.up.weight",
            "encoder.layers.0.self_attn.out_proj",
        ),
        (
            "text_encoder.text_model.encoder.layers.0.self_attn.k_proj.lora_B.weight",
            "encoder.layers.0.self_attn.k_proj",
        ),
    ],
)
def test_the_text_encoder_is_found_under_every_name(loras: Path, up_name: str, layer: str) -> None:
    checkpoint = TinyCheckpoint()
    weight = checkpoint.text_encoder.get_parameter(f"{layer}.weight")
    up, down = random(weight.shape[0], 2), random(2, weight.shape[1])
    down_name = up_name.replace("up.weight", "down.weight").replace("lora_B", "lora_A")
    save_file({up_name: up, down_name: down}, loras / "one.safetensors")
    difference, notes = changed(checkpoint, LoraCall("one", text_multiplier=2.0, unet_multiplier=0.0))
    assert (notes, list(difference)) == ([], [f"text_encoder.{layer}.weight"])
    assert torch.allclose(difference[f"text_encoder.{layer}.weight"], 2 * up @ down, atol=1e-5)


def test_a_second_text_encoder_has_names_of_its_own(loras: Path) -> None:
    checkpoint: Any = TinyCheckpoint()
    large = TinyCheckpoint(seed=1).text_encoder
    checkpoint.text_encoders.append(SimpleNamespace(model=large, rule=SDXL.texts[1]))
    save_file(
        {
            "lora_te2_text_model_encoder_layers_0_mlp_fc2.lora_up.weight": random(32, 2),
            "lora_te2_text_model_encoder_layers_0_mlp_fc2.lora_down.weight": random(2, 64),
        },
        loras / "xl.safetensors",
    )
    second = large.get_parameter("encoder.layers.0.mlp.fc2.weight")
    before, patch = second.clone(), WeightPatch()
    apply_loras(checkpoint, [LoraCall("xl")], patch)
    assert len(patch) == 1
    assert not torch.equal(second, before)
    patch.undo()
    assert torch.equal(second, before)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        (
            "input_blocks_4_1_transformer_blocks_1_attn1_to_k",
            "down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_k",
        ),
        ("input_blocks_8_1_proj_in", "down_blocks.2.attentions.1.proj_in"),
        ("input_blocks_3_0_op", "down_blocks.0.downsamplers.0.conv"),
        ("input_blocks_5_0_in_layers_2", "down_blocks.1.resnets.1.conv1"),
        ("middle_block_1_transformer_blocks_9_ff_net_2", "mid_block.attentions.0.transformer_blocks.9.ff.net.2"),
        ("output_blocks_2_1_proj_out", "up_blocks.0.attentions.2.proj_out"),
        ("output_blocks_2_2_conv", "up_blocks.0.upsamplers.0.conv"),
        ("output_blocks_8_0_skip_connection", "up_blocks.2.resnets.2.conv_shortcut"),
        ("time_embed_2", "time_embedding.linear_2"),
        ("label_emb_0_0", "add_embedding.linear_1"),
        ("out_2", "conv_out"),
    ],
)
def test_stable_diffusion_xl_has_the_names_of_single_files(name: str, layer: str) -> None:
    config = json.loads((Path(ldm_keys.__file__).parent / "configs" / "sdxl" / "unet" / "config.json").read_text())
    index = LayerIndex({"unet": [layer]}, config)
    assert index.find(f"lora_unet_{name}") == index.find(f"unet.{layer}") == ("unet", layer)


def test_kohyas_oft_is_found_under_its_name(loras: Path) -> None:
    checkpoint = TinyCheckpoint()
    flat = f"oft_unet_{ATTENTION.replace('.', '_')}_to_q"
    tensors = {f"{flat}.oft_blocks": random(4, 8, 8), f"{flat}.alpha": torch.tensor(1e-3)}
    save_file(tensors, loras / "turned.safetensors")
    difference, notes = changed(checkpoint, LoraCall("turned"))
    assert (notes, list(difference)) == ([], [f"unet.{ATTENTION}.to_q.weight"])


def test_other_tensors_are_no_part_of_a_lora() -> None:
    assert split_name("lora_unet_x.something_new") is None
    assert split_name("bundle_emb.cat.string_to_param.*") is None
    assert split_name("logit_scale") is None
