"""Alignment: a face turned upright onto a square, and laid back where it came from. It finds no faces.

Matrices are complex numbers: a point is x + iy, and `Similarity` turns, scales and moves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 512
"""The side of an aligned face, in pixels."""

TEMPLATE = np.array(
    [
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ]
)
"""Where eyes, nose and corners of the mouth lie on the square, as in FFHQ, https://arxiv.org/abs/1812.04948."""

SURROUNDINGS = (132, 133, 135)
"""The colour of what lies beyond the picture's edges."""

INLIER = 2.5 * 1.4826
"""So many medians away a point still counts as measured well. Source: Rousseeuw and Leroy, Robust Regression, 1987."""

FREE_POINTS = 2
"""A similarity is fixed by so many points."""

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """A map of the plane that keeps shapes: `turn * point + move` of complex numbers.

    The middle of the first pixel is 0.
    """

    turn: complex
    move: complex

    def inverse(self) -> Similarity:
        """Return the map back."""
        return Similarity(1 / self.turn, -self.move / self.turn)

    def moved(self, move: complex) -> Similarity:
        """Return the map to places that lie farther by `move`."""
        return Similarity(self.turn, self.move + move)

    def apply(self, points: Floats) -> Floats:
        """Return where points of shape (n, 2) go."""
        there = self.turn * to_complex(points) + self.move
        return np.stack([there.real, there.imag], axis=-1)

    def warp(
        self, picture: Image.Image, size: tuple[int, int], outside: tuple[int, ...] | int | None = None
    ) -> Image.Image:
        """Return a picture of `size` that shows `picture` as mapped, sampled bilinearly."""
        back = self.inverse()
        half = 0.5 + 0.5j  # Pillow measures from the corner of the first pixel
        move = back.move + half - back.turn * half
        rows = (back.turn.real, -back.turn.imag, move.real, back.turn.imag, back.turn.real, move.imag)
        sampling, method = Image.Resampling.BILINEAR, Image.Transform.AFFINE
        return picture.transform(size, method, rows, sampling, fillcolor=outside)


def fit_similarity(landmarks: Floats, template: Floats = TEMPLATE) -> Similarity:
    """Return the similarity that brings landmarks of shape (5, 2) onto the template, whatever one or two of them do.

    Of the maps that two landmarks fix, the one counts whose median error is the least; it is fitted once more to all
    landmarks that lie well with it. OpenCV tries some pairs at random, this tries all.

    Source: Rousseeuw, Least Median of Squares Regression, 1984; OpenCV's `estimateAffinePartial2D` for the numbers.
    """
    source, target = to_complex(landmarks), to_complex(template)
    best, least = np.zeros(len(source)), np.inf
    for pair in combinations(range(len(source)), FREE_POINTS):
        if source[pair[0]] == source[pair[1]]:
            continue
        errors = _errors(_least_squares(source[[*pair]], target[[*pair]]), source, target)
        if np.median(errors) < least:
            best, least = errors, float(np.median(errors))
    reach = max(INLIER * (1 + 5 / (len(source) - FREE_POINTS)) * np.sqrt(least), 0.001)
    fits = best <= reach**2
    return _least_squares(source[fits], target[fits])


def align(picture: Image.Image, placed: Similarity) -> Image.Image:
    """Return the face that `placed` brings onto the square, in mode RGB."""
    return placed.warp(picture.convert("RGB"), (SIDE, SIDE), SURROUNDINGS)


def paste(picture: Image.Image, face: Image.Image, mask: Floats, placed: Similarity) -> Image.Image:
    """Return an RGB picture with an aligned face back at its place.

    Args:
        mask: how much of the face is seen, 0 to 1, of shape (512, 512).
        placed: what brought the face onto the square.
    """
    box = _box_on(picture.size, placed)
    if box is None:
        return picture
    back = placed.inverse().moved(-complex(box[0], box[1]))
    size = box[2] - box[0], box[3] - box[1]
    seen = np.asarray(back.warp(Image.fromarray(mask.astype(np.float32)), size))[..., None]
    under = np.asarray(picture.crop(box), dtype=np.float64)
    mixed = under + seen * (np.asarray(back.warp(face, size)) - under)
    pasted = picture.copy()
    pasted.paste(Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8)), box[:2])
    return pasted


def to_complex(points: Floats | Sequence[tuple[float, float]]) -> NDArray[np.complex128]:
    """Return points of shape (n, 2) as n complex numbers."""
    plain = np.asarray(points, dtype=np.float64)
    return np.asarray(plain[:, 0] + 1j * plain[:, 1])


def _box_on(size: tuple[int, int], placed: Similarity) -> tuple[int, int, int, int] | None:
    """Return what part of a picture of `size` the square covers: left, top, right, bottom; None if it is nothing."""
    corners = placed.inverse().apply(np.array([(0, 0), (SIDE, 0), (0, SIDE), (SIDE, SIDE)], dtype=np.float64))
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 1, size).astype(int)
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if (low < high).all() else None


def _least_squares(source: NDArray[np.complex128], target: NDArray[np.complex128]) -> Similarity:
    """Return the similarity with the least squares of errors. Source: linear regression of complex numbers."""
    middle, goal = source.mean(), target.mean()
    away = source - middle
    turn = complex(np.vdot(away, target - goal) / np.vdot(away, away))
    return Similarity(turn, complex(goal - turn * middle))


def _errors(placed: Similarity, source: NDArray[np.complex128], target: NDArray[np.complex128]) -> Floats:
    return np.asarray(np.abs(placed.turn * source + placed.move - target) ** 2)
