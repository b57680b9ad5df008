"""Files of latent diffusion super-resolution: which names, sizes and facts they hold. It builds no model.

A file of the authors is read by its weights' shapes; a `project.yaml` beside it tells what shapes do not.

Source: Rombach et al. 2021, https://arxiv.org/abs/2112.10752, and https://github.com/CompVis/latent-diffusion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from stable_core.sdk import InvalidParams
from stable_core_sd import ldm_keys
from stable_core_sd.diffusers_folder import read_json, read_part
from stable_core_sd.tensor_files import TensorFiles
from stable_core_sd.weights import Part

AVERAGED = "model_ema."
"""What the names of weights start with that are the mean over the training; those are the ones to use."""

_ATTENTION = {"group_norm": "norm", "to_q": "qkv", "to_k": "qkv", "to_v": "qkv", "to_out.0": "proj_out"}
_FACTS = {"num_head_channels": 32.0, "linear_start": 0.0015, "linear_end": 0.0155}
"""Those of the model that the authors published."""

Shapes = Mapping[str, list[int]]


@dataclass(frozen=True)
class FusedPart(Part):
    """A UNet whose attention stores queries, keys and values in one weight, head by head."""

    def read(self, name: str, shape: torch.Size) -> torch.Tensor:
        """Return the weight that the model calls `name`.

        Raises:
            InvalidParams: it is missing or not of this shape.
        """
        found = re.search(r"\.to_([qkv])\.", name)
        if not found:
            return super().read(name, shape)
        fused = super().read(name, torch.Size((3 * shape[0], *shape[1:])))
        by_head = fused.unflatten(0, (-1, 3, self.config["attention_head_dim"]))
        return by_head[:, "qkv".index(found[1])].reshape(shape)


def read_ldsr(path: Path) -> tuple[Part, Part, dict[str, Any]]:
    """Return the UNet, the VQ-VAE and the scheduler's config of a diffusers folder or a file of the authors.

    Raises:
        InvalidParams: it is something else, unsafe or cut off.
    """
    if path.is_dir():
        scheduler = read_json(path / "scheduler" / "scheduler_config.json")
        return read_part(path / "unet"), read_part(path / "vqvae"), scheduler
    tensors = TensorFiles([path])
    shapes = {name: tensors.shape(name) for name in tensors}
    facts = read_facts(path.with_name("project.yaml"))
    try:
        unet, vae = unet_config(shapes, int(facts["num_head_channels"])), vae_config(shapes)
    except KeyError as error:
        raise InvalidParams(
            f"{path} is no LDSR model: {error.args[0]} is missing.", "The one of its authors is called model.ckpt."
        ) from None
    scheduler = {
        "beta_schedule": "scaled_linear",
        "beta_start": facts["linear_start"],
        "beta_end": facts["linear_end"],
        "num_train_timesteps": 1000,
    }
    unet_part = FusedPart(unet, tensors, lambda name: unet_key(name, unet, tensors))
    return unet_part, Part(vae, tensors, partial(ldm_keys.vae_key, config=vae)), scheduler


def unet_key(name: str, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> str:
    """Return the stored name of a UNet weight, of the mean over the training where it is there.

    `down_blocks.3.attentions.0.to_q.bias` is `model.diffusion_model.input_blocks.10.1.qkv.bias`, whose mean is
    `model_ema.diffusion_modelinput_blocks101qkvbias`.
    """
    before, part, rest = name.partition(".attentions.")
    if part:
        index, _, rest = rest.partition(".")
        for new, old in _ATTENTION.items():
            if rest.startswith(f"{new}."):
                rest = old + rest[len(new) :]
                break
        name = f"{before}.attentions.{index}.{rest}"
    full = ldm_keys.unet_key(name, config)
    averaged = AVERAGED + full.removeprefix("model.").replace(".", "")
    return averaged if averaged in tensors else full


def unet_config(shapes: Shapes, head_width: int) -> dict[str, Any]:
    """Return what diffusers' UNet2DModel needs to know, from the shapes of its weights.

    Raises:
        KeyError: a weight that tells is missing.
    """
    start = f"{ldm_keys.UNET}input_blocks."
    channels, attends, layers = [0], [False], [0]
    for number in count(1):
        if f"{start}{number}.0.op.weight" in shapes:
            channels, attends, layers = [*channels, 0], [*attends, False], [*layers, 0]
        elif f"{start}{number}.0.out_layers.3.weight" in shapes:
            channels[-1] = shapes[f"{start}{number}.0.out_layers.3.weight"][0]
            attends[-1] = f"{start}{number}.1.qkv.weight" in shapes
            layers[-1] += 1
        else:
            break
    kinds = ["Attn" if one else "" for one in attends]
    return {
        "in_channels": shapes[f"{start}0.0.weight"][1],
        "out_channels": shapes[f"{ldm_keys.UNET}out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": layers[0],
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
        "attention_head_dim": head_width,
    }


def vae_config(shapes: Shapes) -> dict[str, Any]:
    """Return what diffusers' VQModel needs to know, from the shapes of its weights.

    Raises:
        KeyError: a weight that tells is missing.
    """
    encoder = f"{ldm_keys.VAE}encoder."
    levels = len({found[1] for name in shapes if (found := re.match(re.escape(encoder) + r"down\.(\d+)\.", name))})
    channels = [shapes[f"{encoder}down.{level}.block.0.conv2.weight"][0] for level in range(levels)]
    codes, width = shapes[f"{ldm_keys.VAE}quantize.embedding.weight"]
    return {
        "in_channels": shapes[f"{encoder}conv_in.weight"][1],
        "out_channels": shapes[f"{ldm_keys.VAE}decoder.conv_out.weight"][0],
        "latent_channels": shapes[f"{ldm_keys.VAE}decoder.conv_in.weight"][1],
        "block_out_channels": channels,
        "layers_per_block": sum(f"{encoder}down.0.block.{index}.conv2.weight" in shapes for index in range(8)),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "num_vq_embeddings": codes,
        "vq_embed_dim": width,
    }


def read_facts(path: Path) -> dict[str, float]:
    """Return the numbers of a `project.yaml` that shapes do not tell; where it is not there, the authors' own."""
    written = path.read_text("utf-8", errors="replace") if path.is_file() else ""
    found = dict(re.findall(r"^\s*(\w+):\s*([-+.\deE]+)\s*$", written, re.MULTILINE))
    return {name: float(found.get(name, default)) for name, default in _FACTS.items()}
