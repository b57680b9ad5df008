"""Params against the announced schema."""

from __future__ import annotations

from typing import Any

import pytest

from stable_core.errors import InvalidParams
from stable_core.params_check import ParamsCheck, is_sweep
from stable_core.sdk.params import MAX_SEED, Field, Params, Seed


class Knobs(Params):
    name: str
    steps: int = Field(default=20, ge=1, le=150)
    scale: float = 7.5
    sizes: list[int] = Field(default=[])
    seed: Seed = Field(default=-1, group="Sampling")


@pytest.fixture(scope="module")
def check() -> ParamsCheck:
    return ParamsCheck(Knobs.model_json_schema())


def test_params_are_completed(check: ParamsCheck) -> None:
    complete = check({"name": "x", "seed": 5})
    assert complete == {"name": "x", "steps": 20, "scale": 7.5, "sizes": [], "seed": 5}


def test_a_random_seed_is_chosen_anew_each_time(check: ParamsCheck) -> None:
    seeds = [check({"name": "x"})["seed"] for _ in range(20)] + [check({"name": "x", "seed": -1})["seed"]]
    assert len(set(seeds)) == 21
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x", "steps": 0}, "steps"),
        ({"name": "x", "steps": 1.5}, "steps"),
        ({"name": "x", "steps": "20"}, "steps"),
        ({"name": "x", "steps": None}, "steps"),
        ({"name": "x", "steps": True}, "steps"),
        ({"name": "x", "sizes": [1, "2"]}, "sizes.1"),
        ({"name": "x", "stepz": 1}, "stepz"),
        ({"name": "x", "seed": -2}, "seed"),
        ({"name": "x", "seed": 2**32}, "seed"),
        ({"name": "x", "seed": {"each": [1, -2]}}, "seed"),
        ({"name": "x", "steps": {"each": [1, 2, 0]}}, "steps"),
        ({"name": {"each": ["a", 7]}, "steps": {"each": [1]}}, "name"),
        ({"steps": {"each": [1]}}, "name"),
    ],
)
def test_wrong_params_are_named(check: ParamsCheck, params: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParams, match=words) as refused:
        check(params)
    assert "steps" in refused.value.hint


def test_every_wrong_param_is_named_at_once(check: ParamsCheck) -> None:
    with pytest.raises(InvalidParams) as refused:
        check({"name": 1, "steps": 0, "what": 2})
    assert all(word in refused.value.message for word in ("name", "steps", "what"))


def test_a_sweep_is_kept_with_concrete_seeds(check: ParamsCheck) -> None:
    complete = check({"name": {"each": ["a", "b"]}, "seed": {"each": [-1, 3]}})
    assert complete["name"] == {"each": ["a", "b"]}
    assert complete["seed"]["each"][0] >= 0
    assert complete["seed"]["each"][1] == 3


def test_what_a_sweep_is() -> None:
    assert is_sweep({"each": []})
    assert not any(map(is_sweep, ({"each": 1}, {"each": [], "more": 1}, {}, [], "each", None)))
