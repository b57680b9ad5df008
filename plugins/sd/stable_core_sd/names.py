"""The samplers and noise schedules by name, with A1111's labels, aliases and flags. The mathematics is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampler:
    """One way to walk from noise to a picture.

    Attributes:
        label: the name A1111 shows and writes into pictures.
        aliases: other names it goes by, lower case.
        scheduler: the name of the noise schedule that `Automatic` means.
        is_second_order: two model calls per step.
        discards_next_to_last_sigma: the schedule is made one step longer, then its last sigma above 0 is dropped.
        walks_timesteps: it takes whole timesteps of the training schedule (DDIM) and ignores the noise schedule.
    """

    label: str
    aliases: tuple[str, ...]
    scheduler: str = "uniform"
    is_second_order: bool = False
    discards_next_to_last_sigma: bool = False
    walks_timesteps: bool = False


@dataclass(frozen=True)
class Scheduler:
    """One spacing of the noise levels."""

    name: str
    label: str
    aliases: tuple[str, ...] = ()


SAMPLERS = (
    Sampler("DPM++ 2M", ("k_dpmpp_2m",), scheduler="karras"),
    Sampler("DPM++ 2S a", ("k_dpmpp_2s_a",), scheduler="karras", is_second_order=True),
    Sampler("Euler a", ("k_euler_a", "k_euler_ancestral")),
    Sampler("Euler", ("k_euler",)),
    Sampler("LMS", ("k_lms",)),
    Sampler("Heun", ("k_heun",), is_second_order=True),
    Sampler("DPM2", ("k_dpm_2",), scheduler="karras", is_second_order=True, discards_next_to_last_sigma=True),
    Sampler("DPM2 a", ("k_dpm_2_a",), scheduler="karras", is_second_order=True, discards_next_to_last_sigma=True),
    Sampler("DDIM", ("ddim",), walks_timesteps=True),
)

SCHEDULERS = (
    Scheduler("automatic", "Automatic"),
    Scheduler("uniform", "Uniform"),
    Scheduler("karras", "Karras"),
    Scheduler("exponential", "Exponential"),
    Scheduler("polyexponential", "Polyexponential"),
    Scheduler("sgm_uniform", "SGM Uniform", ("sgmuniform",)),
    Scheduler("kl_optimal", "KL Optimal"),
    Scheduler("align_your_steps", "Align Your Steps"),
    Scheduler("simple", "Simple"),
    Scheduler("normal", "Normal"),
    Scheduler("ddim", "DDIM"),
)


def find_sampler(name: str) -> Sampler | None:
    """Return the sampler with this label or alias, in any case."""
    wanted = name.strip().lower()
    return next((one for one in SAMPLERS if wanted == one.label.lower() or wanted in one.aliases), None)


def find_scheduler(name: str) -> Scheduler | None:
    """Return the noise schedule with this name, label or alias, in any case."""
    wanted = name.strip().lower()
    return next((one for one in SCHEDULERS if wanted in _scheduler_names(one)), None)


def sampler_and_scheduler(
    sampler: str, scheduler: str | None = None, convert_automatic: bool = True
) -> tuple[str, str] | None:
    """Return the labels that a request means, splitting names like `DPM++ 2M Karras`; None for an unknown sampler.

    A schedule inside the sampler's name wins over `scheduler`; an unknown `scheduler` is `Automatic`. With
    `convert_automatic`, the schedule that the sampler takes by itself is called `Automatic` too.

    Source: A1111 1.10, `get_sampler_and_scheduler`; here the longest suffix wins and names ignore case.
    """
    found, schedule = find_sampler(sampler), find_scheduler(scheduler or "automatic") or SCHEDULERS[0]
    if found is None:
        suffixes = sorted(
            ((name, one) for one in SCHEDULERS for name in _scheduler_names(one)), key=lambda pair: -len(pair[0])
        )
        text = sampler.strip().lower()
        for suffix, one in suffixes:
            if text.endswith(" " + suffix) and (found := find_sampler(text[: -len(suffix)])):
                schedule = one
                break
    if found is None:
        return None
    if convert_automatic and schedule.name == found.scheduler and found.scheduler != "uniform":
        schedule = SCHEDULERS[0]
    return found.label, schedule.label


def _scheduler_names(scheduler: Scheduler) -> tuple[str, ...]:
    return (scheduler.label.lower(), scheduler.name, *scheduler.aliases)
