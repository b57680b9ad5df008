"""Weights of a model that are different for a while and come back bit by bit. It does not know why they differ."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightPatch:
    """Puts other weights into layers and the first ones back.

    The first weights are kept as they are and only exchanged, never computed back, so putting them back is exact and
    takes no time. Memory for a second copy of the changed weights is needed meanwhile: beside the model, except on a
    GPU, where the first ones wait in main memory.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[nn.Module, str], Tensor | None] = {}

    def __len__(self) -> int:
        """Count the changed weights and biases."""
        return len(self._first)

    def value(self, layer: nn.Module, name: str) -> Tensor:
        """Return a weight as it is now, in float32; one that the layer lacks is zero for each of its outputs."""
        current: nn.Parameter | None = getattr(layer, name, None)
        if current is None:
            weight: Tensor = layer.weight
            return torch.zeros(weight.shape[0], device=weight.device)
        return current.data.float()

    def put(self, layer: nn.Module, name: str, value: Tensor) -> None:
        """Replace a weight by `value`, rounded to the format that the weight has."""
        current: nn.Parameter | None = getattr(layer, name, None)
        key = (layer, name)
        # A weight made in inference mode could never take part in training again.
        with torch.inference_mode(False), torch.no_grad():
            if current is None:
                self._first.setdefault(key, None)
                dtype = layer.weight.dtype
                setattr(layer, name, nn.Parameter(value.clone().to(dtype), requires_grad=False))
                return
            if key not in self._first:
                self._first[key] = current.data if current.device.type == "cpu" else current.data.cpu()
            current.data = value.clone().to(current.dtype)

    def undo(self) -> None:
        """Put the first weights back, on the device where the layer is now."""
        # As in `put`: weights that come from main memory are new ones.
        with torch.inference_mode(False), torch.no_grad():
            for (layer, name), first in self._first.items():
                if first is None:
                    setattr(layer, name, None)
                else:
                    current: nn.Parameter = getattr(layer, name)
                    current.data = first.to(current.device)
        self._first.clear()
