"""How strongly the prompt counts against the negative prompt, call by call. The texts are not here, nor the model."""

from __future__ import annotations

from dataclasses import dataclass

from stable_core_sd.params import RunParams
from stable_core_sd.sampling import SamplingPlan


@dataclass(frozen=True)
class Guidance:
    """The guidance of one pass.

    Attributes:
        scale: 1 takes the prompt's guess, 0 that of the negative prompt; above 1 goes past the prompt.
        skip_below_sigma: below this noise level every second call does without the negative prompt.
        skip_early: the share of the first calls that do without it.
        calls: how many calls the pass will probably make.
        walks_timesteps: the sampler counts in timesteps, and so, in the original, does `skip_below_sigma` then.

    Source: for the limits, Kynkäänniemi et al. 2024, https://arxiv.org/abs/2404.07724; as A1111 1.10 draws them.
    """

    scale: float
    skip_below_sigma: float = 0.0
    skip_early: float = 0.0
    calls: int = 1
    walks_timesteps: bool = False

    def does_without_negative(self, call: int, sigma: float, timestep: float) -> bool:
        """Tell whether the call with this number, from 0, at this noise level leaves the negative prompt out."""
        if self.skip_early and call / self.calls <= self.skip_early:
            return True
        return call % 2 == 1 and (timestep if self.walks_timesteps else sigma) < self.skip_below_sigma


def plan_guidance(params: RunParams, plan: SamplingPlan) -> Guidance:
    """Return the guidance of a pass with the knobs of a run."""
    return Guidance(
        params.cfg_scale * plan.sampler.guidance,
        params.guidance.skip_below_sigma,
        params.guidance.skip_early,
        plan.calls,
        plan.sampler.walks_timesteps,
    )
