"""From rows of tokens to what a kind of Stable Diffusion takes from its text encoders. It knows no prompt language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stable_core_sd.clip import ClipTextModel, Placed
from stable_core_sd.model_kinds import TextRule


@dataclass(frozen=True)
class EncodedRows:
    """What the text encoders made of rows of 77 tokens."""

    hidden: tuple[Tensor, ...]
    """One tensor of shape (rows, 77, width) of each text encoder; joined along the width they are what a UNet reads."""
    pooled: Tensor | None
    """One vector for each row, of shape (rows, width), for kinds that are told the sense of the whole."""


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder with the rule for its use."""

    model: ClipTextModel
    rule: TextRule

    def __call__(self, tokens: Tensor, clip_skip: int, placed: Sequence[Placed]) -> tuple[Tensor, Tensor | None]:
        """Return hidden states of shape (rows, length, width) and, where the rule says so, one vector for each row."""
        skipped = self.rule.skipped_layers + (clip_skip - 1 if self.rule.follows_clip_skip else 0)
        if self.rule.pools:
            hidden, pooled = self.model.forward_pooled(tokens, skipped, self.rule.is_normalized, placed)
            return hidden, pooled
        return self.model(tokens, skipped, self.rule.is_normalized, placed), None


def encode_rows(
    encoders: Sequence[TextEncoder],
    rows: Sequence[Sequence[int]],
    end_token: int,
    clip_skip: int = 1,
    placed: Sequence[Placed] = (),
    device: torch.device | str = "cpu",
) -> EncodedRows:
    """Return what all text encoders, which run on `device`, make of rows of tokens that are filled up with end tokens.

    `clip_skip` 1 takes the last layer, 2 the one before; kinds that have a fixed layer ignore it, as A1111 does.
    """
    hidden: list[Tensor] = []
    pooled = None
    for encoder in encoders:
        numbers = [zero_padded(row, end_token) if encoder.rule.pads_with_zero else row for row in rows]
        states, vector = encoder(torch.tensor(numbers, device=device), clip_skip, placed)
        hidden.append(states)
        pooled = vector if vector is not None else pooled
    return EncodedRows(tuple(hidden), pooled)


def zero_padded(row: Sequence[int], end_token: int) -> list[int]:
    """Replace all that follows the first end token of a row by token 0."""
    kept = row.index(end_token) + 1 if end_token in row else len(row)
    return [*row[:kept], *[0] * (len(row) - kept)]
