"""Tiny random models that say what a picture shows, as their files. For tests only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stable_core_sd.interrogation.deepdanbooru import STAGES
from stable_core_sd.interrogation.pretrained import library

WORDS = ["a", "picture", "of", "cat", "dog", "house", "tree", "red", "##s", "."]
SEP, FIRST_WORD = 102, 103
VOCABULARY = ["[PAD]", "[UNK]", *(f"[unused{i}]" for i in range(99)), "[CLS]", "[SEP]", *WORDS]
"""[SEP] has the number that BERT's own vocabulary gives it."""
WIDTH = 64


def write_vocabulary(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")


def make_blip(seed: int = 0) -> Any:
    """Return a random BLIP of two layers whose captions depend on the picture."""
    transformers = library()
    sizes: dict[str, Any] = {
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
    }
    text = {
        **sizes,
        "encoder_hidden_size": WIDTH,
        "vocab_size": len(VOCABULARY) + 2,
        "bos_token_id": len(VOCABULARY),
        "max_position_embeddings": 64,
    }
    vision = {**sizes, "image_size": 32, "patch_size": 16, "layer_norm_eps": 1e-6}
    torch.manual_seed(seed)
    model = transformers.BlipForConditionalGeneration(transformers.BlipConfig(text_config=text, vision_config=vision))
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=(4.0 if "vision" in name else 1.0) / parameter[0].numel() ** 0.5)
    bias = torch.full((len(VOCABULARY) + 2,), -100.0)
    bias[FIRST_WORD : FIRST_WORD + len(WORDS)] = 0.0  # words only, no unused tokens
    bias[SEP] = 0.0
    model.text_decoder.cls.predictions.bias.data = bias
    return model


def say_one_word(model: Any, word: str) -> Any:
    """Make a BLIP say one word over and over, and end as soon as it may."""
    predictions = model.text_decoder.cls.predictions
    predictions.transform.LayerNorm.weight.data.zero_()
    predictions.transform.LayerNorm.bias.data.zero_()
    predictions.bias.data[FIRST_WORD + WORDS.index(word)] = 1.0
    predictions.bias.data[SEP] = 2.0
    return model


def write_blip(folder: Path, model: Any) -> Path:
    model.save_pretrained(folder)
    write_vocabulary(folder)
    return folder


def make_clip(seed: int = 0) -> Any:
    """Return a random CLIP of two layers with CLIP's vocabulary."""
    transformers = library()
    sizes = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 1}
    text = {**sizes, "vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407}
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    torch.manual_seed(seed)
    return transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    ).eval()


def see_one_thing(model: Any, meaning: torch.Tensor) -> Any:
    """Make a CLIP see the same in every picture: what it understands by one phrase."""
    model.vision_model.post_layernorm.weight.data.zero_()
    model.vision_model.post_layernorm.bias.data = meaning.clone()
    model.visual_projection.weight.data = torch.eye(WIDTH)
    return model


def danbooru_weights(tags: list[str], shares: torch.Tensor | None = None, width: int = 4) -> dict[str, Any]:
    """Return weights of DeepDanbooru's depth with few channels; with `shares` it sees the same in every picture."""
    torch.manual_seed(0)
    shapes: list[tuple[int, ...]] = [(width, 3, 7, 7)]
    before = width
    for stage in STAGES:
        shortcut = (2 * width, before, 1, 1)
        blocks: list[tuple[int, ...]] = []
        for index in range(stage.blocks):
            into = 2 * width if index else before
            blocks += [(width, into, 1, 1), (width, width, 3, 3), (2 * width, width, 1, 1)]
        place = 3 if stage.shortcut_is_last else 0
        shapes += [*blocks[:place], shortcut, *blocks[place:]]
        before = 2 * width
    shapes.append((len(tags), before, 1, 1))
    weights: dict[str, Any] = {}
    for number, shape in enumerate(shapes):
        weights[f"n_Conv_{number}.weight"] = torch.randn(shape) / torch.Size(shape[1:]).numel() ** 0.5
        weights[f"n_Conv_{number}.bias"] = torch.randn(shape[0]) * 0.1
    if shares is None:
        del weights["n_Conv_178.bias"]
    else:
        weights["n_Conv_178.weight"].zero_()
        weights["n_Conv_178.bias"] = shares.logit()
    return weights


def write_danbooru(root: Path, tags: list[str], shares: torch.Tensor | None = None) -> None:
    folder = root / "torch_deepdanbooru"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"tags": tags, **danbooru_weights(tags, shares)}, folder / "model-resnet_custom_v3.pt")
