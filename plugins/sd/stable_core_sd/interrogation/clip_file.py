"""CLIP in one file of OpenAI, as A1111 downloads it: which names and sizes its weights have. It runs no model.

Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020, and https://github.com/openai/CLIP.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from stable_core.sdk import InvalidParams
from stable_core_sd.tensor_files import TensorFiles

HEAD_WIDTH = 64
"""Channels of one attention head, in all sizes of OpenAI's CLIP."""

_FACTS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's files hold beside the weights, and those of others with the same names do not."""

_RENAMED = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
    "visual.proj": "visual_projection.weight",
    "token_embedding": "text_model.embeddings.token_embedding",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final": "text_model.final_layer_norm",
    "text_projection": "text_projection.weight",
    "logit_scale": "logit_scale",
}
_RENAMED_IN_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_TURNED = ("visual.proj", "text_projection")
"""Matrices that the authors multiply by from the other side."""


def read_clip_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the config and the weights as transformers calls them.

    Raises:
        InvalidParams: it is another kind of file, unsafe or cut off.
    """
    tensors = TensorFiles([path])
    try:
        config = config_of({name: tensors.shape(name) for name in tensors})
        weights = {new: value for name in tensors for new, value in renamed(name, tensors[name])}
    except KeyError as error:
        raise InvalidParams(
            f"{path.name} is no CLIP of OpenAI: {error.args[0]} is missing.",
            "A1111's is called ViT-L-14.pt; of others, take a transformers folder.",
        ) from None
    return config, weights


def renamed(name: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield what transformers calls a weight, and its part of it: attention is fused in OpenAI's files.

    `visual.transformer.resblocks.3.ln_1.bias` is `vision_model.encoder.layers.3.layer_norm1.bias`.
    """
    found = re.fullmatch(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)", name)
    if not found:
        start = next((old for old in _RENAMED if name == old or name.startswith(f"{old}.")), None)
        if start is not None:
            yield _RENAMED[start] + name[len(start) :], value.T.contiguous() if name in _TURNED else value
        return
    layer = f"{'vision' if found[1] else 'text'}_model.encoder.layers.{found[2]}."
    if fused := re.fullmatch(r"attn\.in_proj_(weight|bias)", found[3]):
        for letter, part in zip("qkv", value.tensor_split(3), strict=True):
            yield f"{layer}self_attn.{letter}_proj.{fused[1]}", part
        return
    part_name, _, kind = found[3].rpartition(".")
    yield f"{layer}{_RENAMED_IN_LAYER.get(part_name, part_name)}.{kind}", value


def config_of(shapes: Mapping[str, list[int]]) -> dict[str, Any]:
    """Return the config that fits weights of these shapes.

    Raises:
        KeyError: one that tells is missing.
    """
    missing = next((name for name in _FACTS if name not in shapes), None)
    if missing:
        raise KeyError(missing)
    vision_width, _, patch, _ = shapes["visual.conv1.weight"]
    vocabulary, text_width = shapes["token_embedding.weight"]
    sizes = {"hidden_act": "quick_gelu", "projection_dim": shapes["text_projection"][1]}
    return {
        "projection_dim": shapes["text_projection"][1],
        "vision_config": {
            **sizes,
            **_tower(shapes, "visual.", vision_width),
            "patch_size": patch,
            "image_size": patch * round((shapes["visual.positional_embedding"][0] - 1) ** 0.5),
        },
        "text_config": {
            **sizes,
            **_tower(shapes, "", text_width),
            "vocab_size": vocabulary,
            "max_position_embeddings": shapes["positional_embedding"][0],
        },
    }


def _tower(shapes: Mapping[str, list[int]], start: str, width: int) -> dict[str, int]:
    pattern = re.compile(re.escape(start) + r"transformer\.resblocks\.(\d+)\.")
    return {
        "hidden_size": width,
        "intermediate_size": shapes[f"{start}transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_hidden_layers": len({found[1] for name in shapes if (found := pattern.match(name))}),
        "num_attention_heads": width // HEAD_WIDTH,
    }
