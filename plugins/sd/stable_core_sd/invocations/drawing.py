"""Putting pictures together: plots with labels and titles, tiles. What goes where is planned in other modules."""

from __future__ import annotations

import math
from collections.abc import Sequence

import PIL.Image

from stable_core.sdk import Image, InvalidInput
from stable_core_sd.checkpoint_list import find_checkpoint
from stable_core_sd.description import PictureFacts, describe_picture
from stable_core_sd.images.annotations import Line, annotate
from stable_core_sd.images.grids import Row, Tile, TileGrid, combine_grid, image_grid
from stable_core_sd.params import Img2ImgParams, Txt2ImgParams
from stable_core_sd.params_scripts import DrawPlotParams, JoinTilesParams, Label, ToldParams


def draw_plot(pictures: Sequence[Image], params: DrawPlotParams) -> Image:
    """Return one picture of all, row by row in cells as large as the largest; with titles, several grids in one row.

    Raises:
        InvalidInput: there are no pictures.
    """
    if not pictures:
        raise InvalidInput("A plot needs at least one picture.")
    if params.places:
        pictures = [
            picture for _, picture in sorted(zip(params.places, pictures, strict=True), key=lambda pair: pair[0])
        ]
    grids = max(1, len(params.titles))
    size = max(picture.width for picture in pictures), max(picture.height for picture in pictures)
    per_grid = math.ceil(len(pictures) / grids)
    drawn = []
    for first in range(0, len(pictures), per_grid):
        chosen = [_centred(picture, size) for picture in pictures[first : first + per_grid]]
        sheet = image_grid(chosen, math.ceil(len(chosen) / params.columns))
        drawn.append(annotate(sheet, size, _lines(params.column_labels), _lines(params.row_labels), params.margin))
    plot = drawn[0]
    if params.titles:
        titles = [[Line(title)] for title in params.titles]
        plot = annotate(image_grid(drawn, 1), drawn[0].size, titles, [], params.margin)
    return tell(plot, params.told, size)


def join_tiles(tiles: Sequence[Image], params: JoinTilesParams) -> Image:
    """Return tiles, given row by row, as one picture; each fades in over the one before.

    Raises:
        InvalidInput: there are more or fewer tiles than places.
    """
    count = len(params.columns)
    if len(tiles) != count * len(params.rows):
        raise InvalidInput(f"{len(tiles)} tiles do not fill {count} x {len(params.rows)} places.")
    rows = [
        Row(y, [Tile(x, tiles[number * count + index].convert("RGB")) for index, x in enumerate(params.columns)])
        for number, y in enumerate(params.rows)
    ]
    joined = combine_grid(TileGrid(rows, (params.width, params.height), params.overlap))
    return tell(joined, params.told, tiles[0].size)


def tell(picture: Image, told: ToldParams, size: tuple[int, int]) -> Image:
    """Return the picture with the generation data of the first run, which made one of `size`."""
    if not told.run:
        return picture
    run = (Img2ImgParams if told.from_image else Txt2ImgParams).model_validate(told.run)
    if not run.save_parameters:
        return picture
    checkpoint = find_checkpoint(run.checkpoint)
    facts = PictureFacts(
        prompt=told.prompt,
        negative_prompt=run.negative_prompt,
        seed=run.seed,
        size=(run.width or size[0], run.height or size[1]),
        model=checkpoint.base_name,
        model_hash=checkpoint.short_hash or None,
        variation_seed=run.variation.seed,
        features=told.pairs,
    )
    picture.info["parameters"] = describe_picture(run, facts)
    return picture


def _lines(labels: Sequence[Sequence[Label]]) -> list[list[Line]]:
    return [[Line(line.text, line.active) for line in label] for label in labels]


def _centred(picture: Image, size: tuple[int, int]) -> Image:
    """Return the picture in the middle of a white one of `size`."""
    if picture.size == size:
        return picture
    canvas = PIL.Image.new("RGB", size, "white")
    canvas.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return canvas
