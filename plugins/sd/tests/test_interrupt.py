"""Interrupt and skip: what a run returns when it does not go to its end."""

from __future__ import annotations

from typing import Any

import pytest

from runs import Recorded, change, difference, draw, noisy

pytestmark = pytest.mark.usefixtures("tiny_models")


def told(picture: Any) -> list[str]:
    notes: list[str] = picture.info.get("notes", [])
    return notes


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M", "DDIM", "DDIM CFG++", "UniPC", "Restart"])
def test_an_interrupted_run_returns_what_there_is_and_makes_no_more(sampler: str) -> None:
    progress = Recorded(wishes={6: "interrupt"})
    made = draw(progress=progress, sampler=sampler, steps=4, batch_size=2, batch_count=3)
    assert len(made) == 4
    assert [any("interrupted" in note for note in told(picture)) for picture in made] == [False, False, True, True]
    assert made[2].size == (64, 64)
    assert max(step for step, _ in progress.steps) <= 8
    whole = draw(sampler=sampler, steps=4, batch_size=2, batch_count=3)
    assert [difference(*pair) for pair in zip(made[:2], whole, strict=False)] == [0, 0]
    assert difference(made[2], whole[2]) > 0


def test_skip_leaves_out_the_pictures_under_way() -> None:
    progress = Recorded(wishes={2: "skip"})
    made = draw(progress=progress, steps=4, batch_count=3)
    whole = draw(steps=4, batch_count=3)
    assert [difference(*pair) for pair in zip(made, whole[1:], strict=True)] == [0, 0]
    assert told(made[0]) == []


def test_skipping_the_only_picture_returns_none() -> None:
    assert draw(progress=Recorded(wishes={1: "skip"})) == []


def test_interrupted_in_the_first_pass_a_run_returns_it_and_makes_no_second() -> None:
    made = draw(progress=Recorded(wishes={2: "interrupt"}), hires={"enabled": True})
    assert [picture.size for picture in made] == [(64, 64)]
    made = draw(progress=Recorded(wishes={6: "interrupt"}), hires={"enabled": True})
    assert [picture.size for picture in made] == [(128, 128)]


@pytest.mark.parametrize(("wish", "count"), [("interrupt", 1), ("skip", 2)])
def test_runs_from_a_picture_can_be_interrupted_and_skipped(wish: str, count: int) -> None:
    made = change(noisy(), progress=Recorded(wishes={1: wish}), batch_count=3)
    assert len(made) == count
