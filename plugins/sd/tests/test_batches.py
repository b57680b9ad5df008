"""Which prompt and seed each picture of a run has."""

from __future__ import annotations

from typing import Any

import pytest

from runs import difference, draw
from stable_core_sd.batches import batches
from stable_core_sd.params import Txt2ImgParams


def cut(**knobs: Any) -> list[Any]:
    return list(batches("a", Txt2ImgParams(**{"seed": 10, "variation": {"seed": 90}, **knobs}), (64, 64)))


@pytest.mark.parametrize(("size", "count"), [(6, 1), (1, 6), (2, 3), (3, 2)])
def test_seeds_count_up_however_a_run_is_cut(size: int, count: int) -> None:
    made = cut(batch_size=size, batch_count=count)
    assert [len(batch) for batch in made] == [size] * count
    assert [seed for batch in made for seed in batch.seeds] == list(range(10, 16))
    assert [seed for batch in made for seed in batch.subseeds] == list(range(90, 96))


def test_with_a_variation_the_seed_stays_and_its_own_counts_up() -> None:
    [batch] = cut(batch_size=3, variation={"seed": 5, "strength": 0.1})
    assert (batch.seeds, batch.subseeds) == ([10, 10, 10], [5, 6, 7])


def test_lists_are_used_as_they_are_and_the_shortest_ends_the_run() -> None:
    each = {"prompts": ["b", "c", "d"], "negative_prompts": ["x", "y", "z", "w"], "seeds": [3, 1, 2]}
    made = cut(batch_size=2, batch_count=3, each=each)
    assert [(batch.prompts, batch.negative_prompts, batch.seeds) for batch in made] == [
        (["b", "c"], ["x", "y"], [3, 1]),
        (["d"], ["z"], [2]),
    ]


@pytest.mark.usefixtures("tiny_models")
def test_a_sheet_of_all_pictures_comes_last_and_not_for_a_single_one() -> None:
    *singles, sheet = draw(batch_count=3, grid=True)
    assert [picture.size for picture in singles] == [(64, 64)] * 3
    assert sheet.size == (128, 128)
    assert difference(sheet.crop((64, 0, 128, 64)), singles[1]) == 0
    assert sheet.info["parameters"] == singles[0].info["parameters"]
    assert len(draw(grid=True)) == 1


def test_no_more_pictures_are_made_than_asked_for() -> None:
    assert [batch.prompts for batch in cut(each={"prompts": ["b", "c"]})] == [["b"]]
