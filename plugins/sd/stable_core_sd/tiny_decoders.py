"""Small networks that stand for the VAE in previews, if their weights lie in the models folder. Finals take the VAE."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from stable_core.sdk import InvalidParams, find_model_file
from stable_core_sd.model_kinds import SD1, SD2, Kind
from stable_core_sd.tensor_files import TensorFiles

FOLDERS = ("vae_approx", "VAE-taesd", "VAE-approx")
"""Where ComfyUI and A1111 keep such weights, below a models folder."""

DecodeLatents = Callable[[Tensor], Tensor]
"""From latents of shape (batch, 4, height, width) to pixels in -1..1 of shape (batch, 3, more, more)."""


class Residual(nn.Module):
    """Three convolutions whose result is added to what went in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return functional.relu(self.conv(x) + x)


class SoftClamp(nn.Module):
    """Keep values within -3..3, softly."""

    def forward(self, x: Tensor) -> Tensor:
        """Return values of the same shape."""
        return torch.tanh(x / 3) * 3


class TinyDecoder(nn.Sequential):
    """TAESD's decoder: eight times as large, colours in 0..1. Source: https://github.com/madebyollin/taesd (MIT)."""

    def __init__(self, width: int = 64) -> None:
        layers: list[nn.Module] = [SoftClamp(), nn.Conv2d(4, width, 3, padding=1), nn.ReLU()]
        for _ in range(3):
            layers += [Residual(width), Residual(width), Residual(width), nn.Upsample(scale_factor=2)]
            layers.append(nn.Conv2d(width, width, 3, padding=1, bias=False))
        super().__init__(*layers, Residual(width), nn.Conv2d(width, 3, 3, padding=1))

    def decode(self, latents: Tensor) -> Tensor:
        """Return pixels in -1..1."""
        pixels: Tensor = self(latents)
        return pixels * 2 - 1


class ApproximateDecoder(nn.Module):
    """A1111's "Approx NN": eight convolutions, twice as large, colours in -1..1."""

    SIZES = ((4, 8, 7), (8, 16, 5), (16, 32, 3), (32, 64, 3), (64, 32, 3), (32, 16, 3), (16, 8, 3), (8, 3, 3))
    """Channels in and out and the side of each kernel."""
    MARGIN = 11
    """What the kernels take away at each edge in all."""

    def __init__(self) -> None:
        super().__init__()
        for index, (before, after, side) in enumerate(self.SIZES, 1):
            self.add_module(f"conv{index}", nn.Conv2d(before, after, side))

    def decode(self, latents: Tensor) -> Tensor:
        """Return pixels in -1..1."""
        x = functional.pad(functional.interpolate(latents, scale_factor=2), (self.MARGIN,) * 4)
        for convolution in self.children():
            x = functional.leaky_relu(convolution(x), 0.1)
        return x


NAMES = {
    "TAESD": (("taesd_decoder",), ("taesdxl_decoder",)),
    "Approx NN": (("vaeapprox-sd1", "model"), ("vaeapprox-sdxl",)),
}
"""For each kind of preview the names of its weights: of Stable Diffusion 1 and 2, and of XL."""


def find_decoder(method: str, kind: Kind, device: torch.device) -> DecodeLatents | None:
    """Return the network of a kind of preview for a kind of model; None if its weights are not there.

    Raises:
        InvalidParams: the file is cut off, or holds something else.
    """
    for name in NAMES[method][kind not in (SD1, SD2)]:
        for folder in FOLDERS:
            try:
                path = find_model_file(folder, name)
            except InvalidParams:
                continue
            return _load(method, path, path.stat().st_mtime_ns, device)
    return None


@lru_cache(maxsize=1)
def _load(method: str, path: Path, changed: int, device: torch.device) -> DecodeLatents:
    model = TinyDecoder() if method == "TAESD" else ApproximateDecoder()
    tensors = TensorFiles([path])
    try:
        model.load_state_dict({name: tensors[name].float() for name in tensors})
    except RuntimeError as error:
        raise InvalidParams(f"{path.name} is no such decoder: {error}.", "Take it out of the models folder.") from None
    return model.to(device).eval().requires_grad_(False).decode
