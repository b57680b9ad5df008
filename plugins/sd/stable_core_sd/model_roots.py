"""Where a person keeps models: the models folders, and A1111's own folder beside its `models`. It opens no file."""

from __future__ import annotations

import os
from pathlib import Path

BUNDLED = Path(__file__).parent / "models"
"""The models folder that comes with the plugin."""


def model_roots() -> list[Path]:
    """Return the models folders in the order in which they count; the first is the home folder's."""
    return [Path(root) for root in os.environ.get("STABLE_CORE_MODELS", "").split(os.pathsep) if root]


def roots_and_beside() -> list[Path]:
    """Return each models folder and, for a folder called `models`, the one above it, where A1111 has its lists."""
    found = []
    for root in model_roots():
        found += [root, root.parent] if root.name.lower() == "models" else [root]
    return found
