"""Writing safetensors files tensor by tensor, so that no more than one of them is in memory. It reads none.

Source: https://github.com/huggingface/safetensors, the format: the length of a JSON header, the header, all numbers.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from stable_core_sd.tensor_files import SAFETENSORS_DTYPES

_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}


def write_safetensors(
    path: Path,
    shapes: Mapping[str, torch.Tensor],
    read: Callable[[str], torch.Tensor],
    metadata: Mapping[str, Any] | None = None,
    on_tensor: Callable[[int], None] = lambda count: None,
) -> None:
    """Write a file that appears under its name only once it is whole.

    Args:
        path: where it goes; a file that is there is replaced.
        shapes: every name with a tensor of its type and shape, on the meta device.
        read: returns the numbers for a name.
        metadata: texts, or anything else as JSON.
        on_tensor: called after each tensor with how many are written; what it raises ends the writing.
    """
    # Wide numbers first: each tensor then starts at a multiple of its own width, as readers that map files need it.
    order = sorted(shapes, key=lambda name: (-shapes[name].dtype.itemsize, name))
    header = _header(((name, shapes[name]) for name in order), metadata)
    half_written = path.with_name(path.name + ".part")
    try:
        with half_written.open("wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for count, name in enumerate(order, 1):
                tensor = read(name)
                file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
                on_tensor(count)
        half_written.replace(path)
    finally:
        half_written.unlink(missing_ok=True)


def _header(shapes: Iterable[tuple[str, torch.Tensor]], metadata: Mapping[str, Any] | None) -> bytes:
    header: dict[str, Any] = {}
    if metadata:
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
        header["__metadata__"] = texts
    end = 0
    for name, tensor in shapes:
        start, end = end, end + tensor.numel() * tensor.dtype.itemsize
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)
