"""Find, grow, shrink and fill the connected regions of a mask.

It knows masks only, arrays of bool; what they show is `checker`'s concern.
"""

import numpy as np

Mask = np.ndarray
SIDES = ((0, 1), (1, 0), (1, 2), (2, 1))
CORNERS = ((0, 0), (0, 2), (2, 0), (2, 2))
"""Where the neighbours of a place begin in an array that was padded by one."""


def label_regions(mask: Mask, corners: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Number the regions from 1 on in reading order, 0 is outside; give the numbers of all places, and the sizes.

    Places touch at their sides, or also at their corners.
    """
    height, width = mask.shape
    outside = mask.size
    firsts = np.where(mask, np.arange(mask.size).reshape(mask.shape), outside)
    while True:
        # Every place takes the first place that it or a neighbour knows of, and then what that one knows by now.
        padded = np.pad(firsts, 1, constant_values=outside)
        near = [padded[y : y + height, x : x + width] for y, x in (SIDES + CORNERS if corners else SIDES)]
        lower = np.where(mask, np.minimum.reduce([firsts, *near]), outside)
        lower = np.append(lower, outside)[lower]
        if np.array_equal(lower, firsts):
            break
        firsts = lower
    labels = np.where(mask, np.searchsorted(np.unique(firsts), firsts) + 1, 0)
    return labels, np.bincount(labels.ravel())[1:]


def largest_region(mask: Mask) -> Mask:
    """Give the largest region, the first of several; nothing if there is none."""
    labels, sizes = label_regions(mask)
    return labels == 1 + sizes.argmax() if len(sizes) else mask


def grow(mask: Mask, times: int) -> Mask:
    """Add the places that touch the mask with a side, so many times."""
    height, width = mask.shape
    for _ in range(times):
        padded = np.pad(mask, 1)
        mask = np.logical_or.reduce([mask, *(padded[y : y + height, x : x + width] for y, x in SIDES)])
    return mask


def shrink(mask: Mask, times: int) -> Mask:
    """Take away the places that touch what is outside, or the edge of the array, with a side, so many times."""
    outside = np.pad(~mask, 1, constant_values=True)
    return ~grow(outside, times)[1:-1, 1:-1]


def fill_holes(mask: Mask) -> Mask:
    """Add what cannot be reached from the edge of the array from side to side."""
    labels, _ = label_regions(np.pad(~mask, 1, constant_values=True))
    filled: Mask = labels[1:-1, 1:-1] != 1
    return filled
