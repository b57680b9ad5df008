"""Notes to oneself in a prompt: from `#` to the end of the line. It removes them and knows nothing else."""

from __future__ import annotations

import re

_LINE = re.compile(r"(^|\n)#[^\n]*(\n|$)")
_REST_OF_LINE = re.compile(r"#[^\n]*(\n|$)")


def strip_comments(text: str) -> str:
    """Return the text without comments; one line break stays where a comment was, as in A1111."""
    return _REST_OF_LINE.sub("\n", _LINE.sub("\n", text))
