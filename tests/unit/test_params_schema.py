"""Params against the announced schema."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest

from stable_core.errors import InvalidParams
from stable_core.params_schema import ParamsSchema, is_sweep, sweeps_in, with_form, with_values
from stable_core.sdk.params import MAX_SEED, Field, ModelFile, Params, Secret, Seed


class Upscaler(Params):
    model: Annotated[str, ModelFile("upscale_models")] = Field(default="")
    key: Secret = Field(default="")


class Hires(Params):
    scale: float = Field(default=2, gt=1, le=4)
    seed: Seed = Field(default=-1)
    upscaler: Upscaler = Field(default=Upscaler())


class Knobs(Params):
    name: str
    steps: int = Field(default=20, ge=1, le=150)
    scale: float = 7.5
    sizes: list[int] = Field(default=[])
    seed: Seed = Field(default=-1, group="Sampling")


class Grouped(Params):
    hires: Hires = Field(default=Hires(scale=3), group="Sampling")
    refiner: Hires | None = Field(default=None)
    passes: list[Hires] = Field(default_factory=list)
    free: dict[str, Any] = Field(default={})


class Tree(Params):
    seed: Seed = Field(default=-1)
    branches: list[Tree] = Field(default=[])


@pytest.fixture(scope="module")
def check() -> ParamsSchema:
    return ParamsSchema(Knobs.model_json_schema())


@pytest.fixture(scope="module")
def grouped() -> ParamsSchema:
    return ParamsSchema(Grouped.model_json_schema())


def test_a_form_changes_defaults_narrows_ranges_and_adds_hints() -> None:
    own = Knobs.model_json_schema()
    form = {
        "steps": {"default": 30, "minimum": 0, "maximum": 60},
        "scale": {"step": 0.5, "maximum": 9, "advanced": True},
    }
    schema = with_form(own, form)
    steps, scale = schema["properties"]["steps"], schema["properties"]["scale"]
    assert (steps["default"], steps["minimum"], steps["maximum"]) == (30, 1, 60)
    assert (scale["x-ui"], scale["maximum"]) == ({"step": 0.5, "advanced": True}, 9)
    assert own == Knobs.model_json_schema()
    assert ParamsSchema(schema)({"name": "x", "seed": 1})["steps"] == 30
    with pytest.raises(InvalidParams, match="steps: 61"):
        ParamsSchema(schema)({"name": "x", "steps": 61})


@pytest.mark.parametrize("group", ["hires", "refiner"])
def test_a_form_reaches_knobs_in_groups(group: str) -> None:
    check = ParamsSchema(with_form(Grouped.model_json_schema(), {f"{group}.scale": {"default": 1.5, "maximum": 2}}))
    assert check({})["hires"]["scale"] == (1.5 if group == "hires" else 3)
    assert check({group: {}})[group]["scale"] == 1.5
    assert check({group: {"upscaler": {"model": "x"}}})[group]["scale"] == 1.5
    other = "refiner" if group == "hires" else "hires"
    assert check({other: {"scale": 2.5}})[other]["scale"] == 2.5
    with pytest.raises(InvalidParams, match=rf"{group}\.scale: 2\.5"):
        check({group: {"scale": 2.5}})


def test_a_form_reaches_knobs_in_groups_of_groups() -> None:
    check = ParamsSchema(with_form(Grouped.model_json_schema(), {"hires.upscaler.model": {"default": "big"}}))
    for given in ({}, {"hires": {}}, {"hires": {"upscaler": {}}}, {"hires": {"scale": 2}}):
        assert check(given)["hires"]["upscaler"]["model"] == "big", given
    assert check({"refiner": {}})["refiner"]["upscaler"]["model"] == ""


def test_a_form_of_a_knob_that_is_none_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    form = {"stepz": {"default": 1}, "hires.scales": {"default": 1}, "no.such": {"step": 1}}
    schema = with_form(Grouped.model_json_schema(), form)
    assert ParamsSchema(schema)({"hires": {"seed": 1}}) == ParamsSchema(Grouped.model_json_schema())(
        {"hires": {"seed": 1}}
    )
    assert [record.args for record in caplog.records] == [(path,) for path in form]


def test_params_are_completed(check: ParamsSchema) -> None:
    complete = check({"name": "x", "seed": 5})
    assert complete == {"name": "x", "steps": 20, "scale": 7.5, "sizes": [], "seed": 5}


def test_a_random_seed_is_chosen_anew_each_time(check: ParamsSchema) -> None:
    given: dict[str, Any] = {"name": "x", "seed": -1}
    seeds = [check({"name": "x"})["seed"] for _ in range(20)] + [check(given)["seed"]]
    assert len(set(seeds)) == 21
    assert all(0 <= seed <= MAX_SEED for seed in seeds)
    assert given["seed"] == -1


def test_a_given_seed_stays(check: ParamsSchema) -> None:
    assert check({"name": "x", "seed": 0})["seed"] == 0


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
        ({"name": "x", "sizes": [1, {"each": [2, "3"]}]}, "sizes.1"),
    ],
)
def test_wrong_params_are_named(check: ParamsSchema, params: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParams, match=words) as refused:
        check(params)
    assert "steps" in refused.value.hint


def test_every_wrong_param_is_named_at_once(check: ParamsSchema) -> None:
    with pytest.raises(InvalidParams) as refused:
        check({"name": 1, "steps": 0, "what": 2})
    assert all(word in refused.value.message for word in ("name", "steps", "what"))


def test_other_names_of_a_choice_are_taken_in_any_case() -> None:
    choice = {"enum": ["Euler a", "Euler"], "x-ui": {"aliases": {"k_euler_a": "Euler a", "euler a": "Euler a"}}}
    check = ParamsSchema({"properties": {"sampler": choice}})
    names = ("Euler a", " K_Euler_A", "EULER A")
    assert {check({"sampler": name})["sampler"] for name in names} == {"Euler a"}
    assert check({"sampler": {"each": ["Euler", "k_euler_a"]}})["sampler"] == {"each": ["Euler", "Euler a"]}
    with pytest.raises(InvalidParams, match=r"^sampler: .*k_lms"):
        check({"sampler": "k_lms"})


def test_what_is_wrong_with_a_union_is_said() -> None:
    check = ParamsSchema({"properties": {"eta": {"anyOf": [{"type": "number", "maximum": 1}, {"type": "null"}]}}})
    with pytest.raises(InvalidParams, match=r"^eta: 5 is greater than the maximum of 1, or "):
        check({"eta": 5})


# -- groups ------------------------------------------------------------------------------------------------------------


def test_groups_are_completed_as_their_class_would(grouped: ParamsSchema) -> None:
    complete = grouped({"refiner": {"seed": 1}, "passes": [{"scale": 4, "seed": 2}]})
    upscaler = {"model": "", "key": ""}
    assert complete["hires"] == {"scale": 3, "seed": complete["hires"]["seed"], "upscaler": upscaler}
    assert complete["refiner"] == {"scale": 2, "seed": 1, "upscaler": upscaler}
    assert complete["passes"] == [{"scale": 4, "seed": 2, "upscaler": upscaler}]
    assert grouped({})["refiner"] is None
    assert grouped({"hires": {}})["hires"]["scale"] == Grouped.model_validate({"hires": {}}).hires.scale == 2


def test_random_seeds_of_groups_are_chosen(grouped: ParamsSchema) -> None:
    complete = grouped({"refiner": {"seed": -1}, "passes": [{}, {}]})
    seeds = [complete["hires"]["seed"], complete["refiner"]["seed"], *(each["seed"] for each in complete["passes"])]
    assert len(set(seeds)) == 4
    assert min(seeds) >= 0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"hires": {"scale": 1}}, r"^hires\.scale: "),
        ({"hires": {"scale": 9}, "refiner": {"scale": "x"}}, r"^hires\.scale: .*; refiner\.scale: "),
        ({"refiner": {"scale": {"each": [2, 9]}}}, r"^refiner\.scale: "),
        ({"refiner": {"each": [None, {}, {"scale": 9}]}}, r"^refiner\.scale: "),
        ({"hires": {"upscaler": {"model": 1}}}, r"^hires\.upscaler\.model: "),
        ({"passes": [{}, {"scale": 1}]}, r"^passes\.1\.scale: "),
        ({"refiner": {"scala": 2}}, r"^refiner: .*scala"),
        ({"hires": None}, r"^hires: "),
        ({"hires": 3}, r"^hires: "),
        ({"refiner": 3}, r"^refiner: "),
        ({"hires": {"each": [{"scale": {"each": [2]}}]}}, r"^hires\.scale: "),
    ],
)
def test_what_is_wrong_in_a_group_is_named_by_its_path(
    grouped: ParamsSchema, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidParams, match=words):
        grouped(params)


def test_a_group_inside_itself_is_checked_too() -> None:
    check = ParamsSchema(Tree.model_json_schema())
    assert check({"branches": [{"seed": 1, "branches": [{"seed": 2}]}]})["seed"] >= 0
    with pytest.raises(InvalidParams, match=r"branches\.0\.branches\.0\.branches\.0"):
        check({"branches": [{"branches": [{"branches": [{"sed": 2}]}]}]})


def test_models_are_found_in_groups(grouped: ParamsSchema) -> None:
    params = grouped({"hires": {"upscaler": {"model": "a"}}, "passes": [{"upscaler": {"model": "b"}}]})
    assert grouped.models_in(params) == [("upscale_models", "a"), ("upscale_models", "b")]


def test_secrets_are_hidden_in_groups(grouped: ParamsSchema) -> None:
    shown = grouped.without_secrets({"hires": {"upscaler": {"key": "s3cret"}, "seed": 1}})
    assert shown["hires"]["upscaler"] == {"model": "", "key": ""}
    assert "s3cret" not in json.dumps(shown)


# -- sweeps ------------------------------------------------------------------------------------------------------------


def test_a_sweep_is_kept_with_concrete_seeds(check: ParamsSchema) -> None:
    complete = check({"name": {"each": ["a", "b"]}, "seed": {"each": [-1, 3, -1]}})
    assert complete["name"] == {"each": ["a", "b"]}
    first, second, third = complete["seed"]["each"]
    assert second == 3
    assert first != third
    assert min(first, third) >= 0


def test_sweeps_of_groups_and_inside_them_are_completed(grouped: ParamsSchema) -> None:
    complete = grouped({"hires": {"seed": {"each": [-1, 3]}}, "refiner": {"each": [None, {"scale": 3}]}})
    assert complete["hires"]["scale"] == 2
    assert complete["hires"]["seed"]["each"][0] >= 0
    absent, given = complete["refiner"]["each"]
    assert absent is None
    assert given["scale"] == 3
    assert given["seed"] >= 0


def test_sweeps_are_found_and_replaced_at_any_depth() -> None:
    params = {"a": {"each": [1, 2]}, "b": {"c": [0, {"each": [3]}], "d": 4}, "e": {"each": [{"f": {"each": [5]}}]}}
    assert sweeps_in(params) == {("a",): [1, 2], ("b", "c", 1): [3], ("e",): [{"f": {"each": [5]}}]}
    assert with_values(params, {("a",): 1, ("b", "c", 1): 3, ("e",): 6}) == {"a": 1, "b": {"c": [0, 3], "d": 4}, "e": 6}
    assert params["a"] == {"each": [1, 2]}


def test_what_a_sweep_is() -> None:
    assert is_sweep({"each": []})
    assert not any(map(is_sweep, ({"each": 1}, {"each": [], "more": 1}, {}, [], "each", None)))
