"""LDSR, latent diffusion super-resolution: enlarging a picture four times by diffusion. Its files are read elsewhere.

Source: Rombach et al. 2021, https://arxiv.org/abs/2112.10752, section 4.4; sizes and windows are those of A1111 1.10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stable_core.sdk import InvalidParams, model_files
from stable_core_sd import device
from stable_core_sd.checkpoint import read_sigma_table
from stable_core_sd.images.sizes import up_to
from stable_core_sd.ldsr_file import read_ldsr
from stable_core_sd.model_classes import lean_imports
from stable_core_sd.recent import Recent, file_stamps
from stable_core_sd.samplers.ddim import sample_ddim
from stable_core_sd.timesteps import ddim_timesteps, falling_sigmas
from stable_core_sd.weights import fill_model
from stable_core_sd.windows import blended, windows_of

with lean_imports():
    from diffusers.models.autoencoders.vq_model import VQModel
    from diffusers.models.unets.unet_2d import UNet2DModel

NAME = "LDSR"
"""Of the upscaler, and of the folder below a models folder."""
WHAT = "model.ckpt and project.yaml of LDSR, or a diffusers folder of LDMSuperResolutionPipeline,"
SCALE = 4
UNIT, SMALLEST = 64, 128
"""The network sees whole multiples of 64 pixels, at least 128; what is missing repeats the edge."""

OnStep = Callable[[int, int], None]

_kept: Recent[Ldsr] = Recent(1)


class Ldsr:
    """A UNet that makes the latents of a large picture from a small one, and the VQ-VAE that decodes them."""

    def __init__(self, path: Path) -> None:
        """Read a diffusers folder or a file of the authors; it runs in 32 bits.

        Raises:
            InvalidParams: it is something else, unsafe or cut off.
        """
        unet, vae, scheduler = read_ldsr(path)
        self.device = device.choose_device()
        self.unet: Any = fill_model(lambda: UNet2DModel.from_config(unet.config), unet, self.device, torch.float32)
        self.vae: Any = fill_model(lambda: VQModel.from_config(vae.config), vae, self.device, torch.float32)
        self.table = read_sigma_table(scheduler)
        scale = 2 ** (len(self.vae.config.block_out_channels) - 1)
        if scale != SCALE or self.unet.config.in_channels != 2 * self.unet.config.out_channels:
            raise InvalidParams(f"{path} does not enlarge {SCALE} times.", f"Put {WHAT} into models/{NAME}/.")

    def enlarge_by(
        self, image: Image.Image, factor: float, steps: int, tile: int, overlap: int, on_step: OnStep
    ) -> Image.Image:
        """Return the picture in mode RGB, larger by `factor`: it is resampled first to what becomes that size.

        Args:
            tile: side of what the network sees at once, in pixels of what it enlarges; 0 is the whole picture.
            overlap: of two tiles, in the same pixels.
            on_step: called before each step with its index and how many there are.
        """
        small = image.convert("RGB")
        if factor != SCALE:
            size = math.ceil(image.width * factor / SCALE), math.ceil(image.height * factor / SCALE)
            small = small.resize(size, Image.Resampling.LANCZOS)
        width, height = (max(up_to(side, UNIT), SMALLEST) for side in small.size)
        pixels = np.pad(np.asarray(small), ((0, height - small.height), (0, width - small.width), (0, 0)), mode="edge")
        condition = torch.from_numpy(pixels / np.float32(127.5) - 1).permute(2, 0, 1)[None].to(self.device)
        made = self.run(condition, steps, up_to(tile, 8), overlap, on_step)[0].clamp(-1, 1)
        shades = ((made + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        return Image.fromarray(shades).crop((0, 0, small.width * SCALE, small.height * SCALE))

    @torch.inference_mode()
    def run(self, condition: Tensor, steps: int, tile: int, overlap: int, on_step: OnStep) -> Tensor:
        """Return pixels in about -1..1, four times as large, for pixels in -1..1 of shape (1, 3, height, width).

        The noise is always the same, so that a picture is enlarged to the same one each time.
        """
        timesteps = ddim_timesteps(steps)
        sigmas = [*falling_sigmas(timesteps, self.table), self.table.sigmas[0]]
        times = dict(zip(sigmas, reversed(timesteps), strict=False))
        size = (condition.shape[2], condition.shape[3])
        windows = windows_of(*size, tile, overlap)
        source = torch.Generator().manual_seed(0)

        def noise() -> Tensor:
            return torch.randn(condition.shape, generator=source).to(self.device)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            inputs = torch.cat([x / math.sqrt(sigma**2 + 1), condition], dim=1)
            predicted = blended(
                lambda window: self.unet(inputs[..., window[0], window[1]], times[sigma]).sample, windows, size
            )
            return x - sigma * predicted

        x = noise() * math.sqrt(sigmas[0] ** 2 + 1)
        on_step(0, len(timesteps))
        for index, step in enumerate(sample_ddim(denoise, x, sigmas, noise, eta=1.0), 1):
            x = step.x
            on_step(index, len(timesteps))
        return blended(lambda window: self.vae.decode(x[..., window[0], window[1]]).sample, windows, size, scale=SCALE)


def open_ldsr() -> Ldsr:
    """Return the model in the models folder; it stays loaded.

    Raises:
        InvalidParams: there is none, or it cannot be used.
    """
    found = model_files(NAME)
    if not found:
        raise InvalidParams(f"There is no model in models/{NAME}/.", f"Put {WHAT} there.")
    path = next((path for path in found.values() if path.is_dir()), next(iter(found.values())))
    return _kept.get(file_stamps(path), lambda: Ldsr(path))


def unload() -> None:
    """Forget the model and give its memory back."""
    _kept.clear()
    device.free_memory(device.choose_device())
