"""Which part of a picture is repainted when only the masked part is. It cuts nothing out."""

from __future__ import annotations

from PIL import Image

from stable_core_sd.images.resizing import Box, Size


def grow_box(box: Box, padding: int, size: Size) -> Box:
    """Return a box with `padding` pixels more on all sides, as far as the picture goes."""
    left, top, right, bottom = box
    return (
        max(left - padding, 0),
        max(top - padding, 0),
        min(right + padding, size[0]),
        min(bottom + padding, size[1]),
    )


def crop_region(mask: Image.Image, padding: int) -> Box | None:
    """Return the box around all that is not black in a mask, grown by `padding`; None for a black mask."""
    box = mask.getbbox()
    return grow_box(box, padding, mask.size) if box else None


def expand_to_ratio(box: Box, processing: Size, size: Size) -> Box:
    """Return the box made longer on one axis, until it has the shape of `processing` or the picture of `size` ends.

    What does not fit at one end goes to the other.

    Raises:
        ZeroDivisionError: the box has no height.

    Source: A1111 1.10, `expand_crop_region`.
    """
    left, top, right, bottom = box
    ratio = processing[0] / processing[1]
    width, height = right - left, bottom - top
    if width / height > ratio:
        top, bottom = _lengthen(top, bottom, int(width / ratio - height), size[1])
    else:
        left, right = _lengthen(left, right, int(height * ratio - width), size[0])
    return left, top, right, bottom


def _lengthen(start: int, end: int, more: int, limit: int) -> tuple[int, int]:
    start, end = start - more // 2, end + more - more // 2
    overhang = max(end - limit, 0)
    start, end = start - overhang, end - overhang
    missing = max(-start, 0)
    return start + missing, min(end + missing, limit)
