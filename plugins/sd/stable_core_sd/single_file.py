"""Checkpoints in one `.safetensors` file of the original layout: their kind and names. It builds no model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from stable_core.sdk import InvalidParams
from stable_core_sd import ldm_keys
from stable_core_sd.diffusers_folder import read_json
from stable_core_sd.weights import Part, TensorFiles

SD15 = Path(__file__).parent / "configs" / "sd15"
"""The facts about Stable Diffusion 1.x that a single file leaves out, laid out like a diffusers folder."""

_FIRST_WEIGHT = ldm_keys.UNET + "input_blocks.0.0.weight"
_OTHER_KINDS = {
    "conditioner.embedders.": "a Stable Diffusion XL checkpoint",
    "cond_stage_model.model.": "a Stable Diffusion 2.x checkpoint",
    "lora_unet_": "a LoRA",
    "lora_te": "a LoRA",
    "model.diffusion_model.joint_blocks.": "a Stable Diffusion 3 checkpoint",
    "model.diffusion_model.double_blocks.": "a Flux checkpoint",
    "double_blocks.": "a Flux checkpoint",
    "emb_params": "a textual inversion embedding",
    "down_blocks.": "a single model in diffusers' names",
}


def read_single_file(path: Path) -> dict[str, Part]:
    """Return the parts `unet`, `vae` and `text_encoder` of a Stable Diffusion 1.x file.

    Raises:
        InvalidParams: it is of another kind or cut off; the message says which.
    """
    if path.suffix != ".safetensors":
        raise InvalidParams(
            f"{path.name} is not a .safetensors file.",
            "Other formats can run code when they are opened; convert it first.",
        )
    tensors = TensorFiles([path])
    check_kind(path.name, tensors)
    names = {"unet": ldm_keys.unet_key, "vae": ldm_keys.vae_key, "text_encoder": ldm_keys.text_encoder_key}
    parts = {}
    for name, key in names.items():
        config = read_json(SD15 / name / "config.json")
        parts[name] = Part(config, tensors, _stored_name(partial(key, config=config), tensors))
    return parts


def check_kind(file_name: str, tensors: TensorFiles) -> None:
    """Make sure that a file holds a whole Stable Diffusion 1.x text-to-image checkpoint.

    Raises:
        InvalidParams: it does not; the message says what it holds.
    """
    kind = next((kind for start, kind in _OTHER_KINDS.items() if any(name.startswith(start) for name in tensors)), "")
    if kind or _FIRST_WEIGHT not in tensors:
        raise InvalidParams(f"{file_name} is {kind or 'no checkpoint'}.", "Stable Diffusion 1.x checkpoints run here.")
    channels = tensors.shape(_FIRST_WEIGHT)[1]
    if channels != 4:
        kind = {9: "an inpainting", 8: "an instruct-pix2pix"}.get(channels, f"a {channels}-channel")
        raise InvalidParams(f"{file_name} is {kind} checkpoint.", "Choose a text-to-image checkpoint.")
    for start, what in ((ldm_keys.VAE, "VAE"), (ldm_keys.TEXT_ENCODER, "text encoder")):
        if not any(name.startswith(start) for name in tensors):
            raise InvalidParams(
                f"{file_name} holds no {what}.", "Choose a full checkpoint, not one cut down to its UNet."
            )


def _stored_name(key: Callable[[str], str], tensors: TensorFiles) -> Callable[[str], str]:
    """Return what finds a weight, also where the text encoder's names lack a part, as in the oldest files."""

    def stored_name(name: str) -> str:
        full = key(name)
        older = full.replace(".text_model.", ".", 1)
        return older if full not in tensors and older in tensors else full

    return stored_name
