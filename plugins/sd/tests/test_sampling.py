"""What one pass does: its levels, its start, its options, and how it can be stopped."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from stable_core_sd.facts import sampling_facts
from stable_core_sd.names import SAMPLERS, Sampler
from stable_core_sd.noise import ImageNoise
from stable_core_sd.params import RunParams
from stable_core_sd.samplers import Step
from stable_core_sd.sampling import plan_from_latents, plan_sampling, sample, start_from_latents, start_from_noise
from stable_core_sd.schedules import SigmaTable, training_betas

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))
LATENTS = torch.linspace(-1, 1, 4 * 4 * 4).reshape(1, 4, 4, 4)


def guess(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Denoise data around LATENTS with a small spread."""
    return LATENTS + (x - LATENTS) * 0.01 / (0.01 + sigma**2)


def for_sampler(sampler: Sampler) -> Any:
    return (lambda x, sigma: (guess(x, sigma),) * 2) if sampler.needs_unconditional else guess


def run(sampler: Sampler, seeds: list[int], strength: float | None = None, **knobs: Any) -> torch.Tensor:
    params = RunParams(**{"sampler": sampler.label, "steps": 12, **knobs})
    noise = ImageNoise((4, 4, 4), seeds)
    if strength is None:
        plan = plan_sampling(params, TABLE)
        x = start_from_noise(plan, noise)
    else:
        plan = plan_from_latents(params, TABLE, strength)
        x = start_from_latents(plan, LATENTS, noise)
    return sample(plan, for_sampler(sampler), x, noise)


every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.label)


@pytest.mark.parametrize("sampler", [one for one in SAMPLERS if not one.is_adaptive], ids=lambda one: one.label)
@pytest.mark.parametrize("strength", [None, 0.6])
def test_noise_of_a_picture_does_not_depend_on_its_batch(sampler: Sampler, strength: float | None) -> None:
    batch = run(sampler, [1, 2, 3], strength)
    for index, seed in enumerate([1, 2, 3]):
        assert torch.allclose(batch[index : index + 1], run(sampler, [seed], strength), atol=1e-5)


@every_sampler
def test_noise_becomes_what_the_model_knows(sampler: Sampler) -> None:
    assert float((run(sampler, [5], steps=30) - LATENTS).std()) < 0.2


@every_sampler
@pytest.mark.parametrize("strength", [0.0, 0.04, 0.1, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 12])
def test_a_picture_stays_what_it_is_at_any_strength(sampler: Sampler, strength: float, steps: int) -> None:
    found = run(sampler, [5], strength, steps=steps)
    assert found.shape == LATENTS.shape
    assert float((found - LATENTS).std()) < (0.25 if steps == 12 else 8)


@every_sampler
def test_the_start_is_as_noisy_as_the_first_step_takes_it_to_be(sampler: Sampler) -> None:
    plan = plan_from_latents(RunParams(sampler=sampler.label, steps=20), TABLE, 0.5)
    x = start_from_latents(plan, torch.zeros(1, 4, 64, 64), ImageNoise((4, 64, 64), [1]))
    assert float(x.std()) == pytest.approx(plan.sigmas[0], rel=0.15)
    lower = start_from_latents(plan, torch.zeros(1, 4, 64, 64), ImageNoise((4, 64, 64), [1]), multiplier=0.5)
    assert torch.allclose(lower * 2, x, atol=1e-4)


def test_extra_noise_is_more_of_the_same() -> None:
    plan = plan_from_latents(RunParams(sampler="Euler", steps=20), TABLE, 0.5)
    usual, more = (
        start_from_latents(plan, LATENTS * 0, ImageNoise((4, 4, 4), [1]), 1.0, extra) for extra in (0.0, 0.5)
    )
    assert torch.allclose(more - usual, 0.5 * ImageNoise((4, 4, 4), [1])(), atol=1e-5)


@pytest.mark.parametrize(
    ("sampler", "strength", "exact", "steps"),
    [("Euler", 0.5, False, 11), ("Euler", 0.5, True, 20), ("Euler", 0, False, 1), ("DDIM", 0.5, False, 9)],
)
def test_the_steps_of_a_pass_from_a_picture(sampler: str, strength: float, exact: bool, steps: int) -> None:
    plan = plan_from_latents(RunParams(sampler=sampler, steps=20), TABLE, strength, exact)
    assert len(plan.sigmas) - 1 == steps


def test_a_pass_from_a_picture_is_the_end_of_a_pass_from_noise() -> None:
    whole, part = plan_sampling(RunParams(steps=20), TABLE), plan_from_latents(RunParams(steps=20), TABLE, 0.5)
    assert part.sigmas == whole.sigmas[9:]
    assert part.path == whole.path
    timesteps = [TABLE.timestep(sigma) for sigma in plan_from_latents(RunParams(sampler="DDIM"), TABLE, 0.5).sigmas]
    assert timesteps == pytest.approx([451, 401, 351, 301, 251, 201, 151, 101, 51, 1])


def test_there_is_nothing_to_do_at_strength_0_with_exact_steps() -> None:
    assert plan_from_latents(RunParams(), TABLE, 0, is_exact=True).sigmas == []


@every_sampler
def test_a_tiny_strength_with_exact_steps_has_a_schedule(sampler: Sampler) -> None:
    for scheduler in ("Automatic", "DDIM", "Simple"):
        plan = plan_from_latents(RunParams(sampler=sampler.label, scheduler=scheduler), TABLE, 0.005, is_exact=True)
        noise = ImageNoise((4, 4, 4), [5])
        found = sample(plan, for_sampler(sampler), start_from_latents(plan, LATENTS, noise), noise)
        assert float((found - LATENTS).std()) < 0.3


def test_sgm_noise_is_a_little_stronger() -> None:
    usual, more = (plan_sampling(RunParams(schedule={"sgm_noise": chosen}), TABLE) for chosen in (False, True))
    assert more.noise_sigma == pytest.approx(math.sqrt(usual.noise_sigma**2 + 1))


@pytest.mark.parametrize(
    ("sampler", "noise", "options"),
    [
        ("Euler a", {}, {"eta": 1.0}),
        ("Euler a", {"eta": 0.4, "s_noise": 0.9}, {"eta": 0.4}),
        ("DPM2 a", {"s_noise": 0.9}, {"eta": 1.0, "s_noise": 0.9}),
        ("DDIM", {}, {"eta": 0.0}),
        ("DDIM", {"eta": 0}, {"eta": 0.0}),
        ("LMS", {"eta": 0.3, "s_churn": 2}, {}),
        ("Euler", {"s_churn": 2, "s_tmax": 5}, {"churn": (2, 0, 5, 1)}),
    ],
)
def test_samplers_get_the_knobs_that_they_have(sampler: str, noise: dict[str, Any], options: dict[str, Any]) -> None:
    assert plan_sampling(RunParams(sampler=sampler, noise=noise), TABLE).options == options


@every_sampler
def test_every_knob_of_a_sampler_has_an_effect(sampler: Sampler) -> None:
    changes: dict[str, Any] = {"eta": 0.5, "s_churn": 10, "s_noise": 0.8}
    usual = run(sampler, [5], noise={"s_churn": 1} if "s_churn" in sampler.takes else {})
    for knob, value in changes.items():
        base = {"s_churn": 1} if "s_churn" in sampler.takes else {}
        changed = run(sampler, [5], noise={**base, knob: value})
        assert torch.equal(usual, changed) == (knob not in sampler.takes)


def test_an_interrupted_pass_returns_the_last_guess() -> None:
    plan, noise = plan_sampling(RunParams(sampler="Euler a", steps=10), TABLE), ImageNoise((4, 4, 4), [1])
    seen: list[Step] = []
    found = sample(
        plan,
        guess,
        start_from_noise(plan, noise),
        noise,
        lambda index, step: seen.append(step),
        lambda: len(seen) == 3,
    )
    assert len(seen) == 3
    assert torch.equal(found, seen[-1].denoised)


def test_a_model_that_makes_no_numbers_is_an_error() -> None:
    plan, noise = plan_sampling(RunParams(steps=2), TABLE), ImageNoise((4, 4, 4), [1])
    with pytest.raises(FloatingPointError, match="fp32"):
        sample(plan, lambda x, sigma: x * float("nan"), start_from_noise(plan, noise), noise)


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({}, {}),
        ({"sampler": "Euler a", "noise": {"eta": 0.4, "seed_delta": 31337}}, {"Eta": 0.4}),
        ({"sampler": "Euler a", "noise": {"eta": 0, "seed_delta": 31337}}, {"Eta": 0}),
        ({"sampler": "Euler", "noise": {"eta": 0.4, "seed_delta": 31337}}, {}),
        ({"sampler": "DDIM", "noise": {"eta": 0.5, "s_churn": 3}}, {"Eta DDIM": 0.5}),
        ({"sampler": "Heun", "noise": {"s_churn": 3, "s_tmax": 4}}, {"Sigma churn": 3, "Sigma tmax": 4}),
        ({"sampler": "DPM2 a", "noise": {"s_churn": 3, "s_noise": 0.9}}, {"Sigma noise": 0.9}),
        ({"schedule": {"rho": 5, "sgm_noise": True}}, {"Schedule rho": 5, "SGM noise multiplier": True}),
        ({"guidance": {"skip_below_sigma": 1.5, "skip_early": 0.1}}, {"NGMS": 1.5, "Skip Early CFG": 0.1}),
        ({"sampler": "UniPC", "unipc": {"order": 2}}, {"UniPC order": 2}),
    ],
)
def test_the_generation_data_tells_what_is_unusual(knobs: dict[str, Any], told: dict[str, Any]) -> None:
    assert sampling_facts(RunParams(**knobs), TABLE) == told
