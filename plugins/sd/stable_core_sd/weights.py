"""Filling models with the tensors of files, one by one. It does not know where the files come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from stable_core.sdk import InvalidParams
from stable_core_sd.tensor_files import TensorFiles

Model = TypeVar("Model", bound=torch.nn.Module)


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
        tensor = self.tensors.read_part(key, int(third), 3) if third else self.tensors[key]
        if key.endswith("text_projection"):  # OpenCLIP multiplies from the other side
            tensor = tensor.T
        if tensor.numel() != shape.numel():  # 1x1 convolutions and linear layers store the same numbers in other shapes
            raise _unfit(self, f"{key} has shape {self.tensors.shape(key)} where {list(shape)} is expected")
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
