"""Reference cases of A1111 and k-diffusion, read from `vectors/*.json`. For tests only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def cases(file: str) -> list[Any]:
    """Return the cases of one file; each has an id, an input and what the original functions returned."""
    found: list[Any] = json.loads((Path(__file__).parent / "vectors" / f"{file}.json").read_text("utf-8"))["cases"]
    return found
