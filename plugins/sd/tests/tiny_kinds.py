"""Tiny models of the newer kinds with random weights, as single files and as diffusers folders. For tests only."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import tiny
from stable_core_sd import ldm_keys, model_classes
from stable_core_sd.clip import ClipTextModel

LARGE_TEXT = {
    **tiny.TEXT,
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_size": 24,
    "projection_dim": 16,
    "hidden_act": "gelu",
}
XL_UNET = {
    **tiny.UNET,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "cross_attention_dim": 56,
    "projection_class_embeddings_input_dim": 16 + 6 * 8,
}
VAE = {**tiny.VAE, "scaling_factor": 0.13025, "force_upcast": True}
CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
    "sd21": {
        "unet": {**tiny.UNET, "use_linear_projection": True},
        "vae": tiny.VAE,
        "text_encoder": {**tiny.TEXT, "hidden_act": "gelu"},
    },
    "sdxl": {"unet": XL_UNET, "vae": VAE, "text_encoder": tiny.TEXT, "text_encoder_2": LARGE_TEXT},
    "sdxl_refiner": {
        "unet": {**XL_UNET, "cross_attention_dim": 24, "projection_class_embeddings_input_dim": 16 + 5 * 8},
        "vae": VAE,
        "text_encoder_2": LARGE_TEXT,
    },
}
TEXT_STARTS = {
    "sd21": {"text_encoder": "cond_stage_model.model."},
    "sdxl": {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
    "sdxl_refiner": {"text_encoder_2": "conditioner.embedders.0.model."},
}
PIPELINES = {
    "sd21": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sdxl_refiner": "StableDiffusionXLImg2ImgPipeline",
}


def write_configs(folder: Path) -> Path:
    """Write the configs of all kinds, laid out like the plugin's `configs`."""
    for kind, parts in CONFIGS.items():
        _write_parts(folder / kind, parts)
    tiny.write_configs(folder / "sd15")
    return folder


def make_models(kind: str, seed: int = 0) -> dict[str, torch.nn.Module]:
    """Return the models of a kind with random weights."""
    torch.manual_seed(seed)
    classes = {"unet": model_classes.UNet2DConditionModel.from_config, "vae": model_classes.AutoencoderKL.from_config}
    models = {part: classes.get(part, ClipTextModel)(config) for part, config in CONFIGS[kind].items()}
    for model in models.values():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=1.2 / parameter[0].numel() ** 0.5)
    return models


def write_folder(folder: Path, kind: str, models: dict[str, torch.nn.Module]) -> Path:
    """Write the models as a diffusers folder without a tokenizer."""
    _write_parts(folder, CONFIGS[kind])
    (folder / "model_index.json").write_text(json.dumps({"_class_name": PIPELINES[kind]}))
    for part, model in models.items():
        file = "model" if part.startswith("text") else "diffusion_pytorch_model"
        save_file(model.state_dict(), folder / part / f"{file}.safetensors")
    return folder


def single_file_tensors(kind: str, models: dict[str, torch.nn.Module]) -> dict[str, torch.Tensor]:
    """Return all weights under their names in the original layout."""
    tensors: dict[str, torch.Tensor] = {}
    for part, model in models.items():
        state = model.state_dict()
        if part in ("unet", "vae"):
            key = ldm_keys.unet_key if part == "unet" else ldm_keys.vae_key
            tensors |= {key(name, CONFIGS[kind][part]): value for name, value in state.items()}
        elif TEXT_STARTS[kind][part].endswith("transformer."):
            tensors |= {f"{TEXT_STARTS[kind][part]}text_model.{name}": value for name, value in state.items()}
        else:
            tensors |= open_clip_tensors(TEXT_STARTS[kind][part], state)
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def open_clip_tensors(start: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a text encoder's weights as OpenCLIP stores them: one weight for queries, keys and values."""
    layer_names = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "self_attn.out_proj": "attn.out_proj",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    tensors = {
        f"{start}token_embedding.weight": state["embeddings.token_embedding.weight"],
        f"{start}positional_embedding": state["embeddings.position_embedding.weight"],
        f"{start}ln_final.weight": state["final_layer_norm.weight"],
        f"{start}ln_final.bias": state["final_layer_norm.bias"],
        f"{start}logit_scale": torch.tensor(4.6),
    }
    if "text_projection.weight" in state:
        tensors[f"{start}text_projection"] = state["text_projection.weight"].T
    layers = {int(found[1]) for name in state if (found := re.match(r"encoder\.layers\.(\d+)\.", name))}
    for layer in layers:
        old, new = f"encoder.layers.{layer}.", f"{start}transformer.resblocks.{layer}."
        for end in ("weight", "bias"):
            fused = [state[f"{old}self_attn.{part}_proj.{end}"] for part in "qkv"]
            tensors[f"{new}attn.in_proj_{end}"] = torch.cat(fused)
            tensors |= {f"{new}{there}.{end}": state[f"{old}{here}.{end}"] for here, there in layer_names.items()}
    return tensors


def _write_parts(folder: Path, parts: dict[str, dict[str, Any]]) -> None:
    for part, config in parts.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / "config.json").write_text(json.dumps(config))
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(tiny.SCHEDULER))
