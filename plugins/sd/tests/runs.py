"""Running jobs in tests and comparing pictures. For tests only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

from stable_core.sdk import Progress
from stable_core_sd.denoiser import Denoiser
from stable_core_sd.params import Img2ImgParams, Txt2ImgParams
from stable_core_sd.plugin import img2img, txt2img
from stable_core_sd.ports import Picture


class Recorded(Progress):
    """Progress that keeps what it was told and can cancel after a step."""

    def __init__(self, cancel_after: int = -1, wishes: Mapping[int, str] | None = None) -> None:
        """Take the step after which it is cancelled, and steps after which it is told to `interrupt` or `skip`."""
        super().__init__(preview_seconds=0)
        self.wishes = dict(wishes or {})
        self.steps: list[tuple[int, int]] = []
        self.messages: list[str] = []
        self.previews: list[Image.Image] = []
        self.cancel_after = cancel_after

    def report(self, step: int, total: int, message: str, preview: Image.Image | None) -> None:
        self.steps.append((step, total))
        self.messages.append(message)
        self.previews += [preview] if preview else []
        if step == self.cancel_after:
            self.cancel()
        if step in self.wishes:
            getattr(self, self.wishes.pop(step))()


def draw(prompt: str = "a red circle", progress: Progress | None = None, **knobs: Any) -> list[Image.Image]:
    """Run txt2img on the tiny model, with 4 steps."""
    params = Txt2ImgParams(**{"checkpoint": "tiny", "steps": 4, "seed": 7, **knobs})
    return list(txt2img(prompt, params, progress or Progress()))


def change(
    image: Image.Image,
    prompt: str = "a red circle",
    mask: Image.Image | None = None,
    progress: Progress | None = None,
    latent_mask: Image.Image | None = None,
    colours: Image.Image | None = None,
    **knobs: Any,
) -> list[Image.Image]:
    """Run img2img on the tiny model, with 4 steps."""
    params = Img2ImgParams(**{"checkpoint": "tiny", "steps": 4, "seed": 7, **knobs})
    return list(img2img(Picture(image, prompt, mask, latent_mask, colours), params, progress or Progress()))


@contextmanager
def asked_levels() -> Iterator[list[float]]:
    """Give the noise levels at which runs ask the model meanwhile, filled as they do."""
    asked: list[float] = []
    ask = Denoiser.__call__

    def noted(denoiser: Denoiser, x: torch.Tensor, sigma: float) -> torch.Tensor:
        asked.append(sigma)
        return ask(denoiser, x, sigma)

    with mock.patch.object(Denoiser, "__call__", noted):
        yield asked


def noisy(width: int = 64, height: int = 64, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Return a picture of random pixels."""
    shape = (height, width, *{"L": (), "RGB": (3,), "RGBA": (4,), "CMYK": (4,)}[mode])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode)


def box_mask(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """Return a mask that is white inside of a box."""
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def pixels(image: Image.Image) -> Any:
    """Return the picture as whole numbers of shape (height, width, 3)."""
    return np.asarray(image.convert("RGB"), dtype=int)


def difference(first: Image.Image, second: Image.Image) -> int:
    """Return how far the two pixels lie apart that differ most."""
    assert first.size == second.size
    return int(np.abs(pixels(first) - pixels(second)).max())


def share_of(pixels: Any, channel: int) -> float:
    """Return the share of pixels in which one channel stands out clearly."""
    others = np.delete(pixels, channel, axis=-1).max(axis=-1)
    return float((pixels[..., channel] > others + 40).mean())


def edges(pixels: Any) -> Any:
    """Return the outermost 6 pixels on all sides."""
    return np.concatenate([pixels[:6].reshape(-1, 3), pixels[-6:].reshape(-1, 3), pixels[:, :6].reshape(-1, 3)])


def is_red_on_blue(pixels: Any) -> bool:
    """Tell whether a picture shows something red in the middle of a blue background, and nothing green."""
    red, green = share_of(pixels, 0), share_of(pixels, 1)
    return 0.02 < red < 0.6 and green < 0.02 and share_of(edges(pixels), 2) > 0.9
