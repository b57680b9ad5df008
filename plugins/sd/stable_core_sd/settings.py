"""The settings of the plugin: what holds for all runs on a machine. It imports no torch and computes nothing."""

from __future__ import annotations

from typing import Literal

from stable_core.sdk import Field, Params


class SdSettings(Params):
    """What holds for all runs on this machine."""

    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto",
        description="Number format of the models: auto is fp32 on a CPU and fp16 on a GPU; bf16 needs a newer GPU",
    )
    checkpoints_in_memory: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Checkpoints that stay in main memory, so that changing back to one takes no time",
    )
