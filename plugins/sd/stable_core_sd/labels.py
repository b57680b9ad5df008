"""The names of samplers and schedules as choices of a knob, and other names for them. What they mean is in names."""

from __future__ import annotations

from typing import Any, Literal

from stable_core_sd.names import find_scheduler, sampler_and_scheduler

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
