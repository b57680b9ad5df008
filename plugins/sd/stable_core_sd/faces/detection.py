"""Detection: from a picture to faces with their landmarks. The network itself is in retinaface.

Source: Deng et al., RetinaFace, https://arxiv.org/abs/1905.00641; numbers as in facexlib, which A1111 calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stable_core_sd.faces.retinaface import Guesses

ANCHOR_SIZES = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
"""For each level the distance of its anchors and the sizes of the two at each place, in pixels."""

PLACE_SHARE, SIZE_SHARE = 0.1, 0.2
"""The units in which the network tells places and sizes, as shares of the anchor."""

MEAN = (104.0, 117.0, 123.0)
"""The mean colour of the pictures that it was trained on, blue first."""

LOOKED_AT = 640
"""The shorter side of what the network sees, in pixels."""

LONGEST = 4 * LOOKED_AT
"""The longer side at most; a strip that is longer is looked at smaller."""

LEAST_SCORE = 0.97
MOST_OVERLAP = 0.4
"""Of two faces that share more than this of their area, the surer one counts."""

LEAST_EYE_DISTANCE = 5.0
"""In pixels of the picture: closer eyes belong to a face that is too small or turned away."""

Network = Callable[[Tensor], Guesses]


@dataclass(frozen=True)
class Face:
    """A face in a picture, in its pixels.

    Attributes:
        box: left, top, right and bottom.
        score: how sure the network is, 0 to 1.
        landmarks: left eye, right eye, nose, left and right corner of the mouth, as seen; of shape (5, 2).
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float64]

    @property
    def eye_distance(self) -> float:
        """Return how far the eyes lie apart."""
        return float(np.linalg.norm(self.landmarks[0] - self.landmarks[1]))


@torch.inference_mode()
def find_faces(network: Network, picture: Image.Image, device: torch.device) -> list[Face]:
    """Return the faces in an RGB picture, the surest first."""
    factor = LOOKED_AT / min(picture.size)
    factor = min(factor, LONGEST / max(picture.size))
    size = max(int(picture.width * factor), 1), max(int(picture.height * factor), 1)
    seen = np.asarray(picture.resize(size, Image.Resampling.LANCZOS), dtype=np.float32)[..., ::-1] - np.float32(MEAN)
    guesses = network(torch.from_numpy(seen).to(device).movedim(-1, 0)[None])
    factors = picture.width / size[0], picture.height / size[1]
    found = faces_in(Guesses(*(guess.cpu() for guess in guesses)), size, factors)
    return [face for face in found if face.eye_distance >= LEAST_EYE_DISTANCE]


def faces_in(guesses: Guesses, size: tuple[int, int], factors: tuple[float, float]) -> list[Face]:
    """Return the faces that the network sees in a picture of `size` (width, height), the surest first.

    Args:
        factors: what x and y are multiplied with, to be those in a picture of another size.
    """
    scores = guesses.logits.softmax(dim=-1)[:, 1]
    sure = (scores > LEAST_SCORE).nonzero().flatten()
    sure = sure[scores[sure].argsort(descending=True, stable=True)]
    anchors = anchors_of(size)[sure]
    boxes = boxes_of(guesses.offsets[sure], anchors) * torch.tensor(factors * 2)
    landmarks = landmarks_of(guesses.landmarks[sure], anchors) * torch.tensor(factors)
    faces = []
    for index in without_overlaps(boxes):
        left, top, right, bottom = boxes[index].tolist()
        points = landmarks[index].double().numpy()
        faces.append(Face((left, top, right, bottom), float(scores[sure[index]]), points))
    return faces


def anchors_of(size: tuple[int, int]) -> Tensor:
    """Return the anchors of a picture of `size` (width, height): middle x, middle y and side, of shape (anchors, 3).

    They come level by level, row by row, the smaller one of each place first.
    """
    levels = []
    for step, sides in ANCHOR_SIZES:
        y = (torch.arange(-(-size[1] // step)) + 0.5) * step
        x = (torch.arange(-(-size[0] // step)) + 0.5) * step
        grid = torch.meshgrid(y, x, torch.tensor(sides, dtype=torch.float32), indexing="ij")
        levels.append(torch.stack([grid[1], grid[0], grid[2]], dim=-1).reshape(-1, 3))
    return torch.cat(levels)


def boxes_of(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Return left, top, right and bottom of the faces that offsets of shape (n, 4) from anchors mean."""
    middles = anchors[:, :2] + offsets[:, :2] * PLACE_SHARE * anchors[:, 2:]
    halves = anchors[:, 2:] * torch.exp(offsets[:, 2:] * SIZE_SHARE) / 2
    return torch.cat([middles - halves, middles + halves], dim=1)


def landmarks_of(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Return the points that offsets of shape (n, 10) from anchors mean, of shape (n, 5, 2)."""
    return anchors[:, None, :2] + offsets.reshape(-1, 5, 2) * PLACE_SHARE * anchors[:, None, 2:]


def without_overlaps(boxes: Tensor) -> list[int]:
    """Return which boxes, of shape (n, 4) and the best first, are left when each removes those that lie on it."""
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    left, kept = torch.arange(len(boxes)), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        corners = torch.minimum(boxes[best, 2:], boxes[left, 2:]) - torch.maximum(boxes[best, :2], boxes[left, :2])
        shared = corners.clamp(min=0).prod(dim=1)
        left = left[shared <= MOST_OVERLAP * (areas[best] + areas[left] - shared)]
    return kept
