"""Noise levels against the reference cases, and the properties every schedule has."""

from __future__ import annotations

import itertools
import math

import pytest

from stable_core_sd.names import SAMPLERS, SCHEDULERS, Sampler, find_scheduler
from stable_core_sd.samplers import SAMPLES, ancestral_step
from stable_core_sd.schedules import SCHEDULES, SigmaTable, ddim_timesteps, run_sigmas, training_betas
from vectors import cases

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))
CASES = cases("sigma_schedules")
NAMED = [case for case in CASES if case["input"].get("scheduler") in SCHEDULES and not case["input"].get("is_sdxl")]
PLAIN_RUNS = [
    case
    for case in CASES
    if case["input"].get("function") == "KDiffusionSampler.get_sigmas" and not case["input"]["opts"]
]


def close(expected: list[float]) -> object:
    return pytest.approx(expected, abs=2e-4, rel=2e-5)


def test_table_has_the_range_of_stable_diffusion_1() -> None:
    assert TABLE.sigma_min == pytest.approx(0.02916753478348255, rel=1e-6)
    assert TABLE.sigma_max == pytest.approx(14.614642143249512, rel=1e-6)


@pytest.mark.parametrize("case", NAMED, ids=lambda case: f"{case['input']['scheduler']}-{case['id']}")
def test_schedule_equals_the_reference(case: dict) -> None:
    asked = case["input"]
    extra = {"rho": asked["rho"]} if asked.get("rho") else {}
    sigmas = SCHEDULES[asked["scheduler"]](asked["n"], TABLE, asked["sigma_min"], asked["sigma_max"], **extra)
    assert sigmas == close(case["expected"]["sigmas"])


@pytest.mark.parametrize("case", PLAIN_RUNS, ids=lambda case: case["id"])
def test_sigmas_of_a_run_equal_the_reference(case: dict) -> None:
    options = case["input"]["sampler_options"]
    sampler = Sampler("any", (), discards_next_to_last_sigma=options.get("discard_next_to_last_sigma", False))
    sigmas = run_sigmas(sampler, options.get("scheduler", "uniform"), case["input"]["steps"], TABLE)
    assert sigmas == close(case["expected"]["sigmas"])


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["input"].get("function") == "sigma_to_t"], ids=lambda case: case["id"]
)
def test_timestep_of_a_sigma_equals_the_reference(case: dict) -> None:
    assert TABLE.timestep(case["input"]["sigma"]) == pytest.approx(case["expected"]["t"], abs=1e-2)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["input"].get("function") == "t_to_sigma"], ids=lambda case: case["id"]
)
def test_sigma_of_a_timestep_equals_the_reference(case: dict) -> None:
    assert TABLE.sigma(case["input"]["t"]) == pytest.approx(case["expected"]["sigma"], rel=2e-5)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["input"].get("function") == "get_ancestral_step"],
    ids=lambda case: case["id"],
)
def test_ancestral_step_equals_the_reference(case: dict) -> None:
    asked, expected = case["input"], case["expected"]
    assert ancestral_step(asked["sigma_from"], asked["sigma_to"], asked["eta"]) == close(
        [expected["sigma_down"], expected["sigma_up"]]
    )


@pytest.mark.parametrize(
    "case",
    [case for case in cases("samplers_and_steps") if case["input"]["op"] == "ddim_timesteps"],
    ids=lambda case: str(case["input"]["steps"]),
)
def test_ddim_timesteps_equal_the_reference(case: dict) -> None:
    timesteps, expected = ddim_timesteps(case["input"]["steps"]), case["expected"]
    assert (len(timesteps), timesteps[:6], timesteps[-6:]) == (expected["count"], expected["first"], expected["last"])


@pytest.mark.parametrize("timestep", [0.0, 0.25, 300.5, 998.9, 999.0])
def test_timestep_and_sigma_are_inverse(timestep: float) -> None:
    assert TABLE.timestep(TABLE.sigma(timestep)) == pytest.approx(timestep, abs=1e-6)


@pytest.mark.parametrize("scheduler", [one.name for one in SCHEDULERS])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.label)
@pytest.mark.parametrize("steps", [1, 2, 3, 20, 150])
def test_sigmas_always_fall_and_there_is_something_to_do(sampler: Sampler, scheduler: str, steps: int) -> None:
    sigmas = run_sigmas(sampler, scheduler, steps, TABLE)
    assert len(sigmas) >= 2
    assert all(math.isfinite(sigma) for sigma in sigmas)
    assert all(first > second >= 0 for first, second in itertools.pairwise(sigmas))


def test_every_name_has_its_function() -> None:
    assert [one.label for one in SAMPLERS] == list(SAMPLES)
    assert {one.name for one in SCHEDULERS} == {"automatic", *SCHEDULES}
    assert {one.scheduler for one in SAMPLERS} <= set(SCHEDULES)
    assert find_scheduler("sgmuniform") is find_scheduler("SGM Uniform") is find_scheduler("sgm_uniform")


def test_an_unknown_training_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="squaredcos"):
        training_betas("squaredcos_cap_v2", 0.1, 0.2, 10)
