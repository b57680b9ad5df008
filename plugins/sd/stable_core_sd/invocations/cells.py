"""Cells: one picture of a plot, which is blank if it fails, so that the others are not lost. It plans nothing."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable

import PIL.Image

from stable_core.sdk import Image

UNKNOWN_SIZE = 512
"""The side of a blank cell in pixels where no size was asked for."""


def one_picture(make: Callable[[], Iterable[Image]], size: tuple[int, int]) -> Image:
    """Return what a run makes as one picture: several as a sheet, an error as a blank one of `size`.

    The error is noted at the picture, and its traceback is printed, which puts it into the log of the job.
    """
    try:
        made = list(make())
    except Exception as error:  # noqa: BLE001 - whatever fails, the other cells of the plot are worth having
        traceback.print_exc()
        blank = PIL.Image.new("RGB", (size[0] or UNKNOWN_SIZE, size[1] or UNKNOWN_SIZE))
        blank.info["notes"] = [f"This picture failed: {error}"]
        return blank
    if len(made) == 1:
        return made[0]
    from stable_core_sd.images.grids import grid_rows, image_grid  # noqa: PLC0415 - numpy is not needed to announce

    return image_grid(made, grid_rows(len(made))).convert("RGB")
