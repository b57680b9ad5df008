"""From weighted pieces to rows of 77 tokens, as many as the text needs. It runs no model and reads no file.

A row holds 75 tokens of text between a start and an end token and is filled up with end tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stable_core_sd.prompt.attention import BREAK, Piece

ROOM = 75
"""Tokens of text in one row."""


class Tokenizer(Protocol):
    """What chunks need to know of a vocabulary."""

    start_token: int
    end_token: int
    comma_token: int

    def __call__(self, text: str) -> list[int]:
        """Return the tokens of a text, without start and end."""


class Placement(NamedTuple):
    """Where an embedding stands in a row: its first of `vectors` places, counted from the start token at 0."""

    position: int
    name: str
    vectors: int


@dataclass(frozen=True)
class Chunk:
    """One row: 77 tokens, the weight of each, and the embeddings that take the place of tokens."""

    tokens: tuple[int, ...]
    weights: tuple[float, ...]
    embeddings: tuple[Placement, ...] = ()


@dataclass(frozen=True)
class ChunkedText:
    """All rows of a text and its length in tokens, where every row but the last counts as full."""

    chunks: tuple[Chunk, ...]
    count: int


class EmbeddingNames:
    """Finds names of embeddings among tokens; of two that fit, the longer one."""

    def __init__(self, tokenizer: Tokenizer, vectors: Mapping[str, int]) -> None:
        """Take the number of vectors of each embedding by its name; more than a row has room for are cut."""
        self._by_first: dict[int, list[tuple[list[int], str, int]]] = {}
        for name, count in vectors.items():
            if tokens := tokenizer(name):
                self._by_first.setdefault(tokens[0], []).append((tokens, name, min(count, ROOM)))
        for found in self._by_first.values():
            found.sort(key=lambda entry: len(entry[0]), reverse=True)

    def find(self, tokens: Sequence[int], position: int) -> tuple[str, int, int] | None:
        """Return the name that stands at a position, its number of vectors and of tokens; None if there is none."""
        for name_tokens, name, vectors in self._by_first.get(tokens[position], ()):
            if list(tokens[position : position + len(name_tokens)]) == name_tokens:
                return name, vectors, len(name_tokens)
        return None


def chunk_pieces(
    pieces: Iterable[Piece], tokenizer: Tokenizer, names: EmbeddingNames, comma_backtrack: int = 20
) -> ChunkedText:
    """Return the rows of a text, at least one.

    Where a row is full, what follows its last comma moves on to the next row, if that is at most `comma_backtrack`
    tokens; 0 lets a row end anywhere. `BREAK` ends a row; one at the very end adds none.
    """
    rows = _Rows(tokenizer, comma_backtrack)
    for piece in pieces:
        if piece == BREAK:
            rows.close()
            continue
        tokens, position = tokenizer(piece.text), 0
        while position < len(tokens):
            rows.make_room(tokens[position])
            found = names.find(tokens, position)
            if found is None:
                rows.add(tokens[position], piece.weight)
                position += 1
            else:
                rows.add_embedding(found[0], found[1], piece.weight)
                position += found[2]
    return rows.finish()


def wrap(payload: Sequence[int], weights: Sequence[float], tokenizer: Tokenizer) -> Chunk:
    """Return up to 75 tokens with their weights as a row; start, end and filling have a weight of 1."""
    missing = ROOM - len(payload)
    return Chunk(
        (tokenizer.start_token, *payload, *[tokenizer.end_token] * (missing + 1)),
        (1.0, *weights, *[1.0] * (missing + 1)),
    )


def limit_of(count: int) -> int:
    """Return how many tokens fit before a text of `count` tokens needs another row."""
    return ROOM * max(1, -(-count // ROOM))


class _Rows:
    """The rows so far and the open one."""

    def __init__(self, tokenizer: Tokenizer, comma_backtrack: int) -> None:
        self.tokenizer, self.comma_backtrack = tokenizer, comma_backtrack
        self.closed: list[Chunk] = []
        self.tokens: list[int] = []
        self.weights: list[float] = []
        self.embeddings: list[Placement] = []
        self.comma: int | None = None

    def make_room(self, token: int) -> None:
        """Close the row if it is full, at its last comma if that is near."""
        if token == self.tokenizer.comma_token:
            self.comma = len(self.tokens)
        elif len(self.tokens) == ROOM and self.comma is not None and ROOM - self.comma <= self.comma_backtrack:
            self._close_after(self.comma + 1)
        if len(self.tokens) == ROOM:
            self.close()

    def add(self, token: int, weight: float) -> None:
        self.tokens.append(token)
        self.weights.append(weight)

    def add_embedding(self, name: str, vectors: int, weight: float) -> None:
        if len(self.tokens) + vectors > ROOM:
            self.close()
        self.embeddings.append(Placement(len(self.tokens) + 1, name, vectors))
        self.tokens += [0] * vectors
        self.weights += [weight] * vectors

    def close(self) -> None:
        self._close_after(len(self.tokens))

    def finish(self) -> ChunkedText:
        """Close the last row if it holds anything or is the only one."""
        count = ROOM * len(self.closed) + len(self.tokens)
        if self.tokens or not self.closed:
            self.close()
        return ChunkedText(tuple(self.closed), count)

    def _close_after(self, kept: int) -> None:
        row = wrap(self.tokens[:kept], self.weights[:kept], self.tokenizer)
        stay = tuple(place for place in self.embeddings if place.position <= kept)
        move = [place._replace(position=place.position - kept) for place in self.embeddings if place.position > kept]
        self.closed.append(Chunk(row.tokens, row.weights, stay))
        self.tokens, self.weights, self.embeddings = self.tokens[kept:], self.weights[kept:], move
        self.comma = None
