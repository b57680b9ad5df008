"""Tiny Stable Diffusion models with random weights, as a diffusers folder and as a single file. For tests only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from stable_core_sd import ldm_keys, model_classes
from stable_core_sd.clip import ClipTextModel

UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [32, 64],
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [8, 8, 16, 16],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "scaling_factor": 0.18215,
}
TEXT: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 49407,
}
SCHEDULER: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
}


def make_models(seed: int = 0) -> dict[str, torch.nn.Module]:
    """Return the three models with random weights, strong enough that the prompt and the seed change every pixel."""
    torch.manual_seed(seed)
    models = {
        "unet": model_classes.UNet2DConditionModel.from_config(UNET),
        "vae": model_classes.AutoencoderKL.from_config(VAE),
        "text_encoder": ClipTextModel(TEXT),
    }
    for model in models.values():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=1.2 / parameter[0].numel() ** 0.5)
    return models


def write_configs(folder: Path) -> Path:
    """Write the configs of the tiny models, laid out like `configs/sd15`."""
    files = {
        "unet/config": UNET,
        "vae/config": VAE,
        "text_encoder/config": TEXT,
        "scheduler/scheduler_config": SCHEDULER,
    }
    for name, config in files.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config))
    return folder


def write_folder(folder: Path, models: dict[str, torch.nn.Module]) -> Path:
    """Write the models as a diffusers folder without a tokenizer."""
    write_configs(folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    files = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
    for name, file in files.items():
        save_file(
            {key: value.contiguous() for key, value in models[name].state_dict().items()},
            folder / name / f"{file}.safetensors",
        )
    return folder


def write_single_file(path: Path, models: dict[str, torch.nn.Module]) -> Path:
    """Write the models as one file in the original layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(single_file_tensors(models), path)
    return path


def single_file_tensors(models: dict[str, torch.nn.Module]) -> dict[str, torch.Tensor]:
    """Return all weights under their names in the original layout."""
    keys = {
        "unet": (ldm_keys.unet_key, UNET),
        "vae": (ldm_keys.vae_key, VAE),
        "text_encoder": (ldm_keys.text_encoder_key, TEXT),
    }
    tensors = {}
    for part, (key, config) in keys.items():
        for name, value in models[part].state_dict().items():
            stored = key(name, config)
            is_convolution = ".attn_1." in stored and value.ndim == 2
            tensors[stored] = (value[:, :, None, None] if is_convolution else value).contiguous()
    return tensors
