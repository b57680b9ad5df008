"""What inpainting and instruct-pix2pix models see beside the latents: a mask and a masked picture, or a picture."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.denoiser import Denoiser
from stable_core_sd.images.source import Source
from stable_core_sd.latents import to_pixels
from stable_core_sd.params import InpaintParams


def beside_text(checkpoint: Checkpoint, size: tuple[int, int]) -> Tensor | None:
    """Return what such a model sees if there is no picture of `size` (width, height); None for ordinary models."""
    grey = Image.new("RGB", size)
    if checkpoint.task == "inpainting":
        return _beside_masked(checkpoint, to_pixels(grey) * 0, torch.ones(1, 1, 1, 1))
    if checkpoint.task == "instruct-pix2pix":
        rows, columns = size[1] // checkpoint.factor, size[0] // checkpoint.factor
        return torch.zeros(1, checkpoint.latent_channels, rows, columns, device=checkpoint.device)
    return None


def beside_picture(checkpoint: Checkpoint, source: Source, knobs: InpaintParams, latents: Tensor) -> Tensor | None:
    """Return what such a model sees of a picture with latents of this shape; None for ordinary models.

    Sources: inpainting, Rombach et al. 2022, https://arxiv.org/abs/2112.10752, section 4.5; A1111 1.10 for the weight
    of the mask; instruct-pix2pix, Brooks et al. 2022, https://arxiv.org/abs/2211.09800.
    """
    pixels = to_pixels(source.start)
    if checkpoint.task == "instruct-pix2pix":
        found = checkpoint.encode(pixels) / checkpoint.vae.config.scaling_factor
        return found if found.shape == latents.shape else interpolate(found, latents.shape[-2:], mode="bilinear")
    if checkpoint.task != "inpainting":
        return None
    if source.mask is None:
        mask = torch.ones(1, 1, *pixels.shape[-2:])
    else:
        shades = np.asarray(source.mask.resize(source.start.size), dtype=np.float32) / 255
        mask = torch.from_numpy(np.around(shades) if knobs.round_mask else shades)[None, None]
    masked = torch.lerp(pixels, pixels * (1 - mask), knobs.mask_weight)
    seen = _beside_masked(checkpoint, masked, mask)
    return seen if seen.shape[-2:] == latents.shape[-2:] else interpolate(seen, latents.shape[-2:])


def _beside_masked(checkpoint: Checkpoint, pixels: Tensor, mask: Tensor) -> Tensor:
    """Return the mask, 1 for what is repainted, as the first channel, then the latents of pixels in -1..1."""
    latents = checkpoint.encode(pixels)
    small = interpolate(mask.to(latents.device), latents.shape[-2:])
    return torch.cat([small, latents], 1)


class PictureGuidedDenoiser(Denoiser):
    """Weigh prompt, picture and neither against each other, for instruct-pix2pix models.

    Source: Brooks et al. 2022, https://arxiv.org/abs/2211.09800, equation 3, as A1111 1.10 does it.
    """

    picture_scale = 1.0
    """How strongly the picture guides; with 1 this is a `Denoiser`."""

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the guess for float32 `x`, (batch, 4, height / 8, width / 8), with noise of strength `sigma`."""
        texts = self.conditioning.at(self.calls)
        prompted, negative = self.outputs(x, sigma, needs_negative=True)
        output = self.guide(prompted, negative)
        if negative is not None and self.beside is not None and self.picture_scale != 1:
            blind = self.ask(self.see(x, sigma, torch.zeros_like(self.beside)), texts.negative, sigma)
            output = output + (negative - blind) * (self.picture_scale - 1)
        return self.clean(x, sigma, output)
