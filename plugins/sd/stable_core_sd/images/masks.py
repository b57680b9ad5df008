"""Masks of inpainting: made ready, overlaid, and what is under them before sampling. White is repainted."""

from __future__ import annotations

from PIL import Image, ImageFilter, ImageOps

from stable_core_sd.images.blur import gaussian_blur

FILL_BLURS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
"""The radius of each blurred layer, and how often it is laid on, from the bottom up."""


def as_mask(image: Image.Image) -> Image.Image:
    """Return a picture in mode L: its alpha, cut at one half, unless all of it is opaque; then its grey."""
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        if alpha.getextrema() != (255, 255):
            return alpha.point(lambda value: 255 if value > 128 else 0)
    return image.convert("L")


def prepare_mask(image: Image.Image, invert: bool, blur_x: float, blur_y: float) -> Image.Image:
    """Return a mask in mode L, inverted if wanted, then blurred by standard deviations in pixels."""
    mask = as_mask(image)
    return gaussian_blur(ImageOps.invert(mask) if invert else mask, blur_x, blur_y)


def overlay_mask(mask: Image.Image) -> Image.Image:
    """Return what covers the original in the end: the mask twice as bright, so that its soft edge is all new."""
    return mask.point(lambda value: min(2 * value, 255))


def fill_masked(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Return an RGB picture whose masked part is a blur of the colours around it; all black if nothing is around.

    Source: A1111 1.10, `masking.fill`.
    """
    kept = Image.new("RGBa", image.size)
    kept.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask.convert("L")))
    filled = Image.new("RGBA", image.size)
    for radius, times in FILL_BLURS:
        layer = kept.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            filled.alpha_composite(layer)
    return filled.convert("RGB")


def lay_over(picture: Image.Image, original: Image.Image, mask: Image.Image) -> Image.Image:
    """Return `picture` with `original` on top where the mask is black; half of each where it is half grey.

    All three have one size. Where the mask is black, the pixels are those of the original, bit by bit.
    """
    over = Image.new("RGBa", original.size)
    over.paste(original.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask))
    under = picture.convert("RGBA")
    under.alpha_composite(over.convert("RGBA"))
    return under.convert("RGB")
