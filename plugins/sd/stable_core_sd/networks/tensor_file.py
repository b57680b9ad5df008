"""Files of tensors by name: `.safetensors`, and `.pt`, `.bin`, `.ckpt` without running code. It builds no model."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stable_core.sdk import InvalidParams
from stable_core_sd.weights import TensorFiles

MAX_HEADER_BYTES = 100_000_000


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, on the CPU.

    Raises:
        InvalidParams: the file is broken, or could run code.
    """
    if path.suffix.lower() == ".safetensors":
        return dict(TensorFiles([path]))
    content = read_pickled(path)
    inner = content.get("state_dict", content) if isinstance(content, dict) else {}
    return {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}


def read_pickled(path: Path) -> Any:
    """Return what a file of `torch.save` holds, made of tensors, numbers, texts, lists and dicts only.

    Raises:
        InvalidParams: it holds anything else, which could be code, or it is broken.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = str(error).split("\n")[0][:200]
        raise InvalidParams(
            f"{path.name} was not opened: it may run code ({what}).", "Ask for a .safetensors file."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InvalidParams(f"{path.name} cannot be read: {error}.", "It may be cut off: copy it again.") from None


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata in the header of a safetensors file; other and broken files have none."""
    if path.suffix.lower() != ".safetensors":
        return {}
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= MAX_HEADER_BYTES else b""
    try:
        metadata = json.loads(header).get("__metadata__", {})
    except (ValueError, AttributeError):
        return {}
    return {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}
