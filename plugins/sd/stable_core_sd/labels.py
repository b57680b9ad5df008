"""The names of samplers and schedules as choices of a knob, and other names for them. What they mean is in names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from stable_core_sd.names import SAMPLERS, SCHEDULERS, find_scheduler, sampler_and_scheduler

SamplerLabel = Literal[
    "DPM++ 2M",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DPM++ 2M SDE Heun",
    "DPM++ 2S a",
    "DPM++ 3M SDE",
    "Euler a",
    "Euler",
    "LMS",
    "Heun",
    "DPM2",
    "DPM2 a",
    "DPM fast",
    "DPM adaptive",
    "Restart",
    "DDIM",
    "DDIM CFG++",
    "PLMS",
    "UniPC",
    "LCM",
    # Names of samplers together with their schedule, as older pictures and other programs have them.
    "DPM++ 2M Karras",
    "DPM++ SDE Karras",
    "DPM++ 2M SDE Karras",
    "DPM++ 2M SDE Exponential",
    "DPM++ 2M SDE Heun Karras",
    "DPM++ 2M SDE Heun Exponential",
    "DPM++ 2S a Karras",
    "DPM++ 3M SDE Karras",
    "DPM++ 3M SDE Exponential",
    "LMS Karras",
    "DPM2 Karras",
    "DPM2 a Karras",
]
SchedulerLabel = Literal[
    "Automatic",
    "Uniform",
    "Karras",
    "Exponential",
    "Polyexponential",
    "SGM Uniform",
    "KL Optimal",
    "Align Your Steps",
    "Simple",
    "Normal",
    "DDIM",
    "Beta",
]


class OtherNames:
    """Adds other names of the choices to the JSON Schema of a knob; the core puts the choices in their place."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Take the choices by their other names, which are in lower case."""
        self._names = dict(names)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "x-ui": {"aliases": self._names}}


_SAMPLER_NAMES = {
    **{alias: sampler.label for sampler in SAMPLERS for alias in sampler.aliases},
    **{label.lower(): label for label in get_args(SamplerLabel)},
}
_SCHEDULER_NAMES = {
    name: scheduler.label
    for scheduler in SCHEDULERS
    for name in (scheduler.name, *scheduler.aliases, scheduler.label.lower())
}
SamplerName = Annotated[SamplerLabel, OtherNames(_SAMPLER_NAMES)]
SchedulerName = Annotated[SchedulerLabel, OtherNames(_SCHEDULER_NAMES)]
OwnSamplerName = Annotated[SamplerLabel | Literal[""], OtherNames(_SAMPLER_NAMES)]
OwnSchedulerName = Annotated[SchedulerLabel | Literal[""], OtherNames(_SCHEDULER_NAMES)]
"""Those of a second pass, where an empty text means the first's."""


def with_labels(values: Any, sampler: str, scheduler: str) -> Any:
    """Return params with the labels of the sampler and the scheduler they mean; what cannot be read stays as it is.

    Aliases, any case, and names that hold the schedule too are taken: `DPM++ 2M Karras`.

    Args:
        sampler, scheduler: what holds where `values` has none.
    """
    if not isinstance(values, dict):
        return values
    names = values.get("sampler", sampler), values.get("scheduler", scheduler)
    if not all(isinstance(name, str) for name in names) or (names[1] and find_scheduler(names[1]) is None):
        return values
    names = names[0] or sampler, names[1]
    if not names[0]:  # that of the first pass
        known = find_scheduler(names[1])
        return {**values, "scheduler": known.label} if known and names[1] else values
    labels = sampler_and_scheduler(*names, convert_automatic=False)
    if labels is None:
        return values
    is_default = not names[1] and labels[1] == "Automatic"
    return {**values, "sampler": labels[0], "scheduler": names[1] if is_default else labels[1]}
