"""From a text with edits to what the UNet reads at every step. It combines no texts and guides nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.clip import Placed
from stable_core_sd.emphasis import apply_weights
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.params import TextParams
from stable_core_sd.prompt.chunks import Chunk, Placement
from stable_core_sd.prompt.editing import ScheduledText, StepCount, entry_at, schedule_texts
from stable_core_sd.prompt.legacy import CutText
from stable_core_sd.prompt.reader import TextReader

ROWS_AT_ONCE = 64
"""Rows of 77 tokens in one pass of the text encoders."""


@dataclass(frozen=True)
class EncodedText:
    """One text for the UNet: `hidden` of shape (77 * chunks, width), `pooled` of shape (width,) or None."""

    hidden: Tensor
    pooled: Tensor | None

    def without_sense(self) -> EncodedText:
        """Return zeros of the same shape, where this kind of model reads an empty text as zeros."""
        return (
            self if self.pooled is None else EncodedText(torch.zeros_like(self.hidden), torch.zeros_like(self.pooled))
        )


class Row(NamedTuple):
    """What the text encoders read in one row; the weights come later."""

    tokens: tuple[int, ...]
    embeddings: tuple[Placement, ...]

    @classmethod
    def of(cls, chunk: Chunk) -> Row:
        """Return the row of a chunk."""
        return cls(chunk.tokens, chunk.embeddings)


class EncodedRow(NamedTuple):
    """A row as each text encoder made it, of shape (77, width), and its pooled vector."""

    hidden: tuple[Tensor, ...]
    pooled: Tensor | None


@dataclass(frozen=True)
class EncodedSchedule:
    """The encoded texts of a prompt over the steps, all equally long.

    Attributes:
        dropped: the tokens of each text for which there was no room, where there are any.
        embeddings: those that stand in the texts.
    """

    entries: list[ScheduledText]
    encoded: Mapping[str, EncodedText]
    dropped: list[tuple[int, ...]]
    embeddings: list[Embedding]

    def at(self, call: int) -> EncodedText:
        """Return what the model call with this number, from 0, is told."""
        return self.encoded[self.entries[entry_at(self.entries, call)].text]


class ScheduleEncoder:
    """Encodes prompts for one checkpoint; schedules that it has seen lately are not encoded again."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: TextParams,
        embeddings: Mapping[str, Embedding],
        networks: Hashable = (),
    ) -> None:
        """Take the embeddings that fit the checkpoint, and something that tells the networks it is changed by."""
        self.checkpoint, self.options, self.embeddings, self.networks = checkpoint, options, embeddings, networks
        vectors = {name: len(embedding) for name, embedding in embeddings.items()}
        self.reader = TextReader(checkpoint.tokenizer, options, vectors)

    def __call__(self, prompt: str, count: StepCount, is_negative: bool = False) -> EncodedSchedule:
        """Return the schedule of one prompt without `AND`.

        An empty negative prompt of kinds with a pooled text, such as Stable Diffusion XL, is all zeros.
        """
        entries = schedule_texts(prompt, count)
        texts = {entry.text: self.reader.read(entry.text) for entry in entries}
        is_nothing = is_negative and not any(texts)
        used = [self.embeddings[place.name] for text in texts.values() for place in _places(text)]
        options = self.options.clip_skip, self.options.emphasis, self.networks, is_nothing
        # What is kept holds its embeddings too, so that no other one can come to have their ids.
        key = tuple(entries), tuple(texts.values()), tuple(map(id, used)), options

        def encode() -> EncodedSchedule:
            encoded = self._encode(texts, [entry.text for entry in entries], is_nothing)
            return EncodedSchedule(entries, encoded, [text.dropped for text in texts.values() if text.dropped], used)

        return self.checkpoint.encodings.get(key, encode)

    def _encode(
        self, texts: Mapping[str, CutText], scheduled: Sequence[str], is_nothing: bool
    ) -> dict[str, EncodedText]:
        """Encode different texts; those that are scheduled more often count more often in the mean of weights."""
        length = max(len(text.text.chunks) for text in texts.values())
        empty = self.reader.read("").text.chunks[0]
        chunks = [(*text.text.chunks, *[empty] * (length - len(text.text.chunks))) for text in texts.values()]
        counts = torch.tensor([float(scheduled.count(text)) for text in texts], device=self.checkpoint.device)
        rows = self._encode_rows(list(dict.fromkeys(Row.of(chunk) for text in chunks for chunk in text)))
        columns = []
        for column in zip(*chunks, strict=True):
            weights = torch.tensor([chunk.weights for chunk in column], device=self.checkpoint.device)
            encoders = zip(*(rows[Row.of(chunk)].hidden for chunk in column), strict=True)
            states = [torch.stack(one).float() for one in encoders]
            columns.append(
                torch.cat([apply_weights(one, weights, self.options.emphasis, counts) for one in states], -1)
            )
        hidden = torch.cat(columns, 1).to(self.checkpoint.unet.dtype)  # (texts, 77 * chunks, width)
        encoded = [
            EncodedText(states, rows[Row.of(text[0])].pooled) for states, text in zip(hidden, chunks, strict=True)
        ]
        if is_nothing:
            encoded = [one.without_sense() for one in encoded]
        return dict(zip(texts, encoded, strict=True))

    def _encode_rows(self, rows: list[Row]) -> dict[Row, EncodedRow]:
        encoded = {}
        for first in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[first : first + ROWS_AT_ONCE]
            placed = [
                Placed(index, place.position, self._vectors(place))
                for index, row in enumerate(some)
                for place in row.embeddings
            ]
            made = self.checkpoint.encode_tokens([row.tokens for row in some], self.options.clip_skip, placed)
            for index, row in enumerate(some):
                pooled = None if made.pooled is None else made.pooled[index]
                encoded[row] = EncodedRow(tuple(one[index] for one in made.hidden), pooled)
        return encoded

    def _vectors(self, place: Placement) -> dict[int, Tensor]:
        """Return the vectors of an embedding for each text encoder, by its width."""
        return {width: one[: place.vectors] for width, one in self.embeddings[place.name].vectors.items()}


def _places(text: CutText) -> list[Placement]:
    return [place for chunk in text.text.chunks for place in chunk.embeddings]
