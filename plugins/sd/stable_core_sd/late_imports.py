"""Importing, when a job runs, what the announcement does not wait for. It imports nothing by itself."""

from __future__ import annotations

import importlib
import os
from types import ModuleType


def torch_module(name: str) -> ModuleType:
    """Import a module that stands on PyTorch, after the settings that have to be there before it."""
    # OpenMP's threads wait in busy loops by default, which makes a run many times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return importlib.import_module(f"{__package__}.{name}")
