"""Every sampler against the reference numbers, and against a target whose exact solution is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from stable_core_sd import samplers
from stable_core_sd.names import SAMPLERS, Sampler
from stable_core_sd.samplers import SAMPLES, Churn, Step
from stable_core_sd.schedules import SigmaTable, ddim_timesteps, exponential, karras, run_sigmas, training_betas
from vectors import cases

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))
KNOWN = [case for case in cases("samplers_numeric") if hasattr(samplers, case["input"]["sampler"])]
ANCESTRAL = {"Euler a", "DPM2 a", "DPM++ 2S a"}


class Counted:
    """A noise source and a denoiser that count their calls."""

    def __init__(self, denoise: Callable[[Any, float], Any], like: Any) -> None:
        self.denoise, self.like, self.calls, self.draws, self.sigmas = denoise, like, 0, 0, list[float]()

    def __call__(self, x: Any, sigma: float) -> Any:
        self.calls += 1
        self.sigmas.append(sigma)
        return self.denoise(x, sigma)

    def noise(self) -> Any:
        drawn = np.sin(1.7 * self.draws + 0.9 * np.arange(self.like.size) + 0.3)
        self.draws += 1
        return drawn.reshape(self.like.shape)


def last(steps: Iterator[Step]) -> Any:
    *_, final = steps
    return final.x


def start(shape: tuple[int, ...]) -> Any:
    return np.cos(0.8 * np.arange(math.prod(shape)) + 0.1).reshape(shape)


@pytest.mark.parametrize(
    "case",
    [case for case in KNOWN if "schedule" in case["input"]],
    ids=lambda case: f"{case['input']['sampler']}-{case['id']}",
)
def test_sampler_equals_the_reference(case: dict) -> None:
    asked, expected = case["input"], case["expected"]
    schedule = {"karras": karras, "exponential": exponential}[asked["schedule"]]
    sigmas = schedule(asked["n"], TABLE, 0.03, 14.6)
    options = dict(asked["kwargs"])
    if any(name in options for name in Churn._fields) and "eta" not in options:
        options = {"churn": Churn(**options)}
    x = start((2, 3)) * sigmas[0]
    model = Counted(lambda x, s: 0.9 * x / (1 + s**2) + 0.2 * s / (1 + s) * np.tanh(x) + 0.05, x)
    x = last(getattr(samplers, asked["sampler"])(model, x, sigmas, model.noise, **options))
    assert x.ravel() == pytest.approx(expected["x"], abs=2e-4, rel=1e-4)
    assert (model.calls, model.draws) == (expected["model_calls"], expected["noise_draws"])
    assert model.sigmas[: len(expected["first_sigmas"])] == pytest.approx(expected["first_sigmas"], rel=1e-5)


@pytest.mark.parametrize(
    "case",
    [case for case in cases("samplers_numeric") if case["input"]["sampler"] == "ddim"],
    ids=lambda case: case["id"],
)
def test_ddim_equals_the_reference_over_timesteps(case: dict) -> None:
    asked, expected = case["input"], case["expected"]
    sigmas = [TABLE.sigmas[t] for t in reversed(ddim_timesteps(asked["steps"]))]
    x = start((1, 2, 2, 2)) * math.sqrt(sigmas[0] ** 2 + 1)

    def denoise(x: Any, sigma: float) -> Any:
        scaled = x / math.sqrt(sigma**2 + 1)
        return x - sigma * (0.8 * scaled + 0.1 * np.sin(2 * scaled) * (TABLE.timestep(sigma) / 1000) + 0.03)

    model = Counted(denoise, x)
    x = last(samplers.sample_ddim(model, x, sigmas, model.noise, **asked["kwargs"]))
    assert x.ravel() == pytest.approx(expected["x"], abs=2e-4, rel=1e-4)
    assert (model.calls, model.draws) == (expected["model_calls"], expected["noise_draws"])
    timesteps = [TABLE.timestep(sigma) for sigma in model.sigmas]
    assert timesteps[: len(expected["first_timesteps"])] == pytest.approx(expected["first_timesteps"])


def gaussian_error(sampler: Sampler, steps: int) -> float:
    """Return the largest error for data with mean 0.3 and spread 0.5, where the best denoiser is known.

    The probability flow keeps `(x - mean) / sqrt(spread² + sigma²)` constant, so the exact end follows from the start.
    """
    mean, spread, ways = 0.3, 0.5, np.linspace(-2, 2, 9)
    sigmas = karras(steps, TABLE, 0.03, 14.6)[:-1]
    x = mean + ways * math.sqrt(spread**2 + sigmas[0] ** 2)
    options = {"eta": 0.0} if sampler.label in ANCESTRAL else {}

    def denoise(x: Any, sigma: float) -> Any:
        return mean + (x - mean) * spread**2 / (spread**2 + sigma**2)

    found = last(SAMPLES[sampler.label](denoise, x, sigmas, lambda: np.zeros_like(x), **options))
    if sampler.walks_timesteps:
        found = found * math.sqrt(sigmas[-1] ** 2 + 1)
    return float(np.abs(found - mean - ways * math.sqrt(spread**2 + sigmas[-1] ** 2)).max())


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.label)
def test_sampler_nears_the_exact_solution_at_its_order(sampler: Sampler) -> None:
    errors = [gaussian_error(sampler, steps) for steps in (20, 40, 80)]
    is_first_order = sampler.label in {"Euler", "Euler a", "DDIM"}
    assert errors[0] < (0.2 if is_first_order else 0.04)
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine > (1.8 if is_first_order else 3.0)


@pytest.mark.parametrize("label", sorted(ANCESTRAL))
def test_ancestral_samplers_make_the_right_spread(label: str) -> None:
    random = np.random.default_rng(0)
    sampler = next(one for one in SAMPLERS if one.label == label)
    sigmas = run_sigmas(sampler, "karras", 40, TABLE)
    x = random.standard_normal(20_000) * sigmas[0]
    x = last(
        SAMPLES[label](
            lambda x, s: 0.3 + (x - 0.3) * 0.25 / (0.25 + s**2), x, sigmas, lambda: random.standard_normal(x.shape)
        )
    )
    assert x.mean() == pytest.approx(0.3, abs=0.03)
    assert x.std() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.label)
def test_sampler_yields_once_per_step_and_never_changes_its_input(sampler: Sampler) -> None:
    sigmas = run_sigmas(sampler, "automatic", 7, TABLE)
    x = start((2, 3)) * sigmas[0]
    before = x.copy()
    model = Counted(lambda x, s: x / (1 + s), x)
    steps = list(SAMPLES[sampler.label](model, x, sigmas, model.noise))
    assert len(steps) == len(sigmas) - 1
    assert np.array_equal(x, before)
    assert model.calls <= len(steps) * (2 if sampler.is_second_order else 1)
