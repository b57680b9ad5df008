"""The names of weights in single-file checkpoints, from those of diffusers. It opens no file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

UNET, VAE, TEXT_ENCODER = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
"""What the names of each part start with in a single file of Stable Diffusion 1.x."""

OPEN_CLIP = "cond_stage_model.model."
"""What the names of the text encoder of Stable Diffusion 2.x start with."""

EMBEDDERS = ("conditioner.embedders.0.", "conditioner.embedders.1.")
"""What the names of the text encoders of Stable Diffusion XL start with."""

_UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_OPEN_CLIP_ENDS = {
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "text_projection.weight": "text_projection",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_key(name: str, config: Mapping[str, Any]) -> str:
    """Return the single-file name of a UNet weight.

    `down_blocks.0.resnets.1.conv1.bias` is `model.diffusion_model.input_blocks.2.0.in_layers.2.bias`.
    """
    layers = config["layers_per_block"]
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name)
    if found:
        side, block, part, index, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        if part == "downsamplers":
            return f"{UNET}input_blocks.{(block + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
        if part == "upsamplers":
            has_attention = "Attn" in config["up_block_types"][block]
            return f"{UNET}output_blocks.{block * (layers + 1) + layers}.{2 if has_attention else 1}.{rest}"
        place = block * (layers + 1) + index + (side == "down")
        return f"{UNET}{'input' if side == 'down' else 'output'}_blocks.{place}.{_unet_layer(part, rest)}"
    found = re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name)
    if found:
        place = 1 if found[1] == "attentions" else 2 * int(found[2])
        return f"{UNET}middle_block.{place}.{_unet_layer(found[1], found[3]).split('.', 1)[1]}"
    return UNET + _swap_start(name, _UNET_ENDS)


def vae_key(name: str, config: Mapping[str, Any]) -> str:
    """Return the single-file name of a VAE weight.

    `decoder.up_blocks.0.resnets.0.conv1.bias` is `first_stage_model.decoder.up.3.block.0.conv1.bias`.
    """
    top = len(config["block_out_channels"]) - 1
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda found: f"up.{top - int(found[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda found: f"up.{top - int(found[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d+)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    found = re.fullmatch(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)", name)
    if found:
        return f"{VAE}{found[1]}.mid.attn_1.{_swap_start(found[2], _VAE_ATTENTION)}"
    return VAE + name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def text_encoder_key(name: str, config: Mapping[str, Any], start: str = TEXT_ENCODER) -> str:
    """Return the single-file name of a CLIP weight; only what stands before it differs."""
    return f"{start}text_model.{name.removeprefix('text_model.')}"


def open_clip_key(name: str, start: str = OPEN_CLIP) -> str:
    """Return the name of a CLIP weight in OpenCLIP's layout, with `#0`, `#1` or `#2` for a third of a fused weight.

    `encoder.layers.3.self_attn.k_proj.bias` is `cond_stage_model.model.transformer.resblocks.3.attn.in_proj_bias#1`.
    """
    found = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", name.removeprefix("text_model."))
    if not found:
        return start + _swap_start(name.removeprefix("text_model."), _OPEN_CLIP_ENDS)
    fused = re.fullmatch(r"self_attn\.([qkv])_proj\.(weight|bias)", found[2])
    if fused:
        return f"{start}transformer.resblocks.{found[1]}.attn.in_proj_{fused[2]}#{'qkv'.index(fused[1])}"
    return f"{start}transformer.resblocks.{found[1]}.{_swap_start(found[2], _OPEN_CLIP_LAYER)}"


def _unet_layer(part: str, rest: str) -> str:
    return f"0.{_swap_start(rest, _UNET_RESNET)}" if part == "resnets" else f"1.{rest}"


def _swap_start(name: str, starts: Mapping[str, str]) -> str:
    """Replace the start of a dotted name: with `{"to_q": "q"}`, `to_q.bias` becomes `q.bias`."""
    for start, replacement in starts.items():
        if name == start or name.startswith(start + "."):
            return replacement + name[len(start) :]
    return name
