"""Files of tensors by name: `.safetensors`, and `.pt`, `.bin`, `.ckpt` without running code. It builds no model."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from stable_core_sd.pickles import read_pickle
from stable_core_sd.tensor_files import TensorFiles

MAX_HEADER_BYTES = 100_000_000


def read_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of a file whose names begin with `prefix`, on the CPU.

    Raises:
        InvalidParams: the file is broken, or could run code.
    """
    if path.suffix.lower() == ".safetensors":
        files = TensorFiles([path])
        return {name: files.copy(name) for name in files if name.startswith(prefix)}
    content = read_pickle(path)
    inner = content.get("state_dict", content) if isinstance(content, dict) else {}
    return {
        str(name): value for name, value in inner.items() if isinstance(value, Tensor) and str(name).startswith(prefix)
    }


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
