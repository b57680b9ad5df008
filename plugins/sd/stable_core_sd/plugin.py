"""The announcement of the sd plugin: its jobs and their knobs. It imports no torch; the jobs do, through the engine."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import model_validator

from stable_core.sdk import Field, Image, ModelFile, Params, Plugin, Progress, Seed, Text
from stable_core_sd.names import find_scheduler, sampler_and_scheduler

SamplerLabel = Literal[
    "DPM++ 2M",
    "DPM++ 2S a",
    "Euler a",
    "Euler",
    "LMS",
    "Heun",
    "DPM2",
    "DPM2 a",
    "DDIM",
    # Names of samplers together with their schedule, as older pictures and other programs have them.
    "DPM++ 2M Karras",
    "DPM++ 2S a Karras",
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
]


class SdSettings(Params):
    """What holds for all runs on this machine."""

    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto",
        description="Number format of the models: auto is fp32 on a CPU and fp16 on a GPU; bf16 needs a newer GPU",
    )


plugin = Plugin("sd", settings=SdSettings, models=Path(__file__).parent / "models")


class Txt2ImgParams(Params):
    """The knobs of a text-to-image run."""

    negative_prompt: str = Field(
        default="", component="textarea", group="Prompt", description="What the picture should not show"
    )
    checkpoint: Annotated[str, ModelFile("checkpoints")] = Field(
        default="nano", description="The model that draws; nano comes with the plugin and draws simple shapes"
    )
    sampler: SamplerLabel = Field(
        default="DPM++ 2M", group="Sampling", description="How noise is turned into a picture; DPM++ 2M needs few steps"
    )
    scheduler: SchedulerLabel = Field(
        default="Automatic",
        title="Schedule type",
        group="Sampling",
        description="How the noise levels are spaced over the steps; Automatic takes what suits the sampler",
    )
    steps: int = Field(
        default=20,
        ge=1,
        le=150,
        component="slider",
        group="Sampling",
        description="Denoising steps: more are slower and, up to a point, finer",
    )
    cfg_scale: float = Field(
        default=5.0,
        ge=1,
        le=30,
        component="slider",
        title="CFG scale",
        group="Sampling",
        description="How closely the picture follows the prompt; 1 ignores the negative prompt and is twice as fast",
    )
    seed: Seed = Field(
        default=-1,
        ge=-1,
        component="seed",
        group="Sampling",
        description="The same seed makes the same picture again; -1 takes a random one",
    )
    width: int = Field(
        default=0,
        ge=0,
        le=4096,
        multiple_of=8,
        unit="px",
        group="Size",
        description="Width of the picture; 0 is the model's own size",
    )
    height: int = Field(
        default=0,
        ge=0,
        le=4096,
        multiple_of=8,
        unit="px",
        group="Size",
        description="Height of the picture; 0 is the model's own size",
    )
    batch_size: int = Field(
        default=1,
        ge=1,
        le=64,
        group="Size",
        description="Pictures made at once; the second has the next seed, and so on",
    )
    preview: bool = Field(
        default=True, advanced=True, group="Sampling", description="Show the picture while it takes shape"
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_other_names(cls, values: Any) -> Any:
        """Take a sampler's aliases, any case, and names that hold the schedule too: `DPM++ 2M Karras`."""
        if not isinstance(values, dict) or not isinstance(values.get("sampler", ""), str):
            return values
        sampler = values.get("sampler", cls.model_fields["sampler"].default)
        scheduler = values.get("scheduler", cls.model_fields["scheduler"].default)
        if not isinstance(scheduler, str) or find_scheduler(scheduler) is None:
            return values
        labels = sampler_and_scheduler(sampler, scheduler, convert_automatic=False)
        return {**values, "sampler": labels[0], "scheduler": labels[1]} if labels else values


@plugin.job
def txt2img(prompt: Text, params: Txt2ImgParams, progress: Progress) -> Iterator[Image]:
    """Make pictures from a text prompt."""
    progress(0, params.steps, "Starting PyTorch")
    yield from _engine().generate(prompt, params, progress, plugin.settings.precision)


@plugin.unload
def free_memory() -> None:
    """Give the memory of the loaded checkpoint back."""
    if "stable_core_sd.engine" in sys.modules:
        _engine().unload()


def _engine() -> ModuleType:
    """Import all that stands on PyTorch, after the settings that have to be there before it."""
    # OpenMP's threads wait in busy loops by default, which makes a run many times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return importlib.import_module("stable_core_sd.engine")
