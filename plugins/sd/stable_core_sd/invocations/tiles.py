"""Tiles: where the pieces of a picture lie that is drawn again piece by piece, and with which seeds. It cuts nothing.

Source of the rules: A1111 1.10, SD upscale.
"""

from __future__ import annotations

from dataclasses import dataclass

from stable_core.sdk import InvalidParams
from stable_core.sdk.params import MAX_SEED
from stable_core_sd.images.sizes import tile_places, up_to
from stable_core_sd.params import Img2ImgParams
from stable_core_sd.params_scripts import (
    BoxParams,
    JoinTilesParams,
    TiledUpscaleParams,
    part_of,
    told_of,
)

NO_UPSCALER = "None"
MAX_TILES = 2000


@dataclass(frozen=True)
class PlannedTiles:
    """The box and the params of each tile, row by row, for every repetition; and how they are joined."""

    boxes: list[BoxParams]
    runs: list[list[Img2ImgParams]]
    join: JoinTilesParams


def plan_tiles(size: tuple[int, int], prompt: str, params: TiledUpscaleParams) -> PlannedTiles:
    """Return the tiles of a picture of `size` after it was enlarged.

    A tile is as large as the width and height asked for, or as the picture was; at most half of it overlaps.

    Raises:
        InvalidParams: there are no tiles or too many.
    """
    tile = params.width or up_to(size[0], 8), params.height or up_to(size[1], 8)
    overlap = min(params.overlap, min(tile) // 2)
    target = enlarged_size(size, params)
    columns, rows = (tile_places(length, side, overlap) for length, side in zip(target, tile, strict=True))
    boxes = [BoxParams(x=x, y=y, width=tile[0], height=tile[1]) for y in rows for x in columns]
    if not 0 < len(boxes) <= MAX_TILES:
        raise InvalidParams(f"The picture would have {len(boxes)} tiles.", f"Between 1 and {MAX_TILES} are possible.")
    told = {"SD upscale overlap": str(overlap), "SD upscale upscaler": params.upscaler}
    changed = {"width": tile[0], "height": tile[1], "batch_size": 1, "batch_count": 1}
    base = part_of(params, Img2ImgParams).model_copy(update=changed)
    runs = []
    for repetition in range(params.batch_count):
        seeds = [_seed(params, number) + repetition for number in range(len(boxes))]
        runs.append([base.model_copy(update={"seed": min(seed, MAX_SEED)}) for seed in seeds])
    join = JoinTilesParams(
        width=target[0],
        height=target[1],
        columns=columns,
        rows=rows,
        overlap=overlap,
        told=told_of(prompt, base, from_image=True, pairs=told),
    )
    return PlannedTiles(boxes, runs, join)


def enlarged_size(size: tuple[int, int], params: TiledUpscaleParams) -> tuple[int, int]:
    """Return the size an upscaler brings a picture to, in multiples of 8; without one it keeps its own."""
    if params.upscaler == NO_UPSCALER:
        return size
    return int(size[0] * params.scale_factor) // 8 * 8, int(size[1] * params.scale_factor) // 8 * 8


def _seed(params: TiledUpscaleParams, number: int) -> int:
    """Return the seed of a tile: each batch has the seed after the last one's, and a picture's place in it is added."""
    batch, index = divmod(number, params.batch_size)
    return params.seed + batch + index
