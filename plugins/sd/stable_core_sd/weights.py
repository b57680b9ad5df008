"""Reading files of tensors and filling models with them, tensor by tensor. It does not know where files come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open

from stable_core.sdk import InvalidParams
from stable_core_sd.pickles import read_pickle

Model = TypeVar("Model", bound=torch.nn.Module)

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


class TensorFiles(Mapping[str, torch.Tensor]):
    """The tensors of one or several files by name, each read from the mapped file when it is asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open `.safetensors` files, and files pickled by PyTorch.

        Raises:
            InvalidParams: a file is cut off, of no such kind or refused as unsafe.
        """
        self.paths = paths
        self.metadata: dict[str, str] = {}
        self._file_of: dict[str, Any] = {}
        for path in paths:
            opened = _open_safetensors(path) if path.suffix == ".safetensors" else PickledTensors(path)
            self.metadata |= opened.metadata() or {}
            self._file_of.update(dict.fromkeys(opened.keys(), opened))

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return a tensor on the CPU, as stored."""
        return self._file_of[name].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._file_of)

    def __len__(self) -> int:
        """Count the tensors."""
        return len(self._file_of)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a tensor, without reading it."""
        return name in self._file_of

    def empty(self, name: str) -> torch.Tensor:
        """Return a tensor of the same type and shape without numbers, on the meta device, without reading it."""
        stored = self._file_of[name].get_slice(name)
        shape, dtype = stored.get_shape(), SAFETENSORS_DTYPES[stored.get_dtype()]
        return torch.empty(shape, dtype=dtype, device="meta")

    def shape(self, name: str) -> list[int]:
        """Return the shape of a tensor without reading it."""
        return list(self._file_of[name].get_slice(name).get_shape())


class PickledTensors:
    """The tensors of a file pickled by PyTorch, with the methods of an opened safetensors file."""

    def __init__(self, path: Path) -> None:
        content = read_pickle(path)
        weights = content.get("state_dict", content) if isinstance(content, dict) else {}
        self._tensors = {str(name): value for name, value in weights.items() if isinstance(value, torch.Tensor)}
        facts = content.items() if isinstance(content, dict) else ()
        self._metadata = {str(name): str(value) for name, value in facts if isinstance(value, (int, float, str))}

    def keys(self) -> list[str]:
        """Return the names."""
        return list(self._tensors)

    def metadata(self) -> dict[str, str]:
        """Return the numbers and texts beside the weights."""
        return self._metadata

    def get_tensor(self, name: str) -> torch.Tensor:
        """Return a tensor."""
        return self._tensors[name]

    def get_slice(self, name: str) -> PickledSlice:
        """Return what tells the shape and the type of a tensor."""
        return PickledSlice(self._tensors[name])


@dataclass(frozen=True)
class PickledSlice:
    """The shape and type of a tensor, as safetensors tells them."""

    tensor: torch.Tensor

    def get_shape(self) -> list[int]:
        """Return the lengths of all sides."""
        return list(self.tensor.shape)

    def get_dtype(self) -> str:
        """Return the type under its name in safetensors files."""
        return next(name for name, dtype in SAFETENSORS_DTYPES.items() if dtype == self.tensor.dtype)


def _open_safetensors(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise InvalidParams(
            f"{path.name} cannot be read: {error}.",
            "It may be cut off: compare its size with the source and copy it again.",
        ) from None


@dataclass(frozen=True)
class Part:
    """One model of a checkpoint, not loaded yet: its config, its tensors and what they are called in the file."""

    config: dict[str, Any]
    tensors: TensorFiles
    key: Callable[[str], str]
    """The name in the file; with `#0`, `#1` or `#2` at its end a third of a tensor, as in `ldm_keys.open_clip_key`."""

    def read(self, name: str, shape: torch.Size) -> torch.Tensor:
        """Return the weight that the model calls `name`, on the CPU and of the type that is stored.

        Raises:
            InvalidParams: it is missing or not of this shape.
        """
        key, _, third = self.key(name).partition("#")
        if key not in self.tensors:
            raise _unfit(self, f"the weight {key} is missing")
        stored = self.tensors[key]
        tensor = stored.tensor_split(3)[int(third)] if third else stored
        if key.endswith("text_projection"):  # OpenCLIP multiplies from the other side
            tensor = tensor.T
        if tensor.numel() != shape.numel():  # 1x1 convolutions and linear layers store the same numbers in other shapes
            raise _unfit(self, f"{key} has shape {list(stored.shape)} where {list(shape)} is expected")
        return tensor.reshape(shape)


def fill_model(make: Callable[[], Model], part: Part, device: torch.device, dtype: torch.dtype) -> Model:
    """Return the model that `make` builds, with the weights of `part`, ready to run.

    The model is built without memory first and each tensor is converted alone, so the peak is the model itself.

    Raises:
        InvalidParams: weights are missing or have another shape.
    """
    with torch.device("meta"):
        model = make()
    state: dict[str, torch.Tensor] = {}
    for name, empty in model.state_dict().items():
        tensor = part.read(name, empty.shape)
        state[name] = tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)
    model.load_state_dict(state, assign=True)
    model.eval().requires_grad_(False)
    return model


def _unfit(part: Part, what: str) -> InvalidParams:
    files = ", ".join(path.name for path in part.tensors.paths)
    return InvalidParams(
        f"{files} is no whole checkpoint: {what}.",
        "Choose another file, or copy it again if it should be one.",
    )
