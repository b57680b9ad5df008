"""Files of tensors by name: `.safetensors`, and what PyTorch pickles. It knows no models."""

from __future__ import annotations

import json
import math
import struct
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stable_core.sdk import InvalidParams
from stable_core_sd.pickles import read_pickle

SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The types of numbers under their names in safetensors files."""

_LARGEST_HEADER = 100_000_000


class TensorFiles(Mapping[str, torch.Tensor]):
    """The tensors of one or several files by name, each read when it is asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open `.safetensors` files, and files pickled by PyTorch.

        Raises:
            InvalidParams: a file is cut off, of no such kind or refused as unsafe.
        """
        self.paths = paths
        self.metadata: dict[str, str] = {}
        self._file_of: dict[str, SafetensorsFile | PickledFile] = {}
        for path in paths:
            opened = SafetensorsFile(path) if path.suffix == ".safetensors" else PickledFile(path)
            self.metadata |= opened.metadata
            self._file_of.update(dict.fromkeys(opened.names(), opened))

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return a tensor on the CPU, as stored."""
        return self._file_of[name].read(name, 0, 1)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._file_of)

    def __len__(self) -> int:
        """Count the tensors."""
        return len(self._file_of)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a tensor, without reading it."""
        return name in self._file_of

    def read_part(self, name: str, index: int, count: int) -> torch.Tensor:
        """Return one of `count` equal parts of a tensor along its first side."""
        return self._file_of[name].read(name, index, count)

    def empty(self, name: str) -> torch.Tensor:
        """Return a tensor of the same type and shape without numbers, on the meta device, without reading it."""
        return self._file_of[name].empty(name)

    def shape(self, name: str) -> list[int]:
        """Return the shape of a tensor without reading it."""
        return list(self.empty(name).shape)


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies in a file, in bytes from its start."""

    dtype: torch.dtype
    shape: list[int]
    start: int


class SafetensorsFile:
    """An open safetensors file.

    Tensors are read, not mapped: a model that was loaded does not change with its file, and no page of the file
    stays in memory beside it.

    Source: https://github.com/huggingface/safetensors: the length of a JSON header, the header, then all numbers.
    """

    def __init__(self, path: Path) -> None:
        """Open the file and read its header.

        Raises:
            InvalidParams: it is cut off or no safetensors file.
        """
        try:
            self._file = path.open("rb", buffering=0)
            weakref.finalize(self, self._file.close)
            self.metadata, self._places = _read_header(self._file, path.stat().st_size)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, struct.error) as error:
            raise InvalidParams(
                f"{path.name} cannot be read: {error or type(error).__name__}.",
                "It may be cut off: compare its size with the source and copy it again.",
            ) from None

    def names(self) -> list[str]:
        """Return the names of all tensors."""
        return list(self._places)

    def empty(self, name: str) -> torch.Tensor:
        """Return a tensor of the same type and shape on the meta device."""
        place = self._places[name]
        return torch.empty(place.shape, dtype=place.dtype, device="meta")

    def read(self, name: str, index: int, count: int) -> torch.Tensor:
        """Return one of `count` equal parts of a tensor along its first side."""
        place = self._places[name]
        shape = [place.shape[0] // count, *place.shape[1:]] if count > 1 else place.shape
        tensor = torch.empty(shape, dtype=place.dtype)
        if tensor.numel():
            unread = memoryview(tensor.view(-1).view(torch.uint8).numpy())
            self._file.seek(place.start + index * len(unread))
            while len(unread):
                done = self._file.readinto(unread)
                if not done:
                    raise OSError(f"{self._file.name} became shorter while it was read")
                unread = unread[done:]
        return tensor


def _read_header(file: Any, size: int) -> tuple[dict[str, str], dict[str, _Place]]:
    """Return the metadata and the place of each tensor.

    Raises:
        ValueError: the header makes no sense, or the file is shorter than it says.
    """
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(_LARGEST_HEADER, size - 8):
        raise ValueError("its header is longer than the file")
    header = json.loads(file.read(length))
    metadata = {str(name): str(value) for name, value in header.pop("__metadata__", {}).items()}
    places = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        dtype = SAFETENSORS_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise ValueError(f"{name} has the unknown type {entry['dtype']}")
        if min(entry["shape"], default=0) < 0 or end - start != math.prod(entry["shape"]) * dtype.itemsize:
            raise ValueError(f"{name} is not as long as its shape")
        if start < 0 or 8 + length + end > size:
            raise ValueError(f"{name} lies behind the end of the file")
        places[name] = _Place(dtype, list(entry["shape"]), 8 + length + start)
    return metadata, places


class PickledFile:
    """The tensors of a file pickled by PyTorch, views of the mapped file."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            InvalidParams: it is refused as unsafe, cut off, or no such file.
        """
        content = read_pickle(path)
        weights = content.get("state_dict", content) if isinstance(content, dict) else {}
        self._tensors = {str(name): value for name, value in weights.items() if isinstance(value, torch.Tensor)}
        facts = content.items() if isinstance(content, dict) else ()
        self.metadata = {str(name): str(value) for name, value in facts if isinstance(value, (int, float, str))}

    def names(self) -> list[str]:
        """Return the names of all tensors."""
        return list(self._tensors)

    def empty(self, name: str) -> torch.Tensor:
        """Return a tensor of the same type and shape on the meta device."""
        return self._tensors[name].to("meta")

    def read(self, name: str, index: int, count: int) -> torch.Tensor:
        """Return one of `count` equal parts of a tensor along its first side."""
        tensor = self._tensors[name]
        return (tensor.tensor_split(count)[index] if count > 1 else tensor).clone()
