"""Names of samplers and schedules: labels, aliases and A1111's combined names. Reference cases: test_parity."""

from __future__ import annotations

from typing import get_args

import pytest

from stable_core_sd.labels import SamplerLabel, SchedulerLabel
from stable_core_sd.names import SAMPLERS, SCHEDULERS, find_sampler, hires_sampler_and_scheduler, sampler_and_scheduler
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.params_sampling import NoiseParams


@pytest.mark.parametrize("name", ["dpm++ 2m", "K_DPMPP_2M", " DPM++ 2M "])
def test_any_case_and_alias_is_found(name: str) -> None:
    assert find_sampler(name) is SAMPLERS[0]


def test_the_longest_schedule_name_wins() -> None:
    assert sampler_and_scheduler("Euler SGM Uniform", convert_automatic=False) == ("Euler", "SGM Uniform")


@pytest.mark.parametrize("name", ["Nonsense", "Nonsense Karras", "Karras", " "])
def test_an_unknown_sampler_is_no_sampler(name: str) -> None:
    assert sampler_and_scheduler(name) is None
    assert hires_sampler_and_scheduler({"Hires sampler": name}) is None


def test_no_name_is_the_first_sampler() -> None:
    assert sampler_and_scheduler("") == sampler_and_scheduler(None) == ("DPM++ 2M", "Automatic")


def test_no_name_means_two_samplers() -> None:
    names = [name for one in SAMPLERS for name in (one.label.lower(), *one.aliases)]
    assert len({*names}) >= len(names) - sum(one.label.lower() in one.aliases for one in SAMPLERS)


def test_the_knobs_offer_every_sampler_and_schedule() -> None:
    assert {find_sampler(name) for name in get_args(SamplerLabel)} >= set(SAMPLERS)
    assert list(get_args(SchedulerLabel)) == [one.label for one in SCHEDULERS]
    assert all(sampler_and_scheduler(name) for name in get_args(SamplerLabel))


def test_samplers_take_knobs_that_there_are() -> None:
    assert set().union(*(one.takes for one in SAMPLERS)) <= set(NoiseParams.model_fields)


@pytest.mark.parametrize("place", ["sampler", "hires.sampler"])
def test_the_announcement_tells_all_names_of_samplers(place: str) -> None:
    schema = Txt2ImgParams.model_json_schema()
    group = schema["$defs"]["HiresParams"] if "." in place else schema
    hints = group["properties"]["sampler"]["x-ui"]
    assert {name for one in SAMPLERS for name in (*one.aliases, one.label.lower())} <= hints["aliases"].keys()
    assert set(hints["aliases"].values()) == set(get_args(SamplerLabel))
    assert {"group", "advanced"} & hints.keys()
