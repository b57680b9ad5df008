"""Tiles of a picture that is drawn again piece by piece."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from stable_core.sdk import InvalidInput, InvalidParams
from stable_core_sd.invocations.drawing import join_tiles
from stable_core_sd.invocations.tiles import enlarged_size, plan_tiles
from stable_core_sd.params_scripts import JoinTilesParams, TiledUpscaleParams


def plan(size: tuple[int, int] = (128, 96), **knobs: Any) -> Any:
    return plan_tiles(size, "p", TiledUpscaleParams(**{"seed": 5, "overlap": 32, **knobs}))


def test_tiles_overlap_and_end_flush() -> None:
    tiles = plan()
    assert (tiles.join.width, tiles.join.height) == (256, 192)
    assert {(box.width, box.height) for box in tiles.boxes} == {(128, 96)}
    assert (tiles.join.columns[0], tiles.join.columns[-1]) == (0, 128)
    assert all(
        second - first <= 128 - 32 for first, second in zip(tiles.join.columns, tiles.join.columns[1:], strict=False)
    )
    assert len(tiles.boxes) == len(tiles.join.columns) * len(tiles.join.rows)


def test_seeds_go_up_by_batch_and_by_place_in_it() -> None:
    assert [run.seed for run in plan().runs[0]] == list(range(5, 5 + 9))
    assert [run.seed for run in plan(batch_size=3).runs[0]] == [5, 6, 7, 6, 7, 8, 7, 8, 9]
    assert [runs[0].seed for runs in plan(batch_count=3).runs] == [5, 6, 7]


def test_without_an_upscaler_the_picture_keeps_its_size() -> None:
    assert enlarged_size((130, 90), TiledUpscaleParams(upscaler="None")) == (130, 90)
    assert enlarged_size((130, 90), TiledUpscaleParams(scale_factor=1.5)) == (192, 128)


@pytest.mark.parametrize(
    ("size", "knobs", "message"),
    [
        ((2048, 2048), {"width": 64, "height": 64, "overlap": 56}, "tiles"),
        ((32, 32), {"width": 64, "height": 64, "upscaler": "None"}, "tiles"),
    ],
)
def test_what_cannot_be_cut_is_refused(size: tuple[int, int], knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParams, match=message):
        plan(size, **knobs)


def test_small_tiles_overlap_by_half() -> None:
    assert plan((64, 64), overlap=64).join.overlap == 32


def test_joined_tiles_of_one_picture_are_that_picture() -> None:
    picture = Image.linear_gradient("L").convert("RGB").resize((96, 96))
    places = [0, 32]
    tiles = [picture.crop((x, y, x + 64, y + 64)) for y in places for x in places]
    joined = join_tiles(tiles, JoinTilesParams(width=96, height=96, columns=places, rows=places, overlap=32))
    assert joined.size == (96, 96)
    assert max(abs(a - b) for a, b in zip(joined.tobytes(), picture.tobytes(), strict=True)) <= 1


def test_a_missing_tile_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="1 tiles"):
        join_tiles([Image.new("RGB", (8, 8))], JoinTilesParams(width=16, height=8, columns=[0, 8], rows=[0]))
