"""Every sampler against a target whose exact solution is known, and how they behave. Reference numbers: test_parity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from stable_core_sd.names import SAMPLERS, Sampler, find_sampler
from stable_core_sd.params import RunParams
from stable_core_sd.samplers import SAMPLES, Step
from stable_core_sd.samplers.core import ancestral_step
from stable_core_sd.samplers.dpm_solver import fast_orders
from stable_core_sd.samplers.heun import restart_legs
from stable_core_sd.samplers.lcm import scale_boundary
from stable_core_sd.samplers.unipc import Method, sample_unipc
from stable_core_sd.sampling import plan_sampling
from stable_core_sd.schedules import SigmaTable, karras, training_betas

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))
FIRST_ORDER = {"Euler", "Euler a", "DDIM", "DDIM CFG++", "DPM fast"}  # the last step of DPM fast may be
DETERMINISTIC = [one for one in SAMPLERS if one.label not in {"LCM", "DPM adaptive", "Restart", "UniPC"}]
NOISY = [one for one in SAMPLERS if "eta" in one.takes or one.label == "Restart"]
MEAN, SPREAD = 0.3, 0.5


def guess(x: Any, sigma: float) -> Any:
    """Denoise data with a mean and a spread in the best possible way."""
    return MEAN + (x - MEAN) * SPREAD**2 / (SPREAD**2 + sigma**2)


def for_sampler(sampler: Sampler) -> Any:
    return (lambda x, sigma: (guess(x, sigma),) * 2) if sampler.needs_unconditional else guess


def last(steps: Iterator[Step]) -> Any:
    *_, final = steps
    return final.x


def gaussian_error(sampler: Sampler, steps: int, **options: Any) -> float:
    """Return the largest error at the end.

    The probability flow keeps `(x - mean) / sqrt(spread² + sigma²)` constant, so the exact end follows from the start.
    """
    ways = np.linspace(-2, 2, 9)
    sigmas = karras(steps, TABLE, 0.03, 14.6)[:-1]
    x = MEAN + ways * math.sqrt(SPREAD**2 + sigmas[0] ** 2)
    options |= {"eta": 0.0} if "eta" in sampler.takes else {}
    found = last(SAMPLES[sampler.label](for_sampler(sampler), x, sigmas, lambda *_: np.zeros_like(x), **options))
    if sampler.walks_timesteps:
        found = found * math.sqrt(sigmas[-1] ** 2 + 1)
    return float(np.abs(found - MEAN - ways * math.sqrt(SPREAD**2 + sigmas[-1] ** 2)).max())


@pytest.mark.parametrize("sampler", DETERMINISTIC, ids=lambda one: one.label)
def test_sampler_nears_the_exact_solution_at_its_order(sampler: Sampler) -> None:
    errors = [gaussian_error(sampler, steps) for steps in (20, 40, 80)]
    is_first_order = sampler.label in FIRST_ORDER
    assert errors[0] < (0.2 if is_first_order else 0.04)
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine > (1.8 if is_first_order else 2.5)


def test_dpm_adaptive_is_as_exact_as_it_promises() -> None:
    assert gaussian_error(find_sampler("DPM adaptive"), 5) < 0.05


@pytest.mark.parametrize("steps", [5, 10, 19])
def test_restart_is_heun_where_there_are_too_few_steps_to_restart(steps: int) -> None:
    assert gaussian_error(find_sampler("Restart"), steps) == gaussian_error(find_sampler("Heun"), steps)


@pytest.mark.parametrize("method", [Method(2), Method(3, "bh2"), Method(4), Method(3, lower_order_final=False)])
def test_unipc_of_any_order_nears_the_exact_solution(method: Method) -> None:
    errors = [gaussian_error(find_sampler("UniPC"), steps, method=method) for steps in (10, 40)]
    assert errors[1] < 0.002 < errors[0] < 0.1


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_unipc_works_with_fewer_steps_than_its_order(steps: int) -> None:
    sigmas = karras(steps + 1, TABLE, 0.03, 14.6)[:-1]
    assert np.isfinite(last(sample_unipc(guess, np.ones(3) * sigmas[0], sigmas, np.zeros, Method(5)))).all()


@pytest.mark.parametrize("sampler", NOISY, ids=lambda one: one.label)
def test_samplers_with_fresh_noise_make_the_right_spread(sampler: Sampler) -> None:
    random = np.random.default_rng(0)
    plan = plan_sampling(RunParams(sampler=sampler.label, steps=60), TABLE)
    x = MEAN * (not sampler.walks_timesteps) + random.standard_normal(20_000) * plan.noise_sigma
    options = plan.options | ({"eta": 1.0} if "eta" in sampler.takes else {})
    denoise = for_sampler(sampler)
    x = last(SAMPLES[sampler.label](denoise, x, plan.sigmas, lambda *_: random.standard_normal(x.shape), **options))
    assert x.mean() == pytest.approx(MEAN, abs=0.04)
    assert x.std() == pytest.approx(SPREAD, abs=0.06)


def test_lcm_ends_with_the_last_guess() -> None:
    steps = list(SAMPLES["LCM"](guess, np.ones(4) * 14.6, [14.6, 2.0, 0.0], lambda: np.ones(4)))
    assert np.allclose(steps[0].x, guess(np.ones(4) * 14.6, 14.6) + 2.0)
    assert np.array_equal(steps[1].x, guess(steps[0].x, 2.0))


def test_the_boundary_of_a_consistency_model_is_its_input() -> None:
    x = np.linspace(-1, 1, 5)
    assert np.allclose(scale_boundary(guess, lambda sigma: 0.0)(x, 0.1), x)
    assert np.allclose(scale_boundary(guess, lambda sigma: 999.0)(x, 14.6), guess(x, 14.6), atol=1e-6)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.label)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_share_that_is_done_rises_to_one_and_the_input_stays_as_it_was(sampler: Sampler, count: int) -> None:
    plan = plan_sampling(RunParams(sampler=sampler.label, steps=count), TABLE)
    x = np.cos(np.arange(6.0)) * plan.noise_sigma
    before = x.copy()
    steps = list(SAMPLES[sampler.label](for_sampler(sampler), x, plan.sigmas, lambda *_: np.ones(6), **plan.options))
    shares = [step.done for step in steps]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert np.array_equal(x, before)
    assert np.isfinite(steps[-1].x).all()


@pytest.mark.parametrize("steps", range(1, 12))
def test_dpm_fast_calls_the_model_once_per_step(steps: int) -> None:
    assert sum(fast_orders(steps)) == steps


@pytest.mark.parametrize(("steps", "restarts"), [(10, 0), (19, 0), (20, 1), (35, 1), (36, 2), (60, 2)])
def test_restart_goes_back_up_and_makes_about_as_many_steps(steps: int, restarts: int) -> None:
    legs = restart_legs(karras(steps, TABLE, 0.03, 14.6))
    jumps = [(one[1], other[0]) for one, other in itertools.pairwise(legs) if one[1] != other[0]]
    assert len(jumps) == restarts
    assert all(low == pytest.approx(0.1, abs=0.1) and high == pytest.approx(2, abs=0.6) for low, high in jumps)
    assert all(sigma > following for sigma, following in legs)
    assert len(legs) == steps


def test_ancestral_step_adds_back_what_it_takes_away() -> None:
    down, up = ancestral_step(5.0, 2.0)
    assert down**2 + up**2 == pytest.approx(4.0)
    assert ancestral_step(5.0, 2.0, 0.0) == (2.0, 0.0)
