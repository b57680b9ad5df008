"""The latents of a masked picture: what is kept before, during and after sampling. Masks as pictures are in images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from stable_core_sd.samplers import Denoise


def latent_mask(mask: Image.Image, latents: torch.Tensor, is_rounded: bool = True) -> torch.Tensor:
    """Return a mask for latents of shape (batch, channels, height / 8, width / 8): 1 is repainted, 0 is kept.

    Args:
        is_rounded: a latent pixel is either kept or not; else the mask may be soft.
    """
    height, width = latents.shape[-2:]
    small = mask.convert("RGB").resize((width, height), Image.Resampling.BICUBIC).getchannel(0)
    paint = np.asarray(small, dtype=np.float32) / 255
    return torch.from_numpy(np.around(paint) if is_rounded else paint).to(latents.device)


def masked_content(
    latents: torch.Tensor, paint: torch.Tensor, fill: str, noise: Callable[[], torch.Tensor]
) -> torch.Tensor:
    """Return what is under the mask at the start: the latents themselves, noise, or nothing.

    Args:
        noise: a draw from fresh generators; it is asked for `latent noise` only.
    """
    if fill == "latent noise":
        return latents * (1 - paint) + noise() * paint
    return latents * (1 - paint) if fill == "latent nothing" else latents


@dataclass(frozen=True)
class Keep:
    """What stays as it is while the masked part is drawn.

    Attributes:
        init: the latents of the picture, (batch, channels, height / 8, width / 8).
        paint: 1 where it is repainted.
    """

    init: torch.Tensor
    paint: torch.Tensor

    def blend(self, latents: torch.Tensor) -> torch.Tensor:
        """Return latents with the kept part of the picture put back."""
        return latents * self.paint + self.init * (1 - self.paint)

    def around(self, denoise: Denoise, walks_timesteps: bool) -> Denoise:
        """Return `denoise` with the kept part put back: into its guess, or, for DDIM and its kin, into what it sees.

        Those put the clean picture into the noisy latent, as A1111 does since 1.6; they work on latents of variance
        one, here `x / sqrt(sigma² + 1)`.
        """

        def blend_guess(x: torch.Tensor, sigma: float) -> Any:
            return _each(self.blend, denoise(x, sigma))

        def blend_input(x: torch.Tensor, sigma: float) -> Any:
            seen = x * self.paint + self.init * (math.sqrt(sigma**2 + 1) * (1 - self.paint))
            # The noise that is found in what was seen counts for `x`.
            return _each(lambda guess: x - seen + guess, denoise(seen, sigma))

        return blend_input if walks_timesteps else blend_guess


def _each(change: Callable[[torch.Tensor], torch.Tensor], guesses: Any) -> Any:
    """Change a guess, or both of a pair with guidance and without."""
    return tuple(map(change, guesses)) if isinstance(guesses, tuple) else change(guesses)
