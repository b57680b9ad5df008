"""Hypernetworks: small networks that change what attention looks at. Training them is elsewhere, and so are files.

Source: the hypernetworks of A1111's web UI; the idea is NovelAI's, 2022.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

DEFAULT_STRUCTURE = (1.0, 2.0, 1.0)
DROPOUT = 0.3

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    **{
        name.lower(): activation
        for name, activation in vars(nn.modules.activation).items()
        if inspect.isclass(activation) and issubclass(activation, nn.Module) and name in nn.modules.activation.__all__
    },
    "swish": nn.Hardswish,  # what the original calls so
}


@dataclass(frozen=True)
class Structure:
    """How the small networks are built.

    Attributes:
        layers: the width of each layer as a multiple of the context's width; the first and last are 1.
        activation: `linear` for none, `swish` for Hardswish, or a class of `torch.nn` in lower case.
        activates_output: also after the last layer.
        dropout: the share of values that are dropped after each layer in training; as long as `layers`.
    """

    layers: tuple[float, ...] = DEFAULT_STRUCTURE
    activation: str = "linear"
    has_layer_norm: bool = False
    activates_output: bool = True
    dropout: tuple[float, ...] = field(default=())


def dropout_structure(layers: Sequence[float] | None, use_dropout: bool, last_layer_dropout: bool) -> list[float]:
    """Return the dropout after each layer: none at both ends, 0.3 between; the last but one only if wanted.

    Files from before the structure was stored mean this.
    """
    count = len(layers or DEFAULT_STRUCTURE)
    if not use_dropout:
        return [0] * count
    return [0, *[DROPOUT] * (count - 3), DROPOUT if last_layer_dropout else 0, 0]


class HypernetworkModule(nn.Module):
    """One small network; what it makes is added to what it is given."""

    def __init__(self, width: int, structure: Structure) -> None:
        """Build it for a context of `width` numbers a token.

        Raises:
            ValueError: the activation is unknown, or the structure does not begin and end with 1.
        """
        super().__init__()
        layers, last = structure.layers, len(structure.layers) - 2
        if len(layers) < 2 or layers[0] != 1 or layers[-1] != 1:
            raise ValueError(f"the layer structure {list(layers)} does not begin and end with 1")
        built: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(layers)):
            built.append(nn.Linear(int(width * before), int(width * after)))
            if structure.activation != "linear" and (index < last or structure.activates_output):
                built.append(_activation(structure.activation))
            if structure.has_layer_norm:
                built.append(nn.LayerNorm(int(width * after)))
            if structure.dropout and structure.dropout[index + 1] > 0:
                built.append(nn.Dropout(structure.dropout[index + 1]))
        self.linear = nn.Sequential(*built)

    def forward(self, x: Tensor, multiplier: float = 1.0) -> Tensor:
        """Return the changed context, of the same shape (batch, tokens, width) and format."""
        made = self.linear(x.to(self.linear[0].weight.dtype))  # in training these weights have 32 bits, others may not
        return x + made.to(x.dtype) * multiplier


def _activation(name: str) -> nn.Module:
    if name not in _ACTIVATIONS:
        raise ValueError(f"the activation {name!r} is unknown")
    return _ACTIVATIONS[name]()


Modules = Mapping[int, tuple[HypernetworkModule, HypernetworkModule]]
"""The network for K and the one for V of each context width."""


@contextmanager
def attached(unet: nn.Module, networks: Sequence[tuple[Modules, float]]) -> Iterator[int]:
    """Let hypernetworks, each with its multiplier, change K and V of every attention, in order.

    They sit in front of the layers that make K and V, so that any implementation of attention can be used.
    Yields how many such layers a network of the right width was found for.
    """
    handles = []
    try:
        for name, layer in unet.named_modules():
            side = {"to_k": 0, "to_v": 1}.get(name.rpartition(".")[2])
            width = getattr(layer, "in_features", 0)
            if side is None:
                continue
            if chosen := [(modules[width][side], by) for modules, by in networks if width in modules]:
                handles.append(layer.register_forward_pre_hook(partial(_change_context, chosen)))
        yield len(handles)
    finally:
        for handle in handles:
            handle.remove()


def _change_context(
    chosen: list[tuple[HypernetworkModule, float]], layer: nn.Module, inputs: tuple[Any, ...]
) -> tuple[Any, ...]:
    context, *rest = inputs
    for module, multiplier in chosen:
        context = module(context, multiplier)
    return (context, *rest)


def initialise(module: HypernetworkModule, how: str, activation: str) -> None:
    """Fill a new network with random numbers.

    Args:
        how: `Normal` (spread 0.01), `XavierUniform`, `XavierNormal`, `KaimingUniform` or `KaimingNormal`.

    Raises:
        ValueError: the kind is unknown.
    """
    fill = _INITIALISATIONS.get(how)
    if fill is None:
        raise ValueError(f"the initialisation {how!r} is unknown; known are {', '.join(_INITIALISATIONS)}")
    nonlinearity = "leaky_relu" if activation == "leakyrelu" else "relu"
    for layer in module.linear:
        if isinstance(layer, nn.Linear):
            fill(layer.weight, nonlinearity)
            nn.init.zeros_(layer.bias)


_INITIALISATIONS: dict[str, Callable[[Tensor, str], Any]] = {
    "Normal": lambda weight, _: nn.init.normal_(weight, 0.0, 0.01),
    "XavierUniform": lambda weight, _: nn.init.xavier_uniform_(weight),
    "XavierNormal": lambda weight, _: nn.init.xavier_normal_(weight),
    "KaimingUniform": lambda weight, kind: nn.init.kaiming_uniform_(weight, nonlinearity=kind),
    "KaimingNormal": lambda weight, kind: nn.init.kaiming_normal_(weight, nonlinearity=kind),
}
