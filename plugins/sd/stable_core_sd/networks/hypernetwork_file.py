"""Hypernetwork files, `.pt` as A1111 writes them: reading, writing, finding them by name. It runs none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stable_core.sdk import InvalidParams, model_files
from stable_core_sd.networks.hypernetwork import (
    DEFAULT_STRUCTURE,
    HypernetworkModule,
    Modules,
    Structure,
    dropout_structure,
)
from stable_core_sd.pickles import read_pickle

_OLD_LAYERS = {"linear1.": "linear.0.", "linear2.": "linear.1."}


@dataclass
class Hypernetwork:
    """A hypernetwork with what its file says about it.

    Attributes:
        step: how long it was trained.
        checkpoint_hash: the short hash of the checkpoint it was trained with.
    """

    name: str
    structure: Structure
    modules: Modules
    step: int = 0
    initialisation: str = "Normal"
    checkpoint_hash: str | None = None
    checkpoint_name: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def hypernetwork_files() -> dict[str, Path]:
    """Return the files of the models folders by the name that a prompt calls them; `None` is the name of none."""
    files = {path.stem: path for path in model_files("hypernetworks").values() if path.suffix.lower() == ".pt"}
    return {name: path for name, path in files.items() if name != "None"}


def find_hypernetwork(name: str) -> Path | None:
    """Return the file of the hypernetwork that a prompt calls `name`."""
    return hypernetwork_files().get(name)


def read_hypernetwork(path: Path) -> Hypernetwork:
    """Return the hypernetwork in a file, on the CPU in float32.

    Raises:
        InvalidParams: it is no hypernetwork, broken, or could run code.
    """
    stored = read_pickle(path)
    try:
        structure = _read_structure(stored)
        modules = {
            width: (_read_module(width, structure, pair[0]), _read_module(width, structure, pair[1]))
            for width, pair in stored.items()
            if isinstance(width, int)
        }
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise InvalidParams(f"{path.name} is no hypernetwork that can be used: {error}.", "Choose another.") from None
    if not modules:
        raise InvalidParams(f"{path.name} holds no hypernetwork.", "Choose another file.")
    return Hypernetwork(
        name=stored.get("name") or path.stem,
        structure=structure,
        modules=modules,
        step=int(stored.get("step") or 0),
        initialisation=stored.get("weight_initialization") or "Normal",
        checkpoint_hash=stored.get("sd_checkpoint"),
        checkpoint_name=stored.get("sd_checkpoint_name"),
    )


def write_hypernetwork(network: Hypernetwork, path: Path) -> None:
    """Write a hypernetwork so that A1111 reads it too."""
    structure = network.structure
    content: dict[Any, Any] = {
        width: tuple({name: value.detach().cpu().clone() for name, value in one.state_dict().items()} for one in pair)
        for width, pair in network.modules.items()
    }
    content |= {
        "step": network.step,
        "name": network.name,
        "layer_structure": list(structure.layers),
        "activation_func": structure.activation,
        "is_layer_norm": structure.has_layer_norm,
        "weight_initialization": network.initialisation,
        "sd_checkpoint": network.checkpoint_hash,
        "sd_checkpoint_name": network.checkpoint_name,
        "activate_output": structure.activates_output,
        "use_dropout": any(structure.dropout),
        "dropout_structure": list(structure.dropout),
        "last_layer_dropout": len(structure.dropout) > 2 and structure.dropout[-2] > 0,
        "optional_info": None,
    }
    torch.save(content, path)


def _read_structure(stored: Mapping[Any, Any]) -> Structure:
    layers = tuple(float(size) for size in stored.get("layer_structure") or DEFAULT_STRUCTURE)
    uses_dropout, last = bool(stored.get("use_dropout")), bool(stored.get("last_layer_dropout"))
    return Structure(
        layers=layers,
        activation=stored.get("activation_func") or "linear",
        has_layer_norm=bool(stored.get("is_layer_norm", False)),
        activates_output=bool(stored.get("activate_output", True)),
        dropout=tuple(stored.get("dropout_structure") or dropout_structure(layers, uses_dropout, last)),
    )


def _read_module(width: int, structure: Structure, weights: Mapping[str, torch.Tensor]) -> HypernetworkModule:
    module = HypernetworkModule(width, structure)
    for old, new in _OLD_LAYERS.items():
        weights = {new + name.removeprefix(old) if name.startswith(old) else name: one for name, one in weights.items()}
    module.load_state_dict({name: value.float() for name, value in weights.items()})
    return module.eval().requires_grad_(False)
