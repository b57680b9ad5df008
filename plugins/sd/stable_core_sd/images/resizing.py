"""The resize modes of img2img: stretch, crop, pad. How pictures gain detail is known to upscaling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from PIL import Image

ResizeMode = Literal["stretch", "crop", "pad", "latent"]
Size = tuple[int, int]
Box = tuple[int, int, int, int]
Upscale = Callable[[Image.Image, float], Image.Image]
"""Makes a picture larger by a factor, more or less."""


class Bar(NamedTuple):
    """A strip beside the picture: the outermost row or column `edge` of the resized picture, stretched to `size`."""

    edge: Box
    size: Size
    at: tuple[int, int]


class Layout(NamedTuple):
    """Where a picture of size `size` lies on the canvas; at a negative place what sticks out is cut off."""

    size: Size
    at: tuple[int, int]
    bars: tuple[Bar, ...] = ()


def crop_layout(source: Size, target: Size) -> Layout:
    """Cover the whole target; what sticks out is cut off equally on two sides."""
    (width, height), (wide, high) = target, source
    size = (width, high * width // wide) if width * high > wide * height else (wide * height // high, height)
    return Layout(size, _centred(size, target))


def pad_layout(source: Size, target: Size) -> Layout:
    """Show the whole picture; the rest of the target is filled from its outermost rows or columns.

    Bars are as wide as A1111 makes them: for odd sizes a last line may stay black.
    """
    (width, height), (wide, high) = target, source
    is_wider = width * high < wide * height
    wanted = (width, high * width // wide) if is_wider else (wide * height // high, height)
    size = max(wanted[0], 1), max(wanted[1], 1)
    x, y = at = _centred(size, target)
    bars: tuple[Bar, ...] = ()
    if is_wider and y > 0:
        top, bottom = (0, 0, width, 0), (0, size[1], width, size[1])
        bars = Bar(top, (width, y), (0, 0)), Bar(bottom, (width, y), (0, y + size[1]))
    elif x > 0:
        left, right = (0, 0, 0, height), (size[0], 0, size[0], height)
        bars = Bar(left, (x, height), (0, 0)), Bar(right, (x, height), (x + size[0], 0))
    return Layout(size, at, bars)


def resize_image(image: Image.Image, mode: ResizeMode, target: Size, upscale: Upscale | None = None) -> Image.Image:
    """Return the picture at the size `target` (width, height) in pixels.

    Args:
        mode: `latent` is the same as `stretch` here; with it the latent is resized, not the picture.
        upscale: what makes coloured pictures larger, instead of Lanczos resampling.

    Source: A1111 1.10, `resize_image`.
    """
    if mode in ("stretch", "latent"):
        return scale_image(image, target, upscale)
    layout = (crop_layout if mode == "crop" else pad_layout)(image.size, target)
    resized = scale_image(image, layout.size, upscale)
    canvas = Image.new("RGB", target)
    canvas.paste(resized, layout.at)
    for bar in layout.bars:
        canvas.paste(resized.resize(bar.size, box=bar.edge), bar.at)
    return canvas


def scale_image(image: Image.Image, size: Size, upscale: Upscale | None = None) -> Image.Image:
    """Return the picture stretched to `size`, with `upscale` first where it has to become larger."""
    factor = max(size[0] / image.width, size[1] / image.height)
    if upscale is not None and factor > 1 and image.mode != "L":
        image = upscale(image, factor)
        if image.size == size:
            return image
    return image.resize(size, Image.Resampling.LANCZOS)


def _centred(size: Size, target: Size) -> tuple[int, int]:
    return target[0] // 2 - size[0] // 2, target[1] // 2 - size[1] // 2
