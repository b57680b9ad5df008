"""Random numbers from seeds: the noise of every image of a batch. It does not know when noise is asked for."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

MAX_SEED = 2**32 - 1


class ImageNoise:
    """One random generator per image, so that a batch makes the same pictures as single runs.

    The generators run on the CPU whatever the device, so a seed means the same picture everywhere.
    """

    def __init__(self, shape: tuple[int, int, int], seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.shape = shape  # (channels, height / 8, width / 8)
        self.device = device
        self._generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]

    def __call__(self) -> torch.Tensor:
        """Return the next draw of every image, float32, of shape (images, channels, height / 8, width / 8)."""
        draws = [torch.randn(self.shape, generator=generator) for generator in self._generators]
        return torch.stack(draws).to(self.device)


def image_seeds(seed: int, count: int) -> list[int]:
    """Return the seed of each image: `seed`, `seed + 1`, …; -1 chooses the first at random."""
    first = random.SystemRandom().randint(0, MAX_SEED) if seed < 0 else seed
    return [first + index for index in range(count)]
