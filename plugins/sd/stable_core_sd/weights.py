"""Reading safetensors files and filling models with them, tensor by tensor. It does not know where files come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open

from stable_core.sdk import InvalidParams

Model = TypeVar("Model", bound=torch.nn.Module)


class TensorFiles(Mapping[str, torch.Tensor]):
    """The tensors of one or several safetensors files by name, each read from the mapped file when it is asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open the files.

        Raises:
            InvalidParams: a file is cut off or no safetensors file.
        """
        self.paths = paths
        self._file_of: dict[str, Any] = {}
        for path in paths:
            try:
                opened = safe_open(path, framework="pt")
            except (SafetensorError, OSError) as error:
                raise InvalidParams(
                    f"{path.name} cannot be read: {error}.",
                    "It may be cut off: compare its size with the source and copy it again.",
                ) from None
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

    def shape(self, name: str) -> list[int]:
        """Return the shape of a tensor without reading it."""
        return list(self._file_of[name].get_slice(name).get_shape())


@dataclass(frozen=True)
class Part:
    """One model of a checkpoint, not loaded yet: its config, its tensors and what they are called in the file."""

    config: dict[str, Any]
    tensors: TensorFiles
    key: Callable[[str], str]


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
        key = part.key(name)
        if key not in part.tensors:
            raise _unfit(part, f"the weight {key} is missing")
        tensor = part.tensors[key]
        if tensor.numel() != empty.numel():  # 1x1 convolutions and linear layers store the same numbers in other shapes
            raise _unfit(part, f"{key} has shape {list(tensor.shape)} where {list(empty.shape)} is expected")
        state[name] = tensor.reshape(empty.shape).to(device, dtype if tensor.is_floating_point() else tensor.dtype)
    model.load_state_dict(state, assign=True)
    model.eval().requires_grad_(False)
    return model


def _unfit(part: Part, what: str) -> InvalidParams:
    files = ", ".join(path.name for path in part.tensors.paths)
    return InvalidParams(
        f"{files} is no Stable Diffusion 1.x checkpoint: {what}.",
        "Choose another file, or copy it again if it should be one.",
    )
