"""`(more)`, `[less]`, `(exactly:1.2)` and `BREAK`: from a text to pieces with weights. It knows no tokens.

The language is that of A1111 1.10. Two stacks of brackets are kept apart, so `(a [b) c]` is legal and each closes its
own range.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ROUND = 1.1
"""What a pair of round brackets multiplies by; square ones divide by it."""

_MARK = re.compile(
    r"""\\[()\[\]\\]                        # an escaped character
      | \\                                  # any other backslash: dropped
      | [()\[\]]
      | :\s*(?P<weight>[+-]?[.\d]+)\s*\)    # the end of (text:1.2)
      | [^\\()\[\]:]+
      | :""",
    re.VERBOSE,
)
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


class Piece(NamedTuple):
    """A stretch of text of one weight. `BREAK` with a weight of exactly -1 is a mark, not a word."""

    text: str
    weight: float


BREAK = Piece("BREAK", -1)
"""Where the tokens so far are closed off as a chunk of their own."""


def parse_attention(text: str) -> list[Piece]:
    """Return the pieces of a text, neighbours of equal weight joined; at least one, `("", 1)` for nothing.

    No text is an error: brackets that nothing closes hold to the end, others are text, and so is a weight that is no
    number, as in `(x:1.2.3)`. A `BREAK` within weights is multiplied like any word, and so is no longer a mark.
    """
    joined: list[Piece] = []
    for piece in _weigh(text) or [Piece("", 1.0)]:
        if joined and joined[-1].weight == piece.weight:
            piece = Piece(joined.pop().text + piece.text, piece.weight)
        joined.append(piece)
    return joined


class _Weigher:
    """The pieces so far, texts and weights apart, and where the open brackets began."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.weights: list[float] = []
        self.round: list[int] = []
        self.square: list[int] = []

    def add(self, text: str, weight: float = 1.0) -> None:
        self.texts.append(text)
        self.weights.append(weight)

    def add_words(self, text: str) -> None:
        first, *others = _BREAK.split(text)
        self.add(first)
        for part in others:
            self.add(*BREAK)
            self.add(part)

    def multiply(self, start: int, factor: float) -> None:
        self.weights[start:] = [weight * factor for weight in self.weights[start:]]


def _weigh(text: str) -> list[Piece]:
    weigher = _Weigher()
    position = 0
    while mark := _MARK.match(text, position):
        found, weight = mark[0], _number(mark["weight"])
        if mark["weight"] and weight is None:  # (x:1.2.3): the colon is text, and what follows is read by itself
            found = ":"
        position += len(found)
        if found.startswith("\\"):
            weigher.add(found[1:])
        elif found in ("(", "["):
            (weigher.round if found == "(" else weigher.square).append(len(weigher.texts))
        elif weight is not None and weigher.round:
            weigher.multiply(weigher.round.pop(), weight)
        elif found == ")" and weigher.round:
            weigher.multiply(weigher.round.pop(), ROUND)
        elif found == "]" and weigher.square:
            weigher.multiply(weigher.square.pop(), 1 / ROUND)
        else:
            weigher.add_words(found)
    for start in weigher.round:
        weigher.multiply(start, ROUND)
    for start in weigher.square:
        weigher.multiply(start, 1 / ROUND)
    return list(map(Piece, weigher.texts, weigher.weights))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
