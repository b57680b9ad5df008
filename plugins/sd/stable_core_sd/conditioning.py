"""From text to the embeddings that the UNet reads: tokens, chunks of 75, CLIP. It knows no prompt language."""

from __future__ import annotations

import torch

from stable_core_sd.checkpoint import Checkpoint

CHUNK = 75
"""Tokens of text in one pass of CLIP; a start and an end token make it 77."""


def encode_text(checkpoint: Checkpoint, text: str) -> torch.Tensor:
    """Return the embeddings of a text of any length, of shape (1, 77 * chunks, width)."""
    tokenizer = checkpoint.tokenizer
    rows = chunk_tokens(tokenizer(text), tokenizer.start_token, tokenizer.end_token)
    embedded = torch.cat(checkpoint.encode_tokens(rows).hidden, -1)  # (chunks, 77, width)
    return embedded.reshape(1, -1, embedded.shape[-1])


def chunk_tokens(tokens: list[int], start: int, end: int) -> list[list[int]]:
    """Cut tokens into rows of 77: start, 75 of the text, end; the last row is filled up with end tokens."""
    rows = [tokens[first : first + CHUNK] for first in range(0, max(len(tokens), 1), CHUNK)]
    return [[start, *row, *[end] * (CHUNK - len(row)), end] for row in rows]
