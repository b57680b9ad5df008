"""The pictures of a training as latents, and in which order they are shown. It knows no texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

LatentSampling = Literal["once", "deterministic", "random"]


@dataclass(frozen=True)
class TrainingPicture:
    """One picture.

    Attributes:
        mean, spread: of the latents that the VAE thinks likely, scaled, of shape (channels, height / 8, width / 8).
        weight: how much each latent pixel counts, of shape (1, height / 8, width / 8), 1 on average; None is alike.
        words: its `[filewords]`.
    """

    mean: Tensor
    spread: Tensor
    words: str = ""
    weight: Tensor | None = None

    def without_weight(self) -> TrainingPicture:
        """Return the picture with all its pixels alike."""
        return replace(self, weight=None)

    def latent(self, generator: torch.Generator | None) -> Tensor:
        """Return one likely latent, without a generator the likeliest."""
        if generator is None:
            return self.mean
        return self.mean + self.spread * torch.randn(self.mean.shape, generator=generator).to(self.mean.device)


@torch.no_grad()
def encode_picture(checkpoint: Any, picture: Image.Image, size: tuple[int, int] | None, words: str) -> TrainingPicture:
    """Return a picture of `size` (width, height) as latents; without a size its own, cut to whole latent pixels."""
    factor = checkpoint.factor
    has_alpha = "A" in picture.getbands()
    fitted = picture.convert("RGBA" if has_alpha else "RGB")
    if size is not None:
        fitted = fitted.resize(size, Image.Resampling.BICUBIC)
    width, height = fitted.width // factor * factor, fitted.height // factor * factor
    if not width or not height:
        raise ValueError(f"a picture of {picture.width}x{picture.height} pixels is too small to learn from")
    fitted = fitted.crop((0, 0, width, height))
    numbers = torch.from_numpy(np.array(fitted.convert("RGB"), dtype=np.float32)).movedim(-1, 0)
    vae = checkpoint.vae
    likely = vae.encode((numbers / 127.5 - 1)[None].to(checkpoint.device, vae.dtype)).latent_dist
    mean, spread = ((part[0] * vae.config.scaling_factor).float() for part in (likely.mean, likely.std))
    weight = _weight_of_alpha(fitted, factor).to(mean.device) if has_alpha else None
    return TrainingPicture(mean, spread, words, weight)


def _weight_of_alpha(picture: Image.Image, factor: int) -> Tensor:
    """Return how much each latent pixel counts: its alpha, moved so that the least is 0 and scaled to a mean of 1."""
    small = picture.getchannel("A").resize((picture.width // factor, picture.height // factor))
    alpha = torch.from_numpy(np.array(small, dtype=np.float32))[None]
    above = alpha - alpha.min()
    return above / above.mean() if above.any() else torch.ones_like(alpha)


class ShowingOrder:
    """Which pictures are shown at once: all of them, in another order in each epoch, always the same for a seed."""

    def __init__(self, shapes: Sequence[Any], batch_size: int, seed: int) -> None:
        """Take the shape of each picture; only pictures of one shape are shown at once."""
        self._shapes, self._batch_size, self._seed = list(shapes), batch_size, seed
        self.batches_per_epoch = len(self._epoch(0))

    def batch(self, index: int) -> list[int]:
        """Return the numbers of the pictures of one batch; `index` counts on through all epochs."""
        epoch, place = divmod(index, self.batches_per_epoch)
        return self._epoch(epoch)[place]

    @lru_cache(maxsize=2)  # noqa: B019 - as short-lived as the training
    def _epoch(self, epoch: int) -> list[list[int]]:
        random = Random(self._seed * 1_000_003 + epoch)
        batches: list[list[int]] = []
        for shape in dict.fromkeys(self._shapes):
            chosen = [index for index, one in enumerate(self._shapes) if one == shape]
            random.shuffle(chosen)
            batches += [chosen[first : first + self._batch_size] for first in range(0, len(chosen), self._batch_size)]
        random.shuffle(batches)
        return batches
