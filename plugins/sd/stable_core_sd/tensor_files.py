"""Files of tensors by name: `.safetensors`, and what PyTorch pickles. It knows no models."""

from __future__ import annotations

import json
import math
import mmap
import struct
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

_GROUPS = ("state_dict", "model", "params_ema", "params")
"""Where pickled files keep their weights, the first that is there; the last two are BasicSR's."""


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
        """Return a tensor on the CPU, as stored: a view of the mapped file, read when it is used."""
        return self._file_of[name].view(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._file_of)

    def __len__(self) -> int:
        """Count the tensors."""
        return len(self._file_of)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a tensor, without reading it."""
        return name in self._file_of

    def copy(self, name: str) -> torch.Tensor:
        """Return a tensor that does not depend on the file, and leave nothing of the file in memory."""
        tensor = self[name].clone()
        self.release(name)
        return tensor

    def release(self, name: str) -> None:
        """Let go of the memory that a tensor's part of the file takes; views of it are read again when used."""
        self._file_of[name].release(name)

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
    """A mapped safetensors file.

    Source: https://github.com/huggingface/safetensors: the length of a JSON header, the header, then all numbers.
    """

    def __init__(self, path: Path) -> None:
        """Open the file and read its header.

        Raises:
            InvalidParams: it is cut off or no safetensors file.
        """
        try:
            with path.open("rb") as file:
                self.metadata, self._places = _read_header(file, path.stat().st_size)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
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

    def view(self, name: str) -> torch.Tensor:
        """Return a tensor that lies in the mapped file."""
        place = self._places[name]
        count = math.prod(place.shape)
        if not count:
            return torch.empty(place.shape, dtype=place.dtype)
        return torch.frombuffer(self._map, dtype=place.dtype, count=count, offset=place.start).view(place.shape)

    def release(self, name: str) -> None:
        """Give the whole pages of a tensor back; the file stays as it is."""
        place, page = self._places[name], mmap.PAGESIZE
        first = -(-place.start // page) * page
        length = (place.start + math.prod(place.shape) * place.dtype.itemsize) // page * page - first
        if length > 0 and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, first, length)


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
        groups = [content.get(name) for name in _GROUPS] if isinstance(content, dict) else []
        weights = next((one for one in [*groups, content] if isinstance(one, dict)), {})
        self._tensors = {str(name): value for name, value in weights.items() if isinstance(value, torch.Tensor)}
        facts = content.items() if isinstance(content, dict) else ()
        self.metadata = {str(name): str(value) for name, value in facts if isinstance(value, (int, float, str))}

    def names(self) -> list[str]:
        """Return the names of all tensors."""
        return list(self._tensors)

    def empty(self, name: str) -> torch.Tensor:
        """Return a tensor of the same type and shape on the meta device."""
        return self._tensors[name].to("meta")

    def view(self, name: str) -> torch.Tensor:
        """Return a tensor that lies in the mapped file."""
        return self._tensors[name]

    def release(self, name: str) -> None:
        """Leave the pages to the system, which takes them when it needs memory."""
