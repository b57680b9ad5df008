"""Colour correction: a picture takes the colours of another and keeps its own light. It changes no shapes."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.float64]

TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
"""Linear sRGB to CIE XYZ. Source: ITU-R BT.709 primaries, white D65."""

WHITE = TO_XYZ.sum(axis=1)
LUMA = np.array([0.3, 0.59, 0.11])


def match_colours(picture: Image.Image, wanted: Image.Image) -> Image.Image:
    """Return an RGB picture with the colours of `wanted`, of any size, and the luminosity of `picture`.

    Source: A1111 1.10, `apply_color_correction`: histograms matched in L*a*b*, then the blend mode luminosity.
    """
    before = np.asarray(picture.convert("RGB"))
    target = rgb_to_lab(np.asarray(wanted.convert("RGB")))
    lab = rgb_to_lab(before)
    channels = [match_histogram(lab[..., channel], target[..., channel]) for channel in range(3)]
    coloured = lab_to_rgb(np.stack(channels, axis=-1))
    return Image.fromarray(set_luminosity(coloured, before))


def rgb_to_lab(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return sRGB pixels as CIE L*a*b* in 8 bits: L * 255 / 100, a + 128, b + 128."""
    shares = pixels / 255.0
    linear = np.where(shares > 0.04045, ((shares + 0.055) / 1.055) ** 2.4, shares / 12.92)
    xyz = linear @ TO_XYZ.T / WHITE
    roots = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(roots, -1, 0)
    return _to_bytes(np.stack([(116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128], axis=-1))


def lab_to_rgb(lab: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the sRGB pixels of what `rgb_to_lab` returns."""
    light, a, b = np.moveaxis(lab.astype(np.float64), -1, 0)
    y = (light / 2.55 + 16) / 116
    roots = np.stack([y + (a - 128) / 500, y, y - (b - 128) / 200], axis=-1)
    xyz = np.where(roots > 0.206893, roots**3, (roots - 16 / 116) / 7.787) * WHITE
    linear = np.clip(xyz @ np.linalg.inv(TO_XYZ).T, 0, 1)
    shares = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return _to_bytes(255 * shares)


def match_histogram(values: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `values` changed so that they are spread as `wanted` are: equal ranks become equal values.

    Source: histogram specification, Gonzalez and Woods, Digital Image Processing, section 3.3.
    """
    ranks = np.cumsum(np.bincount(values.ravel(), minlength=256)) / values.size
    counts = np.bincount(wanted.ravel(), minlength=256)
    there = np.flatnonzero(counts)
    table = np.interp(ranks, np.cumsum(counts[there]) / wanted.size, there)
    return np.asarray(table.astype(np.uint8)[values], dtype=np.uint8)


def set_luminosity(colours: NDArray[np.uint8], light: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB pixels with the hue and saturation of `colours` and the luminosity of `light`.

    Source: W3C Compositing and Blending Level 1, section 10.2, blend mode luminosity.
    """
    goal = light @ LUMA
    shifted = colours + (goal - colours @ LUMA)[..., None]
    low, high = shifted.min(axis=-1), shifted.max(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shrink = np.minimum(
            np.where(low < 0, goal / (goal - low), 1.0), np.where(high > 255, (255 - goal) / (high - goal), 1.0)
        )
    return _to_bytes(goal[..., None] + (shifted - goal[..., None]) * shrink[..., None])


def _to_bytes(values: Floats) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
