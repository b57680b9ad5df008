"""Noise that continues a picture: what outpainting puts into the new area before the model draws there.

Source: parlance-zone's outpainting in A1111 1.10 (`outpainting_mk_2`), after the idea of matching spectra: random
phases get the magnitudes of the picture's own spectrum, then its colours.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.float64]


def fill_with_noise(
    image: Image.Image, mask: Image.Image, spread: float = 1.0, colour_variation: float = 0.05
) -> Image.Image:
    """Return the picture with noise like it where the mask is white.

    Args:
        spread: a power on the magnitudes of the picture's spectrum; more makes smoother, larger patches.
        colour_variation: how colourful the random numbers are, 0 for gray to 1.
    """
    pixels = np.asarray(image.convert("RGB"), np.float64) / 255
    hidden = np.asarray(mask.convert("RGB"), np.float64) / 255
    filled = matched_noise(pixels, hidden, spread, colour_variation)
    return Image.fromarray((np.clip(filled, 0, 1) * 255).round().astype(np.uint8))


def matched_noise(pixels: Floats, hidden: Floats, spread: float, colour_variation: float) -> Floats:
    """Return pixels of shape (height, width, 3), 0 to 1, with noise where `hidden`, of the same shape, is 1."""
    coverage = hidden.mean(axis=2)
    shown = pixels * (1 - coverage[..., None])
    highest = shown.max()
    windowed = (shown / highest if highest > 0 else shown) + pixels.mean() * hidden
    spectrum = _fft(windowed)
    magnitude = np.abs(spectrum)
    phase = np.divide(spectrum, magnitude, out=np.ones_like(spectrum), where=magnitude > 0)
    smooth = _inverse(_fft(_random(pixels.shape, colour_variation)) * _falling(pixels.shape)[..., None])
    shaped = _inverse(np.abs(_fft(smooth)) ** 2 * magnitude**spread * phase)
    shaped -= shaped.min()
    shaped /= shaped.max() or 1
    return np.asarray(pixels * (1 - hidden) + _match(shaped, pixels, coverage) * hidden)


def _random(shape: tuple[int, ...], colour_variation: float) -> Floats:
    """Return the same uniform random numbers each time, mixed of colour and gray."""
    numbers = np.random.RandomState(0)
    colours, grays = numbers.random_sample(shape), numbers.random_sample(shape[:2])
    return np.asarray(colour_variation * colours + (1 - colour_variation) * grays[..., None])


def _falling(shape: tuple[int, ...]) -> Floats:
    """Return 1 / ((x² + 1)(y² + 1)) over the picture, x and y from -1 to 1 along its longer side."""
    height, width = shape[:2]
    x = (np.arange(width) / width - 0.5) * 2 * max(width / height, 1)
    y = (np.arange(height) / height - 0.5) * 2 * max(height / width, 1)
    return np.asarray(1 / ((x[None, :] ** 2 + 1) * (y[:, None] ** 2 + 1)))


def _match(noise: Floats, pixels: Floats, coverage: Floats) -> Floats:
    """Return the noise with the colours of what is shown, channel by channel."""
    drawn, kept = coverage > 1e-6, coverage < 1e-3
    if not kept.any():
        return noise
    matched = noise.copy()
    for channel in range(3):
        wanted = np.sort(pixels[kept, channel])
        ranks = noise[drawn, channel].argsort().argsort() / max(1, drawn.sum() - 1)
        matched[drawn, channel] = np.interp(ranks, np.linspace(0, 1, len(wanted)), wanted)
    return matched


def _fft(values: Floats) -> NDArray[Any]:
    shifted = np.fft.fftshift(values, axes=(0, 1))
    return np.asarray(np.fft.ifftshift(np.fft.fft2(shifted, axes=(0, 1), norm="ortho"), axes=(0, 1)))


def _inverse(values: NDArray[Any]) -> Floats:
    shifted = np.fft.fftshift(values, axes=(0, 1))
    return np.asarray(np.fft.ifftshift(np.fft.ifft2(shifted, axes=(0, 1), norm="ortho"), axes=(0, 1)).real)
