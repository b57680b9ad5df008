"""The generation data that is written into a picture, in A1111's format. Reading it back is not here yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def quote(value: Any) -> Any:
    """Return a value as the line of pairs takes it: a JSON string if it holds a comma, a colon or a line break."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",\n:") else value


def write_infotext(prompt: str, negative_prompt: str, pairs: Mapping[str, Any]) -> str:
    """Return the prompt, the negative prompt if there is one, and a line of `key: value` pairs without empty values."""
    line = ", ".join(
        key if key == value else f"{key}: {quote(value)}" for key, value in pairs.items() if value is not None
    )
    negative = f"\nNegative prompt: {negative_prompt}" if negative_prompt else ""
    return f"{prompt}{negative}\n{line}".strip()
