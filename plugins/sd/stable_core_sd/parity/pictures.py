"""Checks of resizing, masks, grids, the geometry of the high-resolution pass. The reference cases are run by runner."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from stable_core_sd.images import cropping, grids, hires_sizes, masks, resizing, upscaling
from stable_core_sd.parity.runner import Check, close

Case = Mapping[str, Any]

MODES: tuple[resizing.ResizeMode, ...] = ("stretch", "crop", "pad", "pad")
"""The resize modes by number. Of a picture the original makes the same with 2 and 3; 3 is for latents."""


def pixels_within(tolerance: float) -> Callable[[Case, Case], bool]:
    """Return a judge that looks up, in the picture that was returned, the pixels that a case names as `x,y`."""

    def agrees(expected: Case, got: Case) -> bool:
        pixels = {}
        for place, wanted in expected["pixels"].items():
            pixel = got["image"].getpixel(tuple(map(int, place.split(","))))
            is_grey = isinstance(pixel, int) and isinstance(wanted, list)
            pixels[place] = [pixel] * len(wanted) if is_grey else pixel if isinstance(pixel, int) else list(pixel)
        facts = {name: value for name, value in got.items() if name != "image"}
        return close(absolute=tolerance)(expected, {**facts, "pixels": pixels})

    return agrees


# -- sizes -------------------------------------------------------------------------------------------------------------


def resize(case: Case, header: Case) -> Any:
    """Resize four coloured quadrants; the calls are what Pillow was asked to do meanwhile."""
    (width, height), mode = case["src"], "L" if case["image"].endswith("-L") else "RGB"
    image = Image.new("RGB", (width, height), (200, 0, 0))
    image.paste((0, 200, 0), (width // 2, 0, width, height // 2))
    image.paste((0, 0, 200), (0, height // 2, width // 2, height))
    image.paste((200, 200, 0), (width // 2, height // 2, width, height))
    with pillow_calls() as calls:
        resized = resizing.resize_image(image.convert(mode), MODES[case["resize_mode"]], tuple(case["dst"]))
    return {"size": list(resized.size), "mode": resized.mode, "calls": calls, "image": resized}


@contextlib.contextmanager
def pillow_calls() -> Iterator[list[Any]]:
    """Note down every resize and paste of a picture inside, in the form of the cases."""
    calls: list[Any] = []
    plain_resize, plain_paste = Image.Image.resize, Image.Image.paste

    def noted_resize(self: Image.Image, size: Any, resample: Any = None, box: Any = None) -> Image.Image:
        name = "default" if resample is None else Image.Resampling(resample).name.lower()
        calls.append(["resize", list(self.size), list(size), box and list(box), name])
        return plain_resize(self, size, resample, box)

    def noted_paste(self: Image.Image, image: Any, box: Any = None) -> None:
        calls.append(["paste", list(image.size), list(box)])
        plain_paste(self, image, box)

    with mock.patch.multiple(Image.Image, resize=noted_resize, paste=noted_paste):
        yield calls


def upscaler_upscale(case: Case, header: Case) -> Any:
    """Apply a stand-in for an upscaling model; the log is what it and Pillow were asked for."""
    log: list[Any] = []

    def turn(image: Image.Image) -> Image.Image:
        scale = case["model_native_scale"]
        larger = Image.new("RGB", (image.width * scale, image.height * scale))
        log.append(["model", list(larger.size)])
        return larger

    with pillow_calls() as calls:
        image = upscaling.enlarge(Image.new("RGB", tuple(case["image"])), case["scale"], turn)
    return {"size": list(image.size), "log": log + [[call[0], call[2]] for call in calls]}


def target_resolution(case: Case, header: Case) -> Any:
    """Find the size of the second pass."""
    wanted = case["hr_resize_x"], case["hr_resize_y"]
    sizes = hires_sizes.hires_sizes((case["width"], case["height"]), case["hr_scale"], *wanted)
    told = {"Hires resize": f"{wanted[0]}x{wanted[1]}"} if any(wanted) else {"Hires upscale": case["hr_scale"]}
    return {"upscale_to": list(sizes.upscale_to), "truncate_latent": list(sizes.cut), "infotext": told}


def truncate_window(case: Case, header: Case) -> Any:
    """Find what is kept of a latent of (height, width)."""
    height, width = case["latent"]
    return {
        "rows": list(hires_sizes.kept_range(height, case["truncate_y"])),
        "cols": list(hires_sizes.kept_range(width, case["truncate_x"])),
    }


def old_first_pass(case: Case, header: Case) -> Any:
    """Find the size of the first pass as it was in 2022."""
    return {"size": list(hires_sizes.first_pass_size((case["width"], case["height"])))}


# -- masks -------------------------------------------------------------------------------------------------------------


def crop_region(case: Case, header: Case) -> Any:
    """Find the box around what is masked."""
    box = cropping.crop_region(_mask(case), case["pad"])
    return {"region": box and list(box)}


def old_crop_region(case: Case, header: Case) -> Any:
    """Find it as it was before 1.9.1: the box of a blank mask is inside out."""
    mask = _mask(case)
    return {"region": list(cropping.grow_box(mask.getbbox() or (*mask.size, 0, 0), case["pad"], mask.size))}


def expand_crop_region(case: Case, header: Case) -> Any:
    """Give a box the shape of what is sampled."""
    box = cropping.expand_to_ratio(*(tuple(case[name]) for name in ("crop_region", "processing", "image")))
    return {"region": list(box)}


def fill(case: Case, header: Case) -> Any:
    """Fill the masked part of a picture of two colours."""
    (width, height) = case["size"]
    image = Image.new("RGB", (width, height), tuple(case["left"]))
    image.paste(tuple(case["right"]), (width // 2, 0, width, height))
    filled = masks.fill_masked(image, _mask(case))
    return {"mode": filled.mode, "image": filled}


def _mask(case: Case) -> Image.Image:
    mask = Image.new("L", tuple(case["size"]))
    for left, top, right, bottom, value in case["rects"]:
        mask.paste(value, (left, top, right, bottom))
    return mask


# -- grids -------------------------------------------------------------------------------------------------------------


def split_grid(case: Case, header: Case) -> Any:
    """Cut a picture into tiles."""
    grid = grids.split_grid(Image.new("RGB", tuple(case["image"])), tuple(case["tile"]), case["overlap"])
    wide, tall = case["tile"]
    rows = [[row.y, tall, [[tile.x, wide, list(tile.image.size)] for tile in row.tiles]] for row in grid.rows]
    return {"rows": rows, "tile_count": sum(len(row.tiles) for row in grid.rows)}


def combine_grid(case: Case, header: Case) -> Any:
    """Put tiles of plain colours together."""
    grid = grids.split_grid(Image.new("RGB", tuple(case["image"])), tuple(case["tile"]), case["overlap"])
    for k, tile in enumerate(tile for row in grid.rows for tile in row.tiles):
        tile.image.paste((40 * (k % 6) + 10, 255 - 30 * (k % 8), (77 * k) % 256), (0, 0, *tile.image.size))
    return {"pixels": np.asarray(grids.combine_grid(grid)).tolist()}


def image_grid(case: Case, header: Case) -> Any:
    """Lay pictures of one size out as a sheet, with A1111's setting n_rows: above 0, 0 for the batch size, or -1."""
    count, (width, height) = case["count"], case["image"]
    option = case["n_rows_option"]
    rows = case["rows"] or (option if option > 0 else case["batch_size"] if option == 0 else None)
    rows = grids.grid_rows(count, rows, case["grid_prevent_empty_spots"])
    sheet = grids.image_grid([Image.new("RGB", (width, height))] * count, rows)
    return {"cols": sheet.width // width, "rows": sheet.height // height, "mode": sheet.mode}


CHECKS: dict[str, Check] = {
    "resize_modes": Check(resize, pixels_within(3)),
    "misc:upscaler_upscale": Check(upscaler_upscale),
    "hires_geometry:calculate_target_resolution": Check(target_resolution),
    "hires_geometry:truncate_window": Check(truncate_window),
    "hires_geometry:old_first_pass_dimensions": Check(old_first_pass),
    "masking:get_crop_region_v2": Check(crop_region),
    "masking:get_crop_region": Check(old_crop_region),
    "masking:expand_crop_region": Check(expand_crop_region),
    "masking:fill": Check(fill, pixels_within(2)),
    "grids:split_grid": Check(split_grid),
    "grids:combine_grid": Check(combine_grid),
    "grids:image_grid": Check(image_grid),
}
