"""Reversing: the noise from which sampling makes a picture that is there already. Pure functions over `denoise`.

Source: A1111 1.10, img2img alternative test: Euler's method of Karras et al. 2022 (https://arxiv.org/abs/2206.00364),
walked from the lowest to the highest noise level.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch

from stable_core_sd.samplers import Denoise


def reverse_steps(
    denoise: Denoise, latents: torch.Tensor, sigmas: Sequence[float], is_adjusted: bool = False
) -> Iterator[torch.Tensor]:
    """Yield noisier and noisier latents after each step; the last ones are those of the highest noise level.

    Args:
        denoise: guesses clean latents; it should follow a prompt that says what the picture shows, and no negative one.
        latents: of the picture, of shape (batch, channels, height / 8, width / 8).
        sigmas: rising noise levels, the first one 0.
        is_adjusted: look at the noise level before each step, not behind it, which keeps more of the picture. There is
            nothing to see at level 0, so the first step changes nothing then.
    """
    x = latents
    for below, above in itertools.pairwise(sigmas):
        level = below if is_adjusted else above
        if level > 0:
            x = x + (x - denoise(x, level)) / level * (above - below)
        yield x


def noise_of(x: torch.Tensor, highest: float, is_adjusted: bool = False) -> torch.Tensor:
    """Return the latents of the last step as noise: with a spread of 1, or by the noise level if adjusted."""
    return x / highest if is_adjusted else x / x.std()


def mix_noise(found: torch.Tensor, fresh: torch.Tensor, randomness: float) -> torch.Tensor:
    """Return found noise with a share of fresh noise in it, 0 to 1; the spread stays the same."""
    scale = (randomness**2 + (1 - randomness) ** 2) ** 0.5
    return ((1 - randomness) * found + randomness * fresh) / scale
