"""One pass of sampling: which noise levels it walks, how it starts, and the loop. It knows no prompts and no models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from stable_core_sd.names import Sampler, find_sampler, find_scheduler
from stable_core_sd.noise import ImageNoise
from stable_core_sd.params import RunParams
from stable_core_sd.samplers import SAMPLES, Denoise, Step
from stable_core_sd.schedules import SigmaTable, run_sigmas


@dataclass(frozen=True)
class SamplingPlan:
    """What one pass does.

    Attributes:
        sigmas: the falling noise levels that are walked, one more than there are steps.
    """

    sampler: Sampler
    sigmas: list[float]

    @property
    def steps(self) -> int:
        """Return how many steps are made."""
        return len(self.sigmas) - 1


def plan_sampling(params: RunParams, table: SigmaTable) -> SamplingPlan:
    """Return the plan of a pass that starts with pure noise."""
    sampler, scheduler = find_sampler(params.sampler), find_scheduler(params.scheduler)
    assert sampler is not None, params.sampler
    assert scheduler is not None, params.scheduler
    return SamplingPlan(sampler, run_sigmas(sampler, scheduler.name, params.steps, table))


def start_from_noise(plan: SamplingPlan, noise: ImageNoise) -> torch.Tensor:
    """Return the noisy latents that a pass starts with; DDIM's pure noise counts for more in terms of sigma."""
    sigma = plan.sigmas[0]
    return noise() * ((sigma**2 + 1) ** 0.5 if plan.sampler.walks_timesteps else sigma)


def sample(
    plan: SamplingPlan,
    denoise: Denoise,
    x: torch.Tensor,
    noise: ImageNoise,
    on_step: Callable[[int, Step], None] = lambda index, step: None,
) -> torch.Tensor:
    """Walk the plan from noisy latents `x`, (images, channels, height, width), and return clean ones.

    Args:
        denoise: guesses the clean latents.
        noise: draws for the samplers that add noise on the way.
        on_step: called after each step with its index; what it raises ends the pass.

    Raises:
        FloatingPointError: the model is broken, or 16 bits are too few for it.
    """
    steps: Iterator[Step] = SAMPLES[plan.sampler.label](denoise, x, plan.sigmas, noise)
    for index, step in enumerate(steps):
        x = step.x
        on_step(index, step)
    if not x.isfinite().all():
        raise FloatingPointError("The model made values that are no numbers; try the precision fp32 or bf16")
    return x
