"""Masks of aligned faces: how much of a restored face is seen where. It restores and detects nothing.

Source of the numbers: facexlib, which A1111 calls.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stable_core_sd.faces.alignment import SIDE, Floats

FACE_KINDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15)
"""What ParseNet tells apart and belongs to a face: skin, brows, eyes, glasses, ears, nose, mouth, and so on; neither
background nor hair, hat and clothes."""

PARSED_BLUR, PARSED_REACH = 11.0, 50
"""The strength of the blur, made twice, and how many pixels far it looks."""

PARSED_MARGIN = 10
"""So many pixels at each edge of the square are never seen."""

SQUARE_MARGIN, SQUARE_BLUR, SQUARE_REACH = 26, 8.0, 25


def parsed_mask(parse: Callable[[Tensor], Tensor], face: Tensor) -> Floats:
    """Return a soft mask of what `parse` sees as face, 0 to 1, of shape (512, 512).

    Args:
        parse: gives logits of shape (1, 19, 512, 512).
        face: a restored face in -1..1, of shape (1, 3, 512, 512).
    """
    kinds = parse(face)[0].argmax(dim=0)
    mask = torch.isin(kinds, torch.tensor(FACE_KINDS, device=kinds.device)).float()
    mask = blurred(blurred(mask, PARSED_BLUR, PARSED_REACH), PARSED_BLUR, PARSED_REACH)
    return as_floats(mask * inner_square(PARSED_MARGIN).to(mask.device))


def square_mask() -> Floats:
    """Return a soft square, 0 to 1, of shape (512, 512): the mask of a face that nobody parsed."""
    return as_floats(blurred(inner_square(SQUARE_MARGIN), SQUARE_BLUR, SQUARE_REACH))


def inner_square(margin: int) -> Tensor:
    """Return a mask of shape (512, 512) that is 0 along the edges and 1 inside."""
    mask = torch.zeros(SIDE, SIDE)
    mask[margin:-margin, margin:-margin] = 1
    return mask


def blurred(mask: Tensor, sigma: float, reach: int) -> Tensor:
    """Return a mask of shape (height, width) under a Gaussian blur that looks `reach` pixels far."""
    weights = torch.exp(-((torch.arange(-reach, reach + 1, device=mask.device) / sigma) ** 2) / 2)
    weights = (weights / weights.sum()).to(mask.dtype)
    x = functional.pad(mask[None, None], (reach,) * 4, mode="reflect")
    x = functional.conv2d(x, weights[None, None, None])
    return functional.conv2d(x, weights[None, None, :, None])[0, 0]


def as_floats(mask: Tensor) -> Floats:
    """Return a mask as numbers of NumPy."""
    return np.asarray(mask.cpu().numpy(), dtype=np.float64)
