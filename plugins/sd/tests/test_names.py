"""Names of samplers and schedules: labels, aliases and A1111's combined names."""

from __future__ import annotations

import pytest

from stable_core_sd.names import SAMPLERS, find_sampler, sampler_and_scheduler
from vectors import cases

LABELS = {one.label for one in SAMPLERS}
CASES = [
    case
    for case in cases("samplers_and_steps")
    if case["input"]["op"] == "get_sampler_and_scheduler"
    and "quirk" not in case
    and case["expected"]["result"][0] in LABELS
    and case["expected"]["result"][1] != "Beta"
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_names_mean_what_they_mean_in_a1111(case: dict) -> None:
    asked = case["input"]
    found = sampler_and_scheduler(asked["sampler_name"], asked["scheduler"], asked["convert_automatic"])
    assert list(found or ()) == case["expected"]["result"]


def test_cases_cover_most_samplers() -> None:
    assert len(CASES) > 60


@pytest.mark.parametrize("name", ["dpm++ 2m", "K_DPMPP_2M", " DPM++ 2M "])
def test_any_case_and_alias_is_found(name: str) -> None:
    assert find_sampler(name) is SAMPLERS[0]


def test_the_longest_schedule_name_wins() -> None:
    assert sampler_and_scheduler("Euler SGM Uniform", convert_automatic=False) == ("Euler", "SGM Uniform")


@pytest.mark.parametrize("name", ["", "Nonsense", "Nonsense Karras", "Karras"])
def test_an_unknown_sampler_is_no_sampler(name: str) -> None:
    assert sampler_and_scheduler(name) is None
