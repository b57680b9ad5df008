"""`a cat AND a dog:0.5`: the parts of a prompt that guide the picture together, with their weights.

How their predictions are combined is the denoiser's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r":\s*([-+]?(?:\d+\.?|\d*\.\d+))$")


class Part(NamedTuple):
    """One text of a composition."""

    text: str
    weight: float


def split_parts(prompt: str) -> list[Part]:
    """Return the parts of a prompt, at least one.

    A number at the end of a part is its weight even where there is no `AND`, as in A1111: `ratio 16:9` is the text
    `ratio 16` with a weight of 9. `ends_in_weight` tells, so that a person can be told.

    Source: Liu et al. 2022, https://arxiv.org/abs/2206.01714.
    """
    return [_read_part(text) for text in _AND.split(prompt)]


def ends_in_weight(prompt: str) -> bool:
    """Return whether a prompt without `AND` ends in a number that is taken for a weight."""
    return not _AND.search(prompt) and bool(_WEIGHT.search(prompt.rstrip()))


def index_parts(prompts: Iterable[str]) -> tuple[list[str], list[list[tuple[int, float]]]]:
    """Return all different texts of the prompts in their order, and each prompt as numbers of texts with weights."""
    texts: dict[str, int] = {}
    indexes = [
        [(texts.setdefault(part.text, len(texts)), part.weight) for part in split_parts(prompt)] for prompt in prompts
    ]
    return list(texts), indexes


def _read_part(text: str) -> Part:
    text = text.rstrip()
    weight = _WEIGHT.search(text)
    return Part(text[: weight.start()].rstrip(), float(weight[1])) if weight else Part(text, 1.0)
