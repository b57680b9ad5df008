"""BLIP in one file of its authors, as A1111 has it: which names and sizes its weights have. It runs no model.

Source: Li et al. 2022, https://arxiv.org/abs/2201.12086, and https://github.com/salesforce/BLIP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_core.sdk import InvalidParams
from stable_core_sd.tensor_files import TensorFiles

HEAD_WIDTH = 64
"""Channels of one attention head, in all sizes of BLIP."""

_RENAMED = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj": "embeddings.patch_embedding",
    "norm": "post_layernorm",
}
_RENAMED_IN_LAYER = {
    "attn.proj": "self_attn.projection",
    "attn": "self_attn",
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
}


def read_blip_file(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config and the weights of a captioning model as transformers calls them.

    Raises:
        InvalidParams: it is another kind of file, unsafe or cut off.
    """
    tensors = TensorFiles([path])
    wanted = {name: pretrained_name(name) for name in tensors}
    try:
        config = config_of({name: tensors.shape(name) for name in tensors})
    except KeyError as error:
        raise InvalidParams(
            f"{path.name} is no BLIP model that writes captions: {error.args[0]} is missing.",
            "A1111's is called model_base_caption_capfilt_large.pth.",
        ) from None
    return config, {new: tensors[old] for old, new in wanted.items() if new}


def pretrained_name(name: str) -> str:
    """Return what transformers calls a weight; empty for those that captions do not need.

    `visual_encoder.blocks.3.attn.proj.bias` is `vision_model.encoder.layers.3.self_attn.projection.bias`.
    """
    if name.startswith("text_decoder."):
        return "" if name.endswith("position_ids") else name
    found = re.fullmatch(r"visual_encoder\.(blocks\.(\d+)\.)?(.+)", name)
    if not found:
        return ""
    start = f"encoder.layers.{found[2]}." if found[1] else ""
    return f"vision_model.{start}{_renamed(found[3], _RENAMED_IN_LAYER if found[1] else _RENAMED)}"


def config_of(shapes: Mapping[str, list[int]]) -> dict[str, Any]:
    """Return the config that fits weights of these shapes.

    Raises:
        KeyError: one that tells is missing.
    """
    positions, vision_width = shapes["visual_encoder.pos_embed"][1:]
    patch = shapes["visual_encoder.patch_embed.proj.weight"][-1]
    bert = "text_decoder.bert."
    vocabulary, text_width = shapes[f"{bert}embeddings.word_embeddings.weight"]
    return {
        "vision_config": {
            "hidden_size": vision_width,
            "intermediate_size": shapes["visual_encoder.blocks.0.mlp.fc1.weight"][0],
            "num_hidden_layers": _count(shapes, r"visual_encoder\.blocks\.(\d+)\."),
            "num_attention_heads": vision_width // HEAD_WIDTH,
            "patch_size": patch,
            "image_size": patch * round((positions - 1) ** 0.5),
            "layer_norm_eps": 1e-6,
        },
        "text_config": {
            "vocab_size": vocabulary,
            "hidden_size": text_width,
            "encoder_hidden_size": shapes[f"{bert}encoder.layer.0.crossattention.self.key.weight"][1],
            "intermediate_size": shapes[f"{bert}encoder.layer.0.intermediate.dense.weight"][0],
            "num_hidden_layers": _count(shapes, r"text_decoder\.bert\.encoder\.layer\.(\d+)\."),
            "num_attention_heads": text_width // HEAD_WIDTH,
            "max_position_embeddings": shapes[f"{bert}embeddings.position_embeddings.weight"][0],
            "bos_token_id": vocabulary - 2,  # [DEC]; the last one is [ENC]
        },
    }


def _count(shapes: Mapping[str, object], pattern: str) -> int:
    return len({found[1] for name in shapes if (found := re.match(pattern, name))})


def _renamed(name: str, renamed: Mapping[str, str]) -> str:
    for old, new in renamed.items():
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    return name
