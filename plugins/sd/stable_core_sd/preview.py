"""Small pictures of a run under way, from latents, without the VAE. Not the final picture: see engine."""

from __future__ import annotations

import math

import torch
from PIL import Image

PREVIEW_PIXELS = 256
"""The longer side of a preview, unless the picture itself is smaller."""


def fit_rgb_factors(latents: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Return the matrix, of shape (channels + 1, 3), that best turns latents into colours in -1..1.

    Args:
        latents: of shape (batch, channels, height, width), as the sampler sees them.
        pixels: what the VAE makes of them, of shape (batch, 3, factor * height, factor * width).
    """
    colours = torch.nn.functional.adaptive_avg_pool2d(pixels.float(), latents.shape[-2:])
    return torch.linalg.lstsq(_with_one(latents.float()).cpu(), colours.movedim(1, -1).reshape(-1, 3).cpu()).solution


def approximate_pixels(latents: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Return colours in about -1..1, (batch, 3, height, width), of latents, (batch, channels, height, width)."""
    batch, _, height, width = latents.shape
    colours = _with_one(latents.float().cpu()) @ factors
    return colours.reshape(batch, height, width, 3).movedim(-1, 1)


def preview_sheet(pixels: torch.Tensor, largest: float) -> Image.Image:
    """Return a batch of pixels in about -1..1, (batch, 3, height, width), side by side as one small picture.

    Args:
        largest: how many times larger than the pixels it may become.
    """
    batch, _, height, width = pixels.shape
    shades = ((pixels.float().cpu().clamp(-1, 1) + 1) * 127.5).to(torch.uint8).movedim(1, -1)
    columns = math.ceil(math.sqrt(batch))
    sheet = Image.new("RGB", (columns * width, math.ceil(batch / columns) * height))
    for index, picture in enumerate(shades.numpy()):
        sheet.paste(Image.fromarray(picture), (index % columns * width, index // columns * height))
    scale = min(largest, PREVIEW_PIXELS / max(sheet.size))
    size = max(round(sheet.width * scale), 1), max(round(sheet.height * scale), 1)
    return sheet.resize(size, Image.Resampling.BICUBIC)


def preview_image(denoised: torch.Tensor, factors: torch.Tensor, factor: int) -> Image.Image:
    """Return one picture of a batch of guesses, side by side, for latents of shape (batch, channels, height, width)."""
    return preview_sheet(approximate_pixels(denoised, factors), factor)


def _with_one(latents: torch.Tensor) -> torch.Tensor:
    """Return one row per latent pixel: its channels and a 1 for the constant part."""
    rows = latents.movedim(1, -1).reshape(-1, latents.shape[1])
    return torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
