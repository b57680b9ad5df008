"""Noise levels: the properties every schedule has, and the knobs that bend them. Reference numbers: test_parity."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from stable_core_sd.beta_quantile import beta_quantile, regularized_incomplete_beta
from stable_core_sd.names import SAMPLERS, SCHEDULERS, find_sampler, find_scheduler
from stable_core_sd.params_sampling import ScheduleParams
from stable_core_sd.samplers import SAMPLES
from stable_core_sd.schedules import SCHEDULES, ConsistencyTable, SigmaTable, WholeTimesteps, training_betas
from stable_core_sd.spacing import run_sigmas, spacing_facts
from stable_core_sd.timesteps import ddim_timesteps, unipc_sigmas

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))
EULER, SDE, DPM2 = (find_sampler(name) for name in ("Euler", "DPM++ 2M SDE", "DPM2"))


def test_table_has_the_range_of_stable_diffusion_1() -> None:
    assert TABLE.sigma_min == pytest.approx(0.02916753478348255, rel=1e-6)
    assert TABLE.sigma_max == pytest.approx(14.614642143249512, rel=1e-6)


def test_levels_are_those_of_pytorch_to_the_last_of_32_bits() -> None:
    assert TABLE.sigma_max == 14.614642143249512
    found = [SCHEDULES[name](6, TABLE, TABLE.sigma_min, TABLE.sigma_max)[:3] for name in ("karras", "exponential")]
    assert found[0] == [14.614643096923828, 6.082159519195557, 2.232161045074463]
    assert found[1] == [14.614643096923828, 4.215126037597656, 1.2157180309295654]


@pytest.mark.parametrize("timestep", [0.0, 0.25, 300.5, 998.9, 999.0])
def test_timestep_and_sigma_are_inverse(timestep: float) -> None:
    assert TABLE.timestep(TABLE.sigma(timestep)) == pytest.approx(timestep, abs=1e-6)
    assert WholeTimesteps(TABLE).timestep(TABLE.sigma(timestep)) == math.ceil(timestep - 0.5)


def test_consistency_models_know_50_levels() -> None:
    table = ConsistencyTable(TABLE)
    assert (table.sigma_min, table.sigma_max) == (TABLE.sigmas[19], TABLE.sigmas[999])
    assert [table.timestep(sigma) for sigma in (0.01, TABLE.sigmas[500], 20)] == [19, 499, 999]
    assert table.sigma(999) == pytest.approx(TABLE.sigma_max)
    assert table.sigma(0) == table.sigma(19) == pytest.approx(TABLE.sigmas[19])


@pytest.mark.parametrize("steps", [3, 5, 7, 9, 11])
def test_halfway_between_two_levels_a_consistency_model_is_asked_about_the_lower(steps: int) -> None:
    table = ConsistencyTable(TABLE)
    sigmas = run_sigmas(find_sampler("LCM"), "uniform", steps, table)
    assert table.timestep(sigmas[steps // 2]) == 499  # as in the original on a CPU


@pytest.mark.parametrize("scheduler", [one.name for one in SCHEDULERS])
def test_sigmas_always_fall_and_there_is_something_to_do(scheduler: str) -> None:
    for sampler, steps in itertools.product(SAMPLERS, (1, 2, 3, 20, 150)):
        table = ConsistencyTable(TABLE) if sampler.is_consistency else TABLE
        sigmas = run_sigmas(sampler, scheduler, steps, table)
        assert len(sigmas) >= 2
        assert all(math.isfinite(sigma) for sigma in sigmas)
        falls = steps <= len(table.sigmas)
        assert all((one > other if falls else one >= other) for one, other in itertools.pairwise(sigmas))
        assert sigmas[-1] >= 0


@pytest.mark.parametrize(
    ("scheduler", "knobs", "ends"),
    [
        ("karras", {"sigma_min": 0.2, "sigma_max": 9.0}, (9.0, 0.2)),
        ("exponential", {"sigma_max": 9.0}, (9.0, TABLE.sigma_min)),
        ("karras", {"old_karras": True}, (10.0, 0.1)),
        ("exponential", {"old_karras": True}, (10.0, 0.1)),
        ("automatic", {"old_karras": True}, (TABLE.sigma_max, TABLE.sigma_min)),
        ("beta", {"sigma_min": 0.2}, (TABLE.sigma_max, 0.2)),
        ("uniform", {"sigma_max": 9.0}, (TABLE.sigma_max, TABLE.sigma_min)),
    ],
)
def test_the_range_can_be_chosen(scheduler: str, knobs: dict[str, Any], ends: tuple[float, float]) -> None:
    sigmas = run_sigmas(SDE, scheduler, 10, TABLE, ScheduleParams(**knobs))
    assert (sigmas[0], sigmas[-2]) == pytest.approx(ends)


def test_rho_and_the_shapes_of_beta_bend_the_way_between_the_ends() -> None:
    usual, bent = (run_sigmas(EULER, "karras", 10, TABLE, ScheduleParams(rho=rho)) for rho in (0, 3))
    assert (usual[0], usual[-2]) == pytest.approx((bent[0], bent[-2]), rel=1e-5)
    assert bent[5] > usual[5] + 0.1
    flat = run_sigmas(EULER, "beta", 5, TABLE, ScheduleParams(beta_alpha=1, beta_beta=1))
    assert flat[2] == pytest.approx((TABLE.sigma_max + TABLE.sigma_min) / 2)


def test_the_next_to_last_level_can_be_left_out_with_every_sampler() -> None:
    whole, cut = (run_sigmas(EULER, "karras", steps, TABLE) for steps in (11, 10))
    discarded = run_sigmas(EULER, "karras", 10, TABLE, ScheduleParams(discard_next_to_last=True))
    assert len(discarded) == len(cut)
    assert discarded == whole[:-2] + whole[-1:]


def test_only_what_is_unusual_is_told() -> None:
    assert spacing_facts(EULER, "karras", TABLE, ScheduleParams(rho=7)) == {}
    assert spacing_facts(EULER, "automatic", TABLE, ScheduleParams(sigma_max=9)) == {}
    assert spacing_facts(DPM2, "automatic", TABLE, ScheduleParams(discard_next_to_last=True)) == {}
    told = spacing_facts(EULER, "karras", TABLE, ScheduleParams(sigma_min=0.1, rho=5, discard_next_to_last=True))
    assert told == {"Discard penultimate sigma": True, "Schedule min sigma": 0.1, "Schedule rho": 5}
    assert spacing_facts(EULER, "beta", TABLE, ScheduleParams())["Beta schedule alpha"] == 0.6


def test_every_name_has_its_function() -> None:
    assert [one.label for one in SAMPLERS] == list(SAMPLES)
    assert {one.name for one in SCHEDULERS} == {"automatic", *SCHEDULES}
    assert {one.scheduler for one in SAMPLERS} <= set(SCHEDULES)
    assert find_scheduler("sgmuniform") is find_scheduler("SGM Uniform") is find_scheduler("sgm_uniform")


def test_an_unknown_training_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="squaredcos"):
        training_betas("squaredcos_cap_v2", 0.1, 0.2, 10)


@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.6), (0.3, 3.0), (10.0, 10.0), (2.0, 5.0)])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.5, 0.99, 1.0])
def test_quantile_and_distribution_are_inverse(share: float, alpha: float, beta: float) -> None:
    assert regularized_incomplete_beta(beta_quantile(share, alpha, beta), alpha, beta) == pytest.approx(share, abs=1e-9)


def test_the_beta_distribution_with_whole_shapes_is_a_sum_of_binomials() -> None:
    expected = sum(math.comb(6, wins) * 0.3**wins * 0.7 ** (6 - wins) for wins in range(2, 7))
    assert regularized_incomplete_beta(0.3, 2, 5) == pytest.approx(expected, rel=1e-12)


def test_ddim_may_have_more_timesteps_than_steps() -> None:
    assert ddim_timesteps(3) == [1, 334, 667, 999]
    assert len(ddim_timesteps(2000)) == 1000


@pytest.mark.parametrize("spacing", ["time_uniform", "time_quadratic", "logSNR"])
def test_unipc_goes_from_the_start_to_the_lowest_level(spacing: Any) -> None:
    sigmas = unipc_sigmas(12, TABLE, 700, spacing)
    assert len(sigmas) == 13
    assert (sigmas[0], sigmas[-1]) == pytest.approx((TABLE.sigmas[700], TABLE.sigma_min))
    assert all(first > second for first, second in itertools.pairwise(sigmas))


def test_unipc_hits_the_timesteps_it_means() -> None:
    timesteps = [TABLE.timestep(sigma) for sigma in unipc_sigmas(20, TABLE, 999)]
    assert timesteps == pytest.approx([999 - 49.95 * index for index in range(21)], abs=2e-3)
