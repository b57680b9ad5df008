"""The samplers and noise schedules by name, with A1111's labels, aliases and flags. The mathematics is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CHURN = frozenset({"s_churn", "s_tmin", "s_tmax", "s_noise"})
"""The options of samplers that can add noise before each step."""


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
        chooses_sigmas: it goes from the highest to the lowest noise level by steps of its own.
        is_adaptive: its steps depend on the picture, so each picture of a batch has to be made on its own.
        is_brownian: its noise comes from one Brownian path per picture and not from fresh draws.
        uses_ensd: A1111 writes the seed delta of its noise into pictures (ENSD).
        takes: the names of the options of `NoiseParams` that its function has.
        guidance: a factor on the CFG scale.
        needs_unconditional: its function takes the guess for the negative prompt too.
        is_consistency: it takes the 50 noise levels and the boundary scaling of latent consistency models.
    """

    label: str
    aliases: tuple[str, ...]
    scheduler: str = "uniform"
    is_second_order: bool = False
    discards_next_to_last_sigma: bool = False
    walks_timesteps: bool = False
    chooses_sigmas: bool = False
    is_adaptive: bool = False
    is_brownian: bool = False
    uses_ensd: bool = False
    takes: frozenset[str] = frozenset()
    guidance: float = 1.0
    needs_unconditional: bool = False
    is_consistency: bool = False

    @property
    def default_eta(self) -> float:
        """Return the share of fresh noise if nobody asks for one: DDIM adds none, ancestral samplers all."""
        return 0.0 if self.walks_timesteps else 1.0


@dataclass(frozen=True)
class Scheduler:
    """One spacing of the noise levels.

    Attributes:
        default_rho: what its curvature is if nobody asks for another; None if it has none.
    """

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    default_rho: float | None = None


_ETA, _ETA_AND_NOISE = frozenset({"eta"}), frozenset({"eta", "s_noise"})

SAMPLERS = (
    Sampler("DPM++ 2M", ("k_dpmpp_2m",), "karras"),
    Sampler("DPM++ SDE", ("k_dpmpp_sde",), "karras", is_second_order=True, is_brownian=True, takes=_ETA_AND_NOISE),
    Sampler("DPM++ 2M SDE", ("k_dpmpp_2m_sde",), "exponential", is_brownian=True, takes=_ETA_AND_NOISE),
    Sampler("DPM++ 2M SDE Heun", ("k_dpmpp_2m_sde_heun",), "exponential", is_brownian=True, takes=_ETA_AND_NOISE),
    Sampler("DPM++ 2S a", ("k_dpmpp_2s_a",), "karras", is_second_order=True, uses_ensd=True, takes=_ETA_AND_NOISE),
    Sampler(
        "DPM++ 3M SDE",
        ("k_dpmpp_3m_sde",),
        "exponential",
        discards_next_to_last_sigma=True,
        is_brownian=True,
        takes=_ETA_AND_NOISE,
    ),
    Sampler("Euler a", ("k_euler_a", "k_euler_ancestral"), uses_ensd=True, takes=_ETA),
    Sampler("Euler", ("k_euler",), takes=CHURN),
    Sampler("LMS", ("k_lms",)),
    Sampler("Heun", ("k_heun",), is_second_order=True, takes=CHURN),
    Sampler("DPM2", ("k_dpm_2",), "karras", is_second_order=True, discards_next_to_last_sigma=True, takes=CHURN),
    Sampler(
        "DPM2 a",
        ("k_dpm_2_a",),
        "karras",
        is_second_order=True,
        discards_next_to_last_sigma=True,
        uses_ensd=True,
        takes=_ETA_AND_NOISE,
    ),
    Sampler("DPM fast", ("k_dpm_fast",), chooses_sigmas=True, uses_ensd=True, takes=_ETA_AND_NOISE),
    Sampler("DPM adaptive", ("k_dpm_ad",), chooses_sigmas=True, is_adaptive=True, uses_ensd=True, takes=_ETA),
    Sampler("Restart", ("restart",), "karras", is_second_order=True),
    Sampler("DDIM", ("ddim",), walks_timesteps=True, takes=_ETA),
    Sampler(
        "DDIM CFG++", ("ddim_cfgpp",), walks_timesteps=True, takes=_ETA, guidance=1 / 12.5, needs_unconditional=True
    ),
    Sampler("PLMS", ("plms",), walks_timesteps=True),
    Sampler("UniPC", ("unipc",), walks_timesteps=True),
    Sampler("LCM", ("k_lcm",), is_consistency=True),
)

SCHEDULERS = (
    Scheduler("automatic", "Automatic"),
    Scheduler("uniform", "Uniform"),
    Scheduler("karras", "Karras", default_rho=7.0),
    Scheduler("exponential", "Exponential"),
    Scheduler("polyexponential", "Polyexponential", default_rho=1.0),
    Scheduler("sgm_uniform", "SGM Uniform", ("sgmuniform",)),
    Scheduler("kl_optimal", "KL Optimal"),
    Scheduler("align_your_steps", "Align Your Steps"),
    Scheduler("simple", "Simple"),
    Scheduler("normal", "Normal"),
    Scheduler("ddim", "DDIM"),
    Scheduler("beta", "Beta"),
)

SAME_SAMPLER, SAME_SCHEDULER = "Use same sampler", "Use same scheduler"
"""What the generation data says where the second pass of a run has nothing of its own."""


def find_sampler(name: str) -> Sampler | None:
    """Return the sampler with this label or alias, in any case."""
    wanted = name.strip().lower()
    return next((one for one in SAMPLERS if wanted == one.label.lower() or wanted in one.aliases), None)


def find_scheduler(name: str) -> Scheduler | None:
    """Return the noise schedule with this name, label or alias, in any case."""
    wanted = name.strip().lower()
    return next((one for one in SCHEDULERS if wanted in _scheduler_names(one)), None)


def sampler_and_scheduler(
    sampler: str | None, scheduler: str | None = None, convert_automatic: bool = True
) -> tuple[str, str] | None:
    """Return the labels that a request means, splitting names like `DPM++ 2M Karras`; None for an unknown sampler.

    No sampler is the first in the list. A schedule inside the sampler's name wins over `scheduler`; an unknown
    `scheduler` is `Automatic`. With `convert_automatic`, the schedule that the sampler takes by itself is called
    `Automatic` too.

    Source: A1111 1.10, `get_sampler_and_scheduler`; here the longest suffix wins and names ignore case.
    """
    sampler = sampler or SAMPLERS[0].label
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


def hires_sampler_and_scheduler(pairs: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the sampler and schedule of the second pass, as read from generation data; None for an unknown sampler.

    The sampler is `Use same sampler` where it is the one that the data names for the first pass.

    Source: A1111 1.10, `get_hr_sampler_and_scheduler`.
    """
    sampler, scheduler = pairs.get("Hires sampler", SAME_SAMPLER), pairs.get("Hires schedule type", SAME_SCHEDULER)
    found = sampler_and_scheduler(
        pairs.get("Sampler") if sampler == SAME_SAMPLER else sampler,
        pairs.get("Schedule type") if scheduler == SAME_SCHEDULER else scheduler,
    )
    if found is None:
        return None
    return (SAME_SAMPLER if found[0] == pairs.get("Sampler") else found[0]), found[1]


def _scheduler_names(scheduler: Scheduler) -> tuple[str, ...]:
    return (scheduler.label.lower(), scheduler.name, *scheduler.aliases)
