"""A tiny random LDSR, as a diffusers folder and as a file of its authors. For tests only."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from stable_core_sd import ldm_keys, ldsr

HEAD = 16
UNET: dict[str, Any] = {
    "in_channels": 6,
    "out_channels": 3,
    "block_out_channels": [32, 32, 64],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
    "attention_head_dim": HEAD,
}
VAE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 3,
    "block_out_channels": [32, 32, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "num_vq_embeddings": 64,
    "vq_embed_dim": 3,
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.0015,
    "beta_end": 0.0155,
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def make_models(seed: int = 0) -> tuple[Any, Any]:
    torch.manual_seed(seed)
    unet, vae = ldsr.UNet2DModel.from_config(UNET), ldsr.VQModel.from_config(VAE)
    for model in (unet, vae):
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=1 / parameter[0].numel() ** 0.5)
    return unet.eval(), vae.eval()


def write_folder(folder: Path, unet: Any, vae: Any) -> Path:
    index = {
        "_class_name": "LDMSuperResolutionPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "vqvae": ["diffusers", "VQModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vqvae")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def original_tensors(unet: Any, vae: Any) -> dict[str, torch.Tensor]:
    """Return all weights as the authors name and shape them."""
    tensors = {ldm_keys.vae_key(name, VAE): value for name, value in vae.state_dict().items()}
    weights = unet.state_dict()
    for name, value in weights.items():
        if re.search(r"\.to_[kv]\.", name):
            continue
        if ".to_q." in name:  # head by head: queries, keys, values
            parts = [weights[name.replace("to_q", f"to_{one}")].unflatten(0, (-1, HEAD)) for one in "qkv"]
            value = torch.stack(parts, dim=1).flatten(0, 2)
        old = re.sub(r"\.to_q\.", ".qkv.", name).replace("to_out.0", "proj_out").replace("group_norm", "norm")
        is_kernel = ".attentions." in name and value.ndim == 2
        tensors[ldm_keys.unet_key(old, UNET)] = value[..., None] if is_kernel else value
    return {name: value.clone().contiguous() for name, value in tensors.items()}


def write_file(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors, "global_step": 10}, path)
    path.with_name("project.yaml").write_text(
        "model:\n  params:\n    linear_start: 0.0015\n    linear_end: 0.0155\n"
        f"    unet_config:\n      params:\n        num_head_channels: {HEAD}\n"
    )
    return path
