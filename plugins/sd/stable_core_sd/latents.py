"""Between pictures and latents: the VAE's two ways, with A1111's rounding. It samples nothing."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from stable_core_sd.checkpoint import Checkpoint


def to_pixels(image: Image.Image) -> torch.Tensor:
    """Return an RGB picture as values in -1..1 of shape (1, 3, height, width)."""
    shares = torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0)
    return (2 * shares - 1).movedim(-1, 0)[None]


def to_image(pixels: torch.Tensor) -> Image.Image:
    """Return the picture of values in about -1..1 of shape (3, height, width)."""
    shades = (255 * ((pixels + 1) / 2).clamp(0, 1)).to(torch.uint8)  # cut off, not rounded, as A1111 does
    return Image.fromarray(shades.movedim(0, -1).cpu().numpy())


@torch.inference_mode()
def encode_image(checkpoint: Checkpoint, image: Image.Image) -> torch.Tensor:
    """Return the latents of a picture, as the sampler sees them, of shape (1, channels, height / 8, width / 8).

    They are the likeliest ones. A1111 takes random ones of the likely, which no seed fixes; the two differ by far less
    than one shade.
    """
    return checkpoint.encode(to_pixels(image))


@torch.inference_mode()
def decode_latents(checkpoint: Checkpoint, latents: torch.Tensor) -> Image.Image:
    """Return the picture of one clean latent of shape (channels, height / 8, width / 8)."""
    return to_image(checkpoint.decode(latents[None])[0])
