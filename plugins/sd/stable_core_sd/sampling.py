"""One pass of sampling: which noise levels it walks, how it starts, and the loop. It knows no prompts and no models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from stable_core_sd.brownian import BrownianNoise
from stable_core_sd.names import CHURN, Sampler, Scheduler, find_sampler, find_scheduler
from stable_core_sd.noise import ImageNoise
from stable_core_sd.params import RunParams
from stable_core_sd.samplers import SAMPLES, Churn, Denoise, Step
from stable_core_sd.samplers.lcm import scale_boundary
from stable_core_sd.samplers.unipc import Method
from stable_core_sd.schedules import ConsistencyTable, SigmaTable, WholeTimesteps
from stable_core_sd.spacing import run_sigmas
from stable_core_sd.steps import picture_steps
from stable_core_sd.timesteps import ddim_timesteps, falling_sigmas, unipc_sigmas


@dataclass(frozen=True)
class SamplingPlan:
    """What one pass does.

    Attributes:
        table: the noise levels and timesteps of the model, as this sampler asks for them.
        sigmas: the falling noise levels that are walked, one more than there are steps; none if there is nothing to do.
        noise_sigma: how strong the noise is that the pass starts with.
        scale: a factor on noise and picture at the start.
        path: the lowest and the highest noise level of the whole schedule.
        steps: how many steps are made, as A1111 counts them.
        options: further arguments of the sampler.
    """

    sampler: Sampler
    table: SigmaTable
    sigmas: list[float]
    noise_sigma: float
    scale: float
    path: tuple[float, float]
    steps: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """Return how often the model is called, as A1111 estimates it."""
        return self.steps * 2 if self.sampler.is_second_order else self.steps


def plan_sampling(params: RunParams, table: SigmaTable, is_xl: bool = False) -> SamplingPlan:
    """Return the plan of a pass that starts with pure noise.

    Args:
        is_xl: the model is a Stable Diffusion XL.
    """
    sampler, scheduler = _chosen(params)
    table, options, steps = _table(sampler, params, table), sampler_options(sampler, params), params.steps
    if sampler.walks_timesteps:
        timesteps = ddim_timesteps(steps, len(table.sigmas))
        if len(timesteps) == 1 and sampler.label != "UniPC":  # A1111 makes no step then and returns the noise as it is
            timesteps.append(len(table.sigmas) - 1)
        sigmas = _timestep_sigmas(sampler, params, table, timesteps, is_from_noise=True)
        strength = with_unit_variance(sigmas[0])
    else:
        sigmas = run_sigmas(sampler, scheduler.name, steps, table, params.schedule, is_xl)
        if sampler.chooses_sigmas:
            sigmas = between(table.sigma_max, table.sigma_min, steps)
        strength = with_unit_variance(sigmas[0]) if params.schedule.sgm_noise else sigmas[0]
    return SamplingPlan(sampler, table, sigmas, strength, 1.0, _path(sigmas), steps, options)


def plan_from_latents(
    params: RunParams, table: SigmaTable, strength: float, is_exact: bool = False, is_xl: bool = False
) -> SamplingPlan:
    """Return the plan of a pass that starts with the latents of a picture; without steps if there is nothing to do.

    Args:
        strength: how much may change, 0..1.
        is_exact: all steps are made, whatever the strength.
        is_xl: the model is a Stable Diffusion XL.
    """
    sampler, scheduler = _chosen(params)
    table, options = _table(sampler, params, table), sampler_options(sampler, params)
    planned, done = picture_steps(params.steps, strength, is_exact)
    if not planned:
        return SamplingPlan(sampler, table, [], 0.0, 1.0, _path(table.sigmas), 0)
    if sampler.walks_timesteps:
        timesteps = ddim_timesteps(planned, len(table.sigmas))
        # A1111 puts one timestep more noise on the picture than the first step takes away. Where that leaves no step
        # to make, and a noisy picture, there is one here.
        top = timesteps[min(done, len(timesteps) - 1)]
        walked = timesteps[:done] if done > 1 else [top] if sampler.label == "UniPC" else [0, top]
        noise_sigma, sigmas = table.sigmas[top], _timestep_sigmas(sampler, params, table, walked)
        scale = with_unit_variance(sigmas[0]) / with_unit_variance(noise_sigma)
        return SamplingPlan(sampler, table, sigmas, noise_sigma, scale, _path(sigmas), done + 1, options)
    whole = run_sigmas(sampler, scheduler.name, planned, table, params.schedule, is_xl)
    sigmas = list(
        dict.fromkeys(whole[min(planned - done - 1, len(whole) - 2) :])
    )  # more steps than timesteps: once each
    if sampler.chooses_sigmas:
        sigmas = between(sigmas[0], sigmas[-2] if len(sigmas) > 2 else table.sigma_min, len(sigmas) - 1)
    return SamplingPlan(sampler, table, sigmas, sigmas[0], 1.0, _path(whole), done + 1, options)


def start_from_noise(plan: SamplingPlan, noise: ImageNoise) -> torch.Tensor:
    """Return the noisy latents that a pass starts with; DDIM's pure noise counts for more in terms of sigma."""
    return noise() * plan.noise_sigma


def start_from_latents(
    plan: SamplingPlan,
    latents: torch.Tensor,
    noise: Callable[[], torch.Tensor],
    multiplier: float = 1.0,
    extra: float = 0.0,
) -> torch.Tensor:
    """Return the noisy latents that a pass starts with: those of a picture with noise on them.

    Args:
        multiplier: how strong the noise is.
        extra: how much of the same noise is added once more, whatever the noise level.
    """
    return (latents + noise() * (multiplier * (plan.noise_sigma + extra))) * plan.scale


def sample(
    plan: SamplingPlan,
    denoise: Denoise,
    x: torch.Tensor,
    noise: ImageNoise,
    on_step: Callable[[int, Step], None] = lambda index, step: None,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> torch.Tensor:
    """Walk the plan from noisy latents `x`, (images, channels, height, width), and return clean ones.

    Args:
        denoise: guesses the clean latents; for samplers that need it, a pair with those without guidance.
        noise: draws for the samplers that add noise on the way.
        on_step: called after each step with its index; what it raises ends the pass.
        is_interrupted: asked after each step; if so, the last guess of the clean latents is returned.

    Raises:
        FloatingPointError: the model is broken, or 16 bits are too few for it.
    """
    if plan.sampler.is_consistency:
        denoise = scale_boundary(denoise, plan.table.timestep)
    draws = BrownianNoise(*plan.path, noise.seeds, noise.draw, noise.device) if plan.sampler.is_brownian else noise
    steps: Iterator[Step] = SAMPLES[plan.sampler.label](denoise, x, plan.sigmas, draws, **plan.options)
    for index, step in enumerate(steps):
        x = step.x
        on_step(index, step)
        if is_interrupted():
            x = step.denoised
            break
    if not x.isfinite().all():
        raise FloatingPointError("The model made values that are no numbers; try the precision fp32 or bf16")
    return x


def sampler_options(sampler: Sampler, params: RunParams) -> dict[str, Any]:
    """Return the arguments that a sampler takes from the knobs."""
    knobs, options = params.noise, dict[str, Any]()
    if "eta" in sampler.takes:
        options["eta"] = sampler.default_eta if knobs.eta is None else knobs.eta
    if sampler.takes >= CHURN:
        options["churn"] = Churn(knobs.s_churn, knobs.s_tmin, knobs.s_tmax or float("inf"), knobs.s_noise)
    elif "s_noise" in sampler.takes:
        options["s_noise"] = knobs.s_noise
    if sampler.label == "UniPC":
        options["method"] = Method(params.unipc.order, params.unipc.variant, params.unipc.lower_order_final)
    return options


def between(high: float, low: float, steps: int) -> list[float]:
    """Return `steps + 1` levels for samplers that choose their own; they cannot go down to 0."""
    return [high * (low / high) ** (index / steps) for index in range(steps + 1)]


def with_unit_variance(sigma: float) -> float:
    """Return the spread of a latent whose clean part has variance 1, with noise of strength `sigma`."""
    return float((sigma**2 + 1) ** 0.5)


def _chosen(params: RunParams) -> tuple[Sampler, Scheduler]:
    sampler, scheduler = find_sampler(params.sampler), find_scheduler(params.scheduler)
    assert sampler is not None, params.sampler
    assert scheduler is not None, params.scheduler
    return sampler, scheduler


def _table(sampler: Sampler, params: RunParams, table: SigmaTable) -> SigmaTable:
    if sampler.is_consistency:
        return ConsistencyTable(table)
    return WholeTimesteps(table) if params.schedule.whole_timesteps else table


def _timestep_sigmas(
    sampler: Sampler, params: RunParams, table: SigmaTable, timesteps: list[int], is_from_noise: bool = False
) -> list[float]:
    """Return the levels that DDIM or one of its kin walks over rising timesteps."""
    if sampler.label == "UniPC":
        top = len(table.sigmas) - 1 if is_from_noise else timesteps[-1]
        return unipc_sigmas(len(timesteps), table, top, params.unipc.spacing)
    return falling_sigmas(timesteps, table)


def _path(sigmas: list[float]) -> tuple[float, float]:
    positive = [sigma for sigma in sigmas if sigma > 0]
    return min(positive), max(positive)
