"""Many pictures as one sheet, and one picture as many overlapping tiles. It draws no labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from stable_core_sd.images.resizing import Size
from stable_core_sd.images.sizes import tile_places


class Tile(NamedTuple):
    """One tile and where its left edge lies, which may be outside of the picture."""

    x: int
    image: Image.Image


class Row(NamedTuple):
    """The tiles of one height."""

    y: int
    tiles: list[Tile]


class TileGrid(NamedTuple):
    """A picture of a size as rows of tiles that overlap by at least `overlap` pixels."""

    rows: list[Row]
    size: Size
    overlap: int


def split_grid(image: Image.Image, tile: Size, overlap: int) -> TileGrid:
    """Cut a picture into tiles of one size; where it is smaller than a tile, the rest of the tile is black.

    A picture not larger than the overlap has no tiles.

    Raises:
        ZeroDivisionError: the overlap is as large as a tile.
    """
    columns = tile_places(image.width, tile[0], overlap)
    rows = [
        Row(y, [Tile(x, image.crop((x, y, x + tile[0], y + tile[1]))) for x in columns])
        for y in tile_places(image.height, tile[1], overlap)
    ]
    return TileGrid(rows, image.size, overlap)


def combine_grid(grid: TileGrid) -> Image.Image:
    """Put tiles together again; each one fades in over the one before, along the first `overlap` pixels.

    Source: A1111 1.10, `combine_grid`.
    """
    width = grid.size[0]
    whole = Image.new("RGB", grid.size)
    for index, (y, tiles) in enumerate(grid.rows):
        tall = tiles[0].image.height if tiles else 0
        strip = Image.new("RGB", (width, tall))
        fade = fade_in(grid.overlap, tall).transpose(Image.Transpose.TRANSPOSE)
        for column, (x, tile) in enumerate(tiles):
            if column:
                strip.paste(tile.crop((0, 0, grid.overlap, tall)), (x, 0), fade)
            done = grid.overlap if column else 0
            strip.paste(tile.crop((done, 0, tile.width, tall)), (x + done, 0))
        if index:
            whole.paste(strip.crop((0, 0, width, grid.overlap)), (0, y), fade_in(grid.overlap, width))
        done = grid.overlap if index else 0
        whole.paste(strip.crop((0, done, width, tall)), (0, y + done))
    return whole


def with_sheet(pictures: Iterable[Image.Image], is_wanted: bool = True) -> Iterator[Image.Image]:
    """Yield pictures and, if it is wanted and there are several, a sheet of them with the info of the first."""
    kept: list[Image.Image] = []
    for picture in pictures:
        yield picture
        kept += [picture] if is_wanted else []
    if len(kept) > 1:
        sheet = image_grid(kept, grid_rows(len(kept))).convert("RGB")
        sheet.info |= kept[0].info
        yield sheet


def fade_in(length: int, width: int) -> Image.Image:
    """Return a mask of size (width, length) that rises from black downwards."""
    shades = (np.arange(length) * 255 / max(length, 1)).astype(np.uint8)
    return Image.fromarray(np.repeat(shades[:, None], width, axis=1))


def grid_rows(count: int, rows: int | None = None, without_gaps: bool = False) -> int:
    """Return how many rows a sheet of `count` pictures has: `rows`, or about as many as columns if that is None.

    With `without_gaps` it is the largest divisor of `count` that is not above its square root.
    """
    if rows is None:
        rows = math.isqrt(count) if without_gaps else round(math.sqrt(count))
        while without_gaps and count % rows:
            rows -= 1
    return min(rows, count)


def image_grid(images: Sequence[Image.Image], rows: int, background: str = "#ffffff") -> Image.Image:
    """Return pictures as one sheet in mode RGBA, row by row; each stands in the middle of its cell.

    Source: A1111 1.10, `image_grid`.
    """
    columns = math.ceil(len(images) / rows)
    width, height = max(image.width for image in images), max(image.height for image in images)
    sheet = Image.new("RGBA", (columns * width, rows * height), background)
    for index, image in enumerate(images):
        x = index % columns * width + (width - image.width) // 2
        y = index // columns * height + (height - image.height) // 2
        sheet.paste(image, (x, y))
    return sheet
