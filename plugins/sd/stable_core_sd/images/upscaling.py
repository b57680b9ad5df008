"""Upscalers by name, and how one is applied until a picture is large enough. It loads no models."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from stable_core_sd.images.resizing import Upscale

MAX_TURNS = 3
"""How often an upscaler is applied at most."""

RESAMPLINGS = {"Lanczos": Image.Resampling.LANCZOS, "Nearest": Image.Resampling.NEAREST}
"""The upscalers that are plain resampling."""


def enlarge(image: Image.Image, factor: float, turn: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Return the picture made larger by about `factor`; both sides become multiples of 8 pixels.

    Args:
        turn: makes a picture larger by a factor of its own; it is called again while that is too little.

    Source: A1111 1.10, `Upscaler.upscale`.
    """
    size = int(image.width * factor) // 8 * 8, int(image.height * factor) // 8 * 8
    for _ in range(MAX_TURNS):
        if image.width >= size[0] and image.height >= size[1]:
            break
        before, image = image.size, turn(image)
        if image.size == before:
            break
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def find_upscaler(name: str) -> Upscale:
    """Return the upscaler `name`.

    Raises:
        KeyError: there is none of that name.
    """
    resampling = RESAMPLINGS[name]

    def upscale_by(image: Image.Image, factor: float) -> Image.Image:
        size = int(image.width * factor), int(image.height * factor)
        return enlarge(image, factor, lambda picture: picture.resize(size, resampling))

    return upscale_by
