"""LoRAs put into a checkpoint for a run: which layers change and by how much. The arithmetic is in lora_changes.

The weights themselves are changed, not the way they are used: a step costs as much as without a LoRA, whatever the
number of LoRAs, and every attention and every number format works. See weight_patch for how they come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stable_core.sdk import InvalidParams
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.networks.lora_changes import change
from stable_core_sd.networks.lora_file import find_lora
from stable_core_sd.networks.lora_names import Layer, LayerIndex
from stable_core_sd.networks.weight_patch import WeightPatch


@dataclass(frozen=True)
class LoraCall:
    """What a prompt asks for: a LoRA by name and how strongly it acts on the text encoders and on the UNet.

    Attributes:
        rank_limit: how many ranks of a plain LoRA count; None is all.
    """

    name: str
    text_multiplier: float = 1.0
    unet_multiplier: float = 1.0
    rank_limit: int | None = None


def read_call(positional: Sequence[str], named: Mapping[str, str]) -> LoraCall:
    """Return what `<lora:name:0.8:0.5>` or `<lora:name:te=0.8:unet=0.5:dyn=16>` asks for, given what follows `lora:`.

    The second number is the UNet's and by default the same as the first, the third is the rank limit.

    Raises:
        InvalidParams: a multiplier is no number.
    """
    given = dict(zip(("name", "te", "unet", "dyn"), positional, strict=False)) | dict(named)
    try:
        text = float(given.get("te", 1.0))
        limit = int(given["dyn"]) if "dyn" in given else None
        return LoraCall(given.get("name", ""), text, float(given.get("unet", text)), limit)
    except ValueError as error:
        raise InvalidParams(f"<lora:{':'.join(positional)}>: {error}.", "Write it as <lora:name:0.8>.") from None


@dataclass
class AppliedLoras:
    """What became of the LoRAs of a prompt.

    Attributes:
        hashes: of each LoRA, by the name it was called.
        embeddings: that the files brought with them, by name.
        notes: on what was not found, cannot be read or does not fit.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    embeddings: dict[str, Embedding] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def apply_loras(checkpoint: Any, calls: Sequence[LoraCall], patch: WeightPatch) -> AppliedLoras:
    """Put LoRAs into a checkpoint, one after the other; `patch.undo()` takes them out.

    One that is not found, cannot be read or does not fit is left out; the others work all the same.
    """
    layers = _layers_of(checkpoint)
    index = LayerIndex(layers, checkpoint.unet.config)
    applied = AppliedLoras()
    missing: list[str] = []
    for call in calls:
        lora = find_lora(call.name)
        if lora is None:
            missing.append(call.name)
            continue
        try:
            tensors = lora.tensors()
            applied.embeddings |= {embedding.name: embedding for embedding in lora.embeddings()}
        except InvalidParams as error:
            applied.notes.append(error.message)
            continue
        applied.hashes[call.name] = lora.short_hash
        targets = {stem: index.find(stem) for stem in tensors}
        left_out = sum(
            target is None or not _change_layer(layers[target.part][target.name], tensors[stem], call, target, patch)
            for stem, target in targets.items()
        )
        if not tensors and not lora.embeddings():
            applied.notes.append(f"{call.name} has no effect: it holds nothing that is known")
        elif left_out and left_out == len(tensors):
            applied.notes.append(f"{call.name} has no effect: it was made for another kind of model")
        elif left_out:
            applied.notes.append(f"{call.name}: {left_out} of {len(tensors)} layers do not fit this model")
    if missing:
        applied.notes.append(f"Networks not found: {', '.join(missing)}")
    return applied


def _layers_of(checkpoint: Any) -> dict[str, dict[str, nn.Module]]:
    """Return the layers that have a weight, by part and dotted name."""
    parts = {"unet": checkpoint.unet} | {encoder.rule.part: encoder.model for encoder in checkpoint.text_encoders}
    return {
        part: {name: layer for name, layer in model.named_modules() if getattr(layer, "weight", None) is not None}
        for part, model in parts.items()
    }


def _change_layer(
    layer: nn.Module, stored: Mapping[str, Tensor], call: LoraCall, target: Layer, patch: WeightPatch
) -> bool:
    """Add what a LoRA says to one layer; False when it does not fit."""
    multiplier = call.unet_multiplier if target.part == "unet" else call.text_multiplier
    if not multiplier:
        return True
    weight = patch.value(layer, "weight")
    tensors = {name: tensor.to(weight.device, torch.float32) for name, tensor in stored.items()}
    try:
        added = change(tensors, weight, multiplier, call.rank_limit)
    except ValueError:
        return False
    if added is None:
        return False
    if added.weight is not None:
        patch.put(layer, "weight", weight + added.weight)
    if added.bias is not None:
        patch.put(layer, "bias", patch.value(layer, "bias") + added.bias)
    return True
