"""Gaussian blur of 8-bit pictures, bit by bit as OpenCV does it. Only masks need it; pictures use Pillow's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ONE = 256
"""The sum of all weights: they are whole numbers, with 8 bits behind the point."""


def gaussian_kernel(sigma: float) -> NDArray[np.int64]:
    """Return the weights of a blur of strength `sigma` > 0, an odd number of them that add up to 256.

    Each rounding error is carried on to the next weight outside in, and the middle takes the rest.

    Source: OpenCV 4, `getGaussianKernel` and the fixed-point filter for 8-bit pictures; the size is A1111's.
    """
    half = int(2.5 * sigma + 0.5)
    weights = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * sigma * sigma))
    weights /= weights.sum()
    whole, error = np.zeros(2 * half + 1, dtype=np.int64), 0.0
    for index in range(half):
        exact = float(weights[index]) * ONE + error
        rounded = round(exact)
        error = exact - rounded
        whole[index] = whole[-1 - index] = rounded
    whole[half] = ONE - whole.sum()
    return whole


def blur_axis(pixels: NDArray[np.uint8], sigma: float, axis: int) -> NDArray[np.uint8]:
    """Return a grey picture blurred along one axis; beyond its edges it is mirrored without repeating the edge."""
    if sigma <= 0:
        return pixels
    kernel = gaussian_kernel(sigma)
    half = len(kernel) // 2
    length = pixels.shape[axis]
    padding = [(0, 0), (0, 0)]
    padding[axis] = (half, half)
    padded = np.pad(pixels, padding, mode="reflect").astype(np.int64)
    total = np.zeros(pixels.shape, dtype=np.int64)
    for place, weight in enumerate(kernel):
        total += weight * padded.take(range(place, place + length), axis)
    return np.asarray((total + ONE // 2) // ONE, dtype=np.uint8)


def gaussian_blur(image: Image.Image, sigma_x: float, sigma_y: float) -> Image.Image:
    """Return a picture in mode L blurred along x, rounded, then along y; a sigma of 0 leaves that axis alone."""
    pixels = np.asarray(image)
    return Image.fromarray(blur_axis(blur_axis(pixels, sigma_x, axis=1), sigma_y, axis=0))
