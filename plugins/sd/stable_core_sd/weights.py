"""Filling models with the tensors of files, one by one. It does not know where the files come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from stable_core.sdk import InvalidParams
from stable_core_sd.tensor_files import TensorFiles

Model = TypeVar("Model", bound=nn.Module)

_READERS = 4
"""So many tensors are read and converted at the same time."""


@dataclass(frozen=True)
class Part:
    """One model of a checkpoint, not loaded yet: its config, its tensors and what they are called in the file."""

    config: dict[str, Any]
    tensors: TensorFiles
    key: Callable[[str], str]
    """The name in the file; with `#0`, `#1` or `#2` at its end a third of a tensor, as in `ldm_keys.open_clip_key`."""
    is_absent: bool = False
    """The file holds none of its weights."""

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
            raise _unfit(self, f"{key} has shape {self.tensors.shape(key)} where {list(shape)} is expected")
        return tensor.reshape(shape)

    def release(self, name: str) -> None:
        """Let go of the memory that the file's copy of a weight takes."""
        self.tensors.release(self.key(name).partition("#")[0])


def fill_model(make: Callable[[], Model], part: Part, device: torch.device, dtype: torch.dtype) -> Model:
    """Return the model that `make` builds, with the weights of `part`, ready to run.

    The model is built without memory first and each tensor is converted alone, a few at the same time, so the peak is
    hardly more than the model itself. What needs no conversion stays where it is in the mapped file.

    Raises:
        InvalidParams: weights are missing or have another shape.
    """
    with torch.device("meta"), without_first_values():
        model = make()

    def fetch(named: tuple[str, torch.Tensor]) -> torch.Tensor:
        name, empty = named
        stored = part.read(name, empty.shape)
        tensor = stored.to(device, dtype if stored.is_floating_point() else stored.dtype)
        if tensor is not stored:
            part.release(name)
        return tensor

    weights = model.state_dict()
    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as readers:
        state = dict(zip(weights, readers.map(fetch, weights.items()), strict=True))
    model.load_state_dict(state, assign=True)
    model.eval().requires_grad_(False)
    return model


@contextmanager
def without_first_values() -> Iterator[None]:
    """Build layers without choosing random weights for them, which takes as long as half of the building."""
    kinds: tuple[Any, ...] = (nn.Linear, nn.Conv2d, nn.LayerNorm, nn.GroupNorm)
    plain = [kind.reset_parameters for kind in kinds]
    for kind in kinds:
        kind.reset_parameters = lambda layer: None
    try:
        yield
    finally:
        for kind, reset in zip(kinds, plain, strict=True):
            kind.reset_parameters = reset


def _unfit(part: Part, what: str) -> InvalidParams:
    files = ", ".join(path.name for path in part.tensors.paths)
    return InvalidParams(
        f"{files} is no whole checkpoint: {what}.",
        "Choose another file, or copy it again if it should be one.",
    )
