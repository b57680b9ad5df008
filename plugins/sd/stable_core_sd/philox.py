"""The normal random numbers of an NVIDIA card, in software: Philox 4x32-10 and Box-Muller. It knows no latents.

Source: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3, https://doi.org/10.1145/2063384.2063405; the
order in which a card uses the counter and the conversion to normals are those of curand as PyTorch calls it.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
WORD = 0xFFFFFFFF

Words: TypeAlias = "npt.NDArray[np.uint32]"


class Philox:
    """A generator whose draws equal those of `torch.randn` on an NVIDIA card with the same seed."""

    def __init__(self, seed: int) -> None:
        self.seed, self._draws = seed, 0

    def randn(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return the next draw."""
        count = math.prod(shape)
        counter = np.zeros((4, count), dtype=np.uint32)
        counter[0] = self._draws
        counter[2] = np.arange(count, dtype=np.uint32)
        self._draws += 1
        first, second, _, _ = philox(counter, self.seed)
        return _box_muller(first, second).reshape(shape)


def philox(counter: Words, key: int) -> Words:
    """Return four random words for each counter of four words, both of shape (4, n), under a 64-bit key."""
    words = [counter[index].astype(np.uint64) for index in range(4)]
    low, high = key & WORD, (key >> 32) & WORD
    for _ in range(ROUNDS):
        first, second = words[0] * np.uint64(MULTIPLIERS[0]), words[2] * np.uint64(MULTIPLIERS[1])
        words = [
            (second >> np.uint64(32)) ^ words[1] ^ np.uint64(low),
            second & np.uint64(WORD),
            (first >> np.uint64(32)) ^ words[3] ^ np.uint64(high),
            first & np.uint64(WORD),
        ]
        low, high = (low + KEY_STEPS[0]) & WORD, (high + KEY_STEPS[1]) & WORD
    return np.stack(words).astype(np.uint32)


def _box_muller(first: Words, second: Words) -> npt.NDArray[np.float32]:
    """Return one normal number for each pair of words."""
    radius = first * np.float32(2**-32) + np.float32(2**-33)
    angle = second * np.float32(2**-32 * 2 * math.pi) + np.float32(2**-33 * 2 * math.pi)
    normals: npt.NDArray[np.float32] = (np.sqrt(-2 * np.log(radius)) * np.sin(angle)).astype(np.float32)
    return normals
