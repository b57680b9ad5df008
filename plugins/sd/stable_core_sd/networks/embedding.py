"""A textual inversion embedding: vectors that take the place of words. Files are elsewhere, and so is training.

Source: Gal et al. 2022, https://arxiv.org/abs/2208.01618.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Embedding:
    """One embedding.

    Attributes:
        vectors: float32 of shape (vectors, width), by their width: one entry for each text encoder it is for, of which
            each has as many vectors.
        step: how long it was trained.
        path: the file it was read from.
    """

    name: str
    vectors: Mapping[int, Tensor]
    step: int = 0
    checkpoint_hash: str | None = None
    checkpoint_name: str | None = None
    path: Path | None = None

    def __len__(self) -> int:
        """Count the vectors: the places it takes in a text."""
        return next(iter(self.vectors.values())).shape[0]

    def fits(self, widths: Collection[int]) -> bool:
        """Tell whether it is for a checkpoint whose text encoders have these widths."""
        return self.vectors.keys() == set(widths)

    @cached_property
    def short_hash(self) -> str:
        """Return the first 12 digits of the SHA-256 of its file, or nothing without one."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12] if self.path else ""

    @property
    def checksum(self) -> str:
        """Return the checksum of the vectors; of several text encoders, that of the first."""
        return checksum(next(iter(self.vectors.values())))


def checksum(vectors: Tensor) -> str:
    """Return A1111's checksum of vectors: 4 hexadecimal digits."""
    rest = 0
    for number in (vectors.detach().to("cpu", torch.float32).flatten() * 100).tolist():
        rest = (rest * 281 ^ int(number) * 997) & 0xFFFFFFFF
    return f"{rest & 0xFFFF:04x}"
