"""Checkpoints in one file of the original layout: their kind and the names of their weights. It builds no model."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from stable_core.sdk import InvalidParams
from stable_core_sd import ldm_keys
from stable_core_sd.diffusers_folder import read_json
from stable_core_sd.model_kinds import REFINER, SD1, SD2, SDXL, TASKS, Kind
from stable_core_sd.tensor_files import TensorFiles
from stable_core_sd.weights import Part

CONFIGS = Path(__file__).parent / "configs"
"""The facts that single files leave out: for each kind a folder laid out like a diffusers folder."""

FIRST_WEIGHT = ldm_keys.UNET + "input_blocks.0.0.weight"
SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

_OTHER_KINDS = {
    "lora_unet_": "a LoRA",
    "lora_te": "a LoRA",
    "model.diffusion_model.joint_blocks.": "a Stable Diffusion 3 checkpoint",
    "model.diffusion_model.double_blocks.": "a Flux checkpoint",
    "double_blocks.": "a Flux checkpoint",
    "emb_params": "a textual inversion embedding",
    "string_to_param": "a textual inversion embedding",
    "down_blocks.": "a single model in diffusers' names",
    "encoder.down.": "a VAE",
}
_KIND_OF_TEXT_ENCODER = {
    ldm_keys.EMBEDDERS[0] + "transformer.": SDXL,
    ldm_keys.EMBEDDERS[0] + "model.": REFINER,
    ldm_keys.OPEN_CLIP: SD2,
    ldm_keys.TEXT_ENCODER: SD1,
}
_TEXT_STARTS = {
    SD1: (ldm_keys.TEXT_ENCODER,),
    SD2: (ldm_keys.OPEN_CLIP,),
    SDXL: (ldm_keys.EMBEDDERS[0] + "transformer.", ldm_keys.EMBEDDERS[1] + "model."),
    REFINER: (ldm_keys.EMBEDDERS[0] + "model.",),
}
_STEPS_OF_SD2_BASE = "875000"


def read_single_file(path: Path) -> tuple[Kind, dict[str, Part], dict[str, Any]]:
    """Return the kind of a file, its parts `unet`, `vae`, `text_encoder` (and `_2`), and its scheduler's config.

    The VAE may be absent, because another can be chosen. The scheduler's `prediction_type` is None where nothing in or
    beside the file tells it.

    Raises:
        InvalidParams: it is of another kind, unsafe or cut off; the message says which.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidParams(f"{path.name} is no checkpoint.", f"Files with the endings {', '.join(SUFFIXES)} are read.")
    tensors = TensorFiles([path])
    kind = find_kind(path.name, tensors)
    configs = CONFIGS / kind.config_folder
    names: dict[str, Callable[..., str]] = {"unet": ldm_keys.unet_key, "vae": ldm_keys.vae_key}
    for rule, start in zip(kind.texts, _TEXT_STARTS[kind], strict=True):
        names[rule.part] = _text_key(start)
    parts = {}
    for name, key in names.items():
        config = read_json(configs / name / "config.json")
        if name == "unet":
            config["in_channels"] = tensors.shape(FIRST_WEIGHT)[1]
        is_absent = name == "vae" and not any(stored.startswith(ldm_keys.VAE) for stored in tensors)
        parts[name] = Part(config, tensors, _stored_name(partial(key, config=config), tensors), is_absent)
    scheduler = read_json(configs / "scheduler" / "scheduler_config.json")
    scheduler["prediction_type"] = find_prediction_type(path, kind, tensors)
    return kind, parts, scheduler


def find_kind(file_name: str, tensors: TensorFiles) -> Kind:
    """Return the kind of a whole checkpoint.

    Raises:
        InvalidParams: it is none; the message says what it is, or that its text encoder is missing.
    """
    names = list(tensors)
    if FIRST_WEIGHT not in tensors or any(name.startswith("model.diffusion_model.joint_blocks.") for name in names):
        found = (kind for start, kind in _OTHER_KINDS.items() if any(name.startswith(start) for name in names))
        raise InvalidParams(
            f"{file_name} is {next(found, 'no checkpoint')}.", "Stable Diffusion 1.x, 2.x and XL checkpoints run here."
        )
    kinds = (kind for start, kind in _KIND_OF_TEXT_ENCODER.items() if any(name.startswith(start) for name in names))
    kind = next(kinds, None)
    if kind is None or not all(any(name.startswith(start) for name in names) for start in _TEXT_STARTS[kind]):
        raise InvalidParams(
            f"{file_name} holds no text encoder.", "Choose a full checkpoint, not one cut down to its UNet."
        )
    extra = tensors.shape(FIRST_WEIGHT)[1] - 4
    if extra not in TASKS:
        raise InvalidParams(
            f"{file_name} is a {extra + 4}-channel checkpoint.",
            "Text-to-image, inpainting and instruct-pix2pix checkpoints run here.",
        )
    return kind


def find_prediction_type(path: Path, kind: Kind, tensors: TensorFiles) -> str | None:
    """Return `epsilon`, `v_prediction`, or None where a Stable Diffusion 2.x model has to be tried.

    What is written in a YAML file beside the checkpoint counts most, then the file's own metadata.
    """
    beside = path.with_suffix(".yaml")
    written = beside.read_text("utf-8", errors="replace") if beside.is_file() else ""
    if found := re.search(r"^\s*parameterization:\s*[\"']?(v|eps)\b", written, re.MULTILINE):
        return "v_prediction" if found[1] == "v" else "epsilon"
    if written:
        return "epsilon"
    if stated := tensors.metadata.get("modelspec.prediction_type"):
        return "v_prediction" if stated.startswith("v") else "epsilon"
    if "v_pred" in tensors:
        return "v_prediction"
    is_plain = tensors.shape(FIRST_WEIGHT)[1] == 4  # the inpainting model of this kind predicts noise
    if kind is not SD2 or not is_plain or tensors.metadata.get("global_step") == _STEPS_OF_SD2_BASE:
        return "epsilon"
    return None


def _text_key(start: str) -> Callable[..., str]:
    if start.endswith("model."):
        return lambda name, config: ldm_keys.open_clip_key(name, start)
    return lambda name, config: ldm_keys.text_encoder_key(name, config, start)


def _stored_name(key: Callable[[str], str], tensors: TensorFiles) -> Callable[[str], str]:
    """Return what finds a weight, also where the text encoder's names lack a part, as in the oldest files."""

    def stored_name(name: str) -> str:
        full = key(name)
        older = full.replace(".text_model.", ".", 1)
        return older if full not in tensors and older in tensors else full

    return stored_name
