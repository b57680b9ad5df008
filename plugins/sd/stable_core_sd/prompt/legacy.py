"""Prompts as they were read until September 2022: one row of 75 tokens, the rest is cut off. It parses no brackets.

Weights come from the tokens themselves: each bracket in a token changes the weight of all that follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from stable_core_sd.prompt.chunks import ROOM, Chunk, ChunkedText, EmbeddingNames, Placement, Tokenizer, wrap

_FACTORS = {"(": 1.1, "]": 1.1, ")": 1 / 1.1, "[": 1 / 1.1}


@dataclass(frozen=True)
class CutText:
    """A text as one row, and the tokens for which there was no room."""

    text: ChunkedText
    dropped: tuple[int, ...]


def bracket_factor(token: str) -> float:
    """Return what a token does to the weight of those after it; 1 for one without brackets, or with pairs of them."""
    factor = 1.0
    for character in token:
        factor *= _FACTORS.get(character, 1.0)
    return factor


def cut_text(
    text: str, tokenizer: Tokenizer, names: EmbeddingNames, token_text: Callable[[int], str] | None
) -> CutText:
    """Return the first 75 tokens of a text.

    Args:
        text: what is read, brackets and all.
        tokenizer: makes tokens.
        names: the embeddings.
        token_text: returns how a token is written; None reads brackets as words.
    """
    tokens, position, weight = tokenizer(text), 0, 1.0
    payload: list[int] = []
    weights: list[float] = []
    places: list[Placement] = []
    while position < len(tokens):
        found = names.find(tokens, position)
        factor = bracket_factor(token_text(tokens[position])) if token_text else 1.0
        if factor != 1.0:
            weight *= factor
            position += 1
        elif found is None:
            payload.append(tokens[position])
            weights.append(weight)
            position += 1
        else:
            name, vectors, length = found
            places.append(Placement(len(payload) + 1, name, min(vectors, max(ROOM - len(payload), 0))))
            payload += [0] * vectors
            weights += [weight] * vectors
            position += length
    row: Chunk = wrap(payload[:ROOM], weights[:ROOM], tokenizer)
    row = replace(row, embeddings=tuple(place for place in places if place.vectors > 0))
    return CutText(ChunkedText((row,), len(payload)), tuple(payload[ROOM:]))
