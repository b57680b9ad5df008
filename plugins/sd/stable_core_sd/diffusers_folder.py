"""Checkpoints that are diffusers folders: which files hold what. It builds no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_core.sdk import InvalidParams
from stable_core_sd.weights import Part, TensorFiles

_OLD_VAE_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def read_folder(folder: Path) -> dict[str, Part]:
    """Return the parts `unet`, `vae` and `text_encoder` of a diffusers folder.

    Raises:
        InvalidParams: it is another kind of pipeline, or files are missing or cut off.
    """
    index = read_json(folder / "model_index.json")
    pipeline = index.get("_class_name", "")
    if "text_encoder_2" in index or not pipeline.startswith("StableDiffusionPipeline"):
        raise InvalidParams(
            f"{folder.name} is a {pipeline}, not a StableDiffusionPipeline.", "Stable Diffusion 1.x folders run here."
        )
    return {name: _read_part(folder / name) for name in ("unet", "vae", "text_encoder")}


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file of a checkpoint holds.

    Raises:
        InvalidParams: it is missing or no JSON.
    """
    try:
        read: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidParams(
            f"{path.parent.name}/{path.name} cannot be read: {error}.", "Copy the diffusers folder again."
        ) from None
    return read


def _read_part(folder: Path) -> Part:
    tensors = TensorFiles(_weight_files(folder))
    return Part(read_json(folder / "config.json"), tensors, _stored_name(tensors))


def _weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of one part: full precision before fp16, whole before sharded."""
    found = sorted(
        folder.glob("*.safetensors"), key=lambda path: (".fp16" in path.name, "-of-" in path.name, path.name)
    )
    if not found:
        hint = (
            "Only .safetensors are read: .bin and .ckpt files can run code."
            if any(folder.glob("*.bin"))
            else "Copy the folder again."
        )
        raise InvalidParams(f"{folder.parent.name}/{folder.name} holds no .safetensors file.", hint)
    first = found[0]
    if "-of-" not in first.name:
        return [first]
    return [path for path in found if (".fp16" in path.name) == (".fp16" in first.name)]


def _stored_name(tensors: TensorFiles) -> Callable[[str], str]:
    """Return what finds a weight under the names that older versions of the libraries gave it."""

    def stored_name(name: str) -> str:
        names = [name, f"text_model.{name}", name.removeprefix("text_model.")]
        names += [name.replace(f".{new}.", f".{old}.") for new, old in _OLD_VAE_ATTENTION.items() if f".{new}." in name]
        return next((one for one in names if one in tensors), name)

    return stored_name
