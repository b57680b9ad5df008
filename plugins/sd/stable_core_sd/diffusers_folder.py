"""Checkpoints that are diffusers folders: which files hold what. It builds no model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_core.sdk import InvalidParams
from stable_core_sd.model_kinds import REFINER, SD1, SD2, SDXL, TASKS, Kind
from stable_core_sd.tensor_files import TensorFiles
from stable_core_sd.weights import Part

_OLD_VAE_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


_PIPELINES = re.compile(r"StableDiffusion(XL)?(Img2Img|Inpaint|InstructPix2Pix)?Pipeline(Legacy)?")


def read_folder(folder: Path) -> tuple[Kind, dict[str, Part], dict[str, Any]]:
    """Return the kind of a folder, its parts `unet`, `vae`, `text_encoder` (and `_2`), and its scheduler's config.

    Raises:
        InvalidParams: it is another kind of pipeline, or files are missing, unsafe or cut off.
    """
    pipeline = read_json(folder / "model_index.json").get("_class_name", "")
    found = _PIPELINES.fullmatch(pipeline)
    if not found:
        raise InvalidParams(
            f"{folder.name} is a {pipeline}, not a StableDiffusionPipeline.",
            "The job sd.diffusers runs other pipelines.",
        )
    if found[1]:
        kind = SDXL if (folder / "text_encoder").is_dir() else REFINER
    else:
        kind = SD2 if read_json(folder / "text_encoder" / "config.json").get("hidden_act") == "gelu" else SD1
    parts = {name: read_part(folder / name) for name in ("unet", "vae", *(rule.part for rule in kind.texts))}
    extra = parts["unet"].config["in_channels"] - parts["vae"].config["latent_channels"]
    if extra not in TASKS:
        raise InvalidParams(
            f"{folder.name} takes {extra} channels beside the latent.",
            "Text-to-image, inpainting and instruct-pix2pix checkpoints run here.",
        )
    return kind, parts, read_json(folder / "scheduler" / "scheduler_config.json")


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


def read_part(folder: Path) -> Part:
    """Return one model of a diffusers folder.

    Raises:
        InvalidParams: files are missing, unsafe or cut off.
    """
    tensors = TensorFiles(weight_files(folder))
    return Part(read_json(folder / "config.json"), tensors, current_name(tensors))


def weight_files(folder: Path) -> list[Path]:
    """Return the files with the weights of one part.

    Safetensors come before pickles, the precision of the folder before fp16, whole files before sharded ones.
    """
    found = sorted(
        (path for path in folder.glob("*") if path.suffix in {".safetensors", ".bin"}),
        key=lambda path: (path.suffix == ".bin", ".fp16" in path.name, "-of-" in path.name, path.name),
    )
    if not found:
        raise InvalidParams(
            f"{folder.parent.name}/{folder.name} holds no .safetensors or .bin file.", "Copy the folder again."
        )
    first = found[0]
    if "-of-" not in first.name:
        return [first]
    return [path for path in found if path.suffix == first.suffix and (".fp16" in path.name) == (".fp16" in first.name)]


def current_name(tensors: TensorFiles) -> Callable[[str], str]:
    """Return what finds a weight under the names that older versions of the libraries gave it."""

    def stored_name(name: str) -> str:
        names = [name, f"text_model.{name}", name.removeprefix("text_model.")]
        names += [name.replace(f".{new}.", f".{old}.") for new, old in _OLD_VAE_ATTENTION.items() if f".{new}." in name]
        return next((one for one in names if one in tensors), name)

    return stored_name
