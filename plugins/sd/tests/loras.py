"""LoRA files for the tiny model, and what they change. For tests only."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from stable_core_sd import ldm_keys
from stable_core_sd.model_kinds import SD1
from stable_core_sd.networks.lora import LoraCall, apply_loras
from stable_core_sd.networks.weight_patch import WeightPatch

ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
RESNET = "down_blocks.1.resnets.0.conv1"


class TinyCheckpoint:
    """The models that LoRAs change."""

    def __init__(self, seed: int = 0) -> None:
        import tiny

        models = tiny.make_models(seed)
        self.unet, self.text_encoder = models["unet"], models["text_encoder"]
        self.text_encoders = [SimpleNamespace(model=self.text_encoder, rule=SD1.texts[0])]

    def weights(self) -> dict[str, Tensor]:
        parts = {"unet": self.unet, "text_encoder": self.text_encoder}
        return {
            f"{part}.{name}": value.clone()
            for part, model in parts.items()
            for name, value in model.state_dict().items()
        }


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))) / 4


def changed(checkpoint: TinyCheckpoint, *calls: LoraCall) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights that differ with LoRAs, by how much, and the notes; the checkpoint is left as it was."""
    before, patch = checkpoint.weights(), WeightPatch()
    notes = apply_loras(checkpoint, calls, patch).notes
    during = checkpoint.weights()
    patch.undo()
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.weights().items())
    return {name: during[name] - before[name] for name in before if not torch.equal(during[name], before[name])}, notes


def names_of(layer: str) -> dict[str, tuple[str, str]]:
    """Return the names that files of each family give the two tensors of a LoRA of one UNet layer."""
    flat, dotted = layer.replace(".", "_"), f"unet.{layer}"
    single = ldm_keys.unet_key(f"{layer}.weight", {"layers_per_block": 1, "up_block_types": []})
    single = single.removeprefix(ldm_keys.UNET).removesuffix(".weight").replace(".", "_")
    found = {
        "kohya": (f"lora_unet_{flat}.lora_up.weight", f"lora_unet_{flat}.lora_down.weight"),
        "single file": (f"lora_unet_{single}.lora_up.weight", f"lora_unet_{single}.lora_down.weight"),
        "peft": (f"{dotted}.lora_B.weight", f"{dotted}.lora_A.weight"),
        "peft, default": (
            f"base_model.model.{layer}.lora_B.default.weight",
            f"base_model.model.{layer}.lora_A.default.weight",
        ),
        "diffusers": (f"{dotted}.lora.up.weight", f"{dotted}.lora.down.weight"),
        "dotted": (f"diffusion_model.{layer}.lora_up.weight", f"diffusion_model.{layer}.lora_down.weight"),
    }
    parent, _, last = layer.rpartition(".")
    if parent.endswith("attn1"):
        found["processor"] = (
            f"unet.{parent}.processor.{last}_lora.up.weight",
            f"unet.{parent}.processor.{last}_lora.down.weight",
        )
        found["first"] = found["processor"][0].removeprefix("unet."), found["processor"][1].removeprefix("unet.")
    return found
