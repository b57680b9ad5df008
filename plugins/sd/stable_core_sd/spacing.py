"""The noise levels of a run: a schedule by name, with the knobs that bend it. The formulas are in schedules."""

from __future__ import annotations

from stable_core_sd.names import Sampler, find_scheduler
from stable_core_sd.params_sampling import ScheduleParams
from stable_core_sd.schedules import SCHEDULES, SigmaTable

OLD_KARRAS_RANGE = (0.1, 10.0)


def run_sigmas(
    sampler: Sampler,
    scheduler: str,
    steps: int,
    table: SigmaTable,
    spacing: ScheduleParams | None = None,
    is_xl: bool = False,
) -> list[float]:
    """Return the falling sigmas of one run: one more than it has steps.

    Args:
        scheduler: the name of a noise schedule; `automatic` is the one that suits the sampler.
        is_xl: the model is a Stable Diffusion XL, for which Align Your Steps has numbers of its own.
    """
    spacing = spacing or ScheduleParams()
    name = sampler.scheduler if scheduler == "automatic" else scheduler
    options: dict[str, float] = {}
    if spacing.rho and _default_rho(name) is not None:
        options["rho"] = spacing.rho
    if name == "beta":
        options = {"alpha": spacing.beta_alpha, "beta": spacing.beta_beta}
    if name == "align_your_steps":
        options["is_xl"] = is_xl
    discards = sampler.discards_next_to_last_sigma or spacing.discard_next_to_last
    sigma_range = _sigma_range(name, scheduler == "automatic", table, spacing)
    sigmas = SCHEDULES[name](steps + discards, table, *sigma_range, **options)
    return sigmas[:-2] + sigmas[-1:] if discards else sigmas


def spacing_facts(sampler: Sampler, scheduler: str, table: SigmaTable, spacing: ScheduleParams) -> dict[str, object]:
    """Return what the generation data says of a spacing that is not the usual one, in A1111's words."""
    name = sampler.scheduler if scheduler == "automatic" else scheduler
    facts: dict[str, object] = {}
    if spacing.discard_next_to_last and not sampler.discards_next_to_last_sigma:
        facts["Discard penultimate sigma"] = True
    if name == "uniform":
        return facts
    if spacing.sigma_min not in {0, table.sigma_min}:
        facts["Schedule min sigma"] = spacing.sigma_min
    if spacing.sigma_max not in {0, table.sigma_max}:
        facts["Schedule max sigma"] = spacing.sigma_max
    if spacing.rho and _default_rho(name) not in {None, spacing.rho}:
        facts["Schedule rho"] = spacing.rho
    if name == "beta":
        facts |= {"Beta schedule alpha": spacing.beta_alpha, "Beta schedule beta": spacing.beta_beta}
    return facts


def _sigma_range(name: str, is_automatic: bool, table: SigmaTable, spacing: ScheduleParams) -> tuple[float, float]:
    """Return the lowest and the highest sigma; an exponential schedule that nobody chose never had the old range."""
    is_old = spacing.old_karras and (name == "karras" or not is_automatic)
    low, high = OLD_KARRAS_RANGE if is_old else (table.sigma_min, table.sigma_max)
    return spacing.sigma_min or low, spacing.sigma_max or high


def _default_rho(name: str) -> float | None:
    scheduler = find_scheduler(name)
    return scheduler.default_rho if scheduler else None
