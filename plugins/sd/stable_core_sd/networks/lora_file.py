"""A LoRA file: its tensors, its names and its hash. It changes no model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stable_core.sdk import InvalidParams, model_files
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.networks.embedding_file import embedding_from
from stable_core_sd.networks.lora_names import split_name
from stable_core_sd.networks.tensor_file import read_metadata, read_tensors

SHOWN_TAGS = 20
BUNDLE = "bundle_emb."


@dataclass(frozen=True)
class LoraFile:
    """One file that can be named in a prompt.

    Attributes:
        name: the file's name without its ending.
        alias: what its trainer called it (`ss_output_name`), or the name.
    """

    path: Path
    name: str
    alias: str

    @property
    def short_hash(self) -> str:
        """Return 12 digits that stay the same when the file's metadata change: see `hash_of_weights`."""
        return hash_of_weights(self.path)[:12]

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors by the file's name of their layer, and within it by what they are.

        Raises:
            InvalidParams: the file is broken or could run code.
        """
        layers: dict[str, dict[str, Tensor]] = {}
        for name, tensor in read_tensors(self.path).items():
            if found := split_name(name):
                layers.setdefault(found[0], {})[found[1]] = tensor
        scale = _peft_scale(read_metadata(self.path).get("lora_adapter_metadata", "{}"))
        for name, tensors in layers.items():
            if "down" in tensors and not tensors.keys() & {"alpha", "scale"}:
                tensors["scale"] = torch.tensor(scale(name, tensors["down"].shape[0]))
        return layers

    def embeddings(self) -> list[Embedding]:
        """Return the embeddings that the file brings with it, as tensors named `bundle_emb.NAME.…`.

        Raises:
            InvalidParams: the file is broken or could run code.
        """
        contents: dict[str, dict[str, Any]] = {}
        for full_name, tensor in read_tensors(self.path, prefix=BUNDLE).items():
            name, _, key = full_name.removeprefix(BUNDLE).partition(".")
            contents.setdefault(name, {})[key.removeprefix("string_to_param.")] = tensor
        try:
            return [embedding_from(content, name) for name, content in contents.items()]
        except ValueError as error:
            raise InvalidParams(f"{self.path.name} brings a broken embedding: {error}.", "Copy it again.") from None

    def describe(self) -> dict[str, Any]:
        """Return what a picker shows: names, hash, the model it was trained for and its most frequent tags."""
        metadata = read_metadata(self.path)
        return {
            "name": self.name,
            "alias": self.alias,
            "file": self.path.name,
            "hash": self.short_hash,
            "base_model": metadata.get("ss_base_model_version") or metadata.get("ss_sd_model_name") or "",
            "tags": _frequent_tags(metadata.get("ss_tag_frequency", "")),
        }


def list_loras() -> list[LoraFile]:
    """Return all LoRA files of the models folders by name."""
    return [_open(path, path.stat().st_mtime_ns) for _, path in sorted(model_files("loras").items())]


def find_lora(name: str) -> LoraFile | None:
    """Return the LoRA that a prompt calls `name`: by its name in the models folder, its file's name or its alias.

    An alias that several files have means none of them.
    """
    files = model_files("loras")
    path = files.get(name) or next((path for path in files.values() if name in (path.stem, path.name)), None)
    if path is not None:
        return _open(path, path.stat().st_mtime_ns)
    aliased = [lora for lora in list_loras() if lora.alias == name]
    return aliased[0] if len(aliased) == 1 else None


@lru_cache(maxsize=1024)
def _open(path: Path, modified: int) -> LoraFile:
    return LoraFile(path, path.stem, read_metadata(path).get("ss_output_name") or path.stem)


def hash_of_weights(path: Path) -> str:
    """Return the SHA-256 of what follows a safetensors file's header, or the one that the metadata name.

    Files of other formats are hashed whole.

    Source: `addnet_hash_safetensors` of https://github.com/kohya-ss/sd-scripts.
    """
    return read_metadata(path).get("sshs_model_hash") or _hash(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash(path: Path, modified: int) -> str:
    with path.open("rb") as file:
        if path.suffix.lower() == ".safetensors":
            file.seek(8 + int.from_bytes(file.read(8), "little"))
        return hashlib.file_digest(file, "sha256").hexdigest()


def _peft_scale(recorded: str) -> Callable[[str, int], float]:
    """Return what tells the strength of a layer, by its name and rank, from what diffusers records of peft's config.

    The record is JSON such as `{"unet.lora_alpha": 8, "unet.r": 4}`; without one the strength is 1.
    """
    try:
        record: dict[str, Any] = dict(json.loads(recorded))
    except (ValueError, TypeError):
        record = {}

    def scale(name: str, rank: int) -> float:
        part, _, layer = name.partition(".")
        patterns = record.get(f"{part}.alpha_pattern") or {}
        alpha = next((value for end, value in patterns.items() if f".{layer}".endswith(f".{end}")), None)
        alpha = record.get(f"{part}.lora_alpha") if alpha is None else alpha
        if alpha is None:
            return 1.0
        return float(alpha / (rank**0.5 if record.get(f"{part}.use_rslora") else rank))

    return scale


def _frequent_tags(recorded: str) -> list[str]:
    """Return the most frequent tags of all folders in kohya's record: `{folder: {tag: count}}` as JSON."""
    try:
        folders = json.loads(recorded)
        counts = sum((Counter(tags) for tags in folders.values()), Counter[str]())
    except (ValueError, AttributeError, TypeError):
        return []
    return [tag.strip() for tag, _ in counts.most_common(SHOWN_TAGS)]
