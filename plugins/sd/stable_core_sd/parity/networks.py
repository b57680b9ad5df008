"""Checks of hypernetworks and embeddings. The reference cases are run by runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from stable_core_sd.networks.embedding import checksum
from stable_core_sd.networks.hypernetwork import HypernetworkModule, Structure, dropout_structure
from stable_core_sd.parity.runner import Check, close

Case = Mapping[str, Any]


def run_module(case: Case, header: Case) -> Any:
    """Return the layers of a small network and what it makes of a few numbers."""
    structure = Structure(
        tuple(case["layer_structure"]), case["activation"], case["layer_norm"], case["activate_output"]
    )
    module = HypernetworkModule(case["dim"], structure)
    module.load_state_dict({name: _tensor(value) for name, value in case["state_dict"].items()})
    x = torch.tensor(case["x"], dtype=torch.float32).reshape(-1, case["dim"])
    with torch.no_grad():
        y = module.eval()(x, case["multiplier"])
    return {"modules": [type(layer).__name__ for layer in module.linear], "y": y.flatten().tolist()}


def run_dropout(case: Case, header: Case) -> Any:
    """Return the dropout of each layer."""
    return {
        "result": dropout_structure(case["layer_structure"], case["use_dropout"], case["last_layer_dropout"]),
    }


def run_checksum(case: Case, header: Case) -> Any:
    """Return the checksum of an embedding's vectors."""
    return {"checksum": checksum(torch.tensor(case["vec"]))}


def _tensor(stored: Case) -> torch.Tensor:
    return torch.tensor(stored["data"], dtype=torch.float32).reshape(stored["shape"])


CHECKS: dict[str, Check] = {
    "misc:hypernetwork_module": Check(run_module, close(1e-4, 1e-4)),
    "misc:parse_dropout_structure": Check(run_dropout),
    "misc:ti_checksum": Check(run_checksum),
}
