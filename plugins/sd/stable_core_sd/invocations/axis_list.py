"""The axes of a plot that have a name, in the order clients offer them. What a value does to a run is in axes.

Source of the names and labels: A1111 1.10, X/Y/Z plot.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from stable_core_sd.invocations.axis_values import AxisType, Value, format_value

Show = Literal["named", "bare", "file"]
Side = Literal["text", "image", "both"]

LOWEST_COST = 0.0


@dataclass(frozen=True)
class Axis:
    """One thing that can differ along a side of a plot.

    Attributes:
        knob: the place of the param it sets, `group.name` inside a group; empty for an axis with a rule of its own.
        side: whether it is for runs from text, from a picture, or both.
        cost: how slow a change is, 0 to 1; the axis with the highest one changes least often.
        show: how a label shows a value: with the name of the axis, alone, or as the last part of a path.
    """

    name: str
    type: AxisType
    knob: str = ""
    side: Side = "both"
    cost: float = LOWEST_COST
    show: Show = "named"

    def label(self, value: Value) -> str:
        """Return what the legend says of a value."""
        if self.type == "nothing":
            return ""
        text = format_value(value)
        if self.show == "named":
            return f"{self.name}: {text}"
        return PurePath(text).name if self.show == "file" else text


NOTHING = Axis("Nothing", "nothing")

AXES = (
    NOTHING,
    Axis("Seed", "int", "seed"),
    Axis("Var. seed", "int", "variation.seed"),
    Axis("Var. strength", "float", "variation.strength"),
    Axis("Steps", "int", "steps"),
    Axis("Hires steps", "int", "hires.steps", "text"),
    Axis("CFG Scale", "float", "cfg_scale"),
    Axis("Image CFG Scale", "float", "image_cfg_scale", "image"),
    Axis("Prompt S/R", "str", show="bare"),
    Axis("Prompt order", "permutations", show="bare"),
    Axis("Sampler", "str", "sampler", show="bare"),
    Axis("Hires sampler", "str", "hires.sampler", "text", show="bare"),
    Axis("Checkpoint name", "str", "checkpoint", cost=1.0, show="file"),
    Axis("Negative Guidance minimum sigma", "float", "guidance.skip_below_sigma"),
    Axis("Sigma Churn", "float", "noise.s_churn"),
    Axis("Sigma min", "float", "noise.s_tmin"),
    Axis("Sigma max", "float", "noise.s_tmax"),
    Axis("Sigma noise", "float", "noise.s_noise"),
    Axis("Schedule type", "str", "scheduler"),
    Axis("Schedule min sigma", "float", "schedule.sigma_min"),
    Axis("Schedule max sigma", "float", "schedule.sigma_max"),
    Axis("Schedule rho", "float", "schedule.rho"),
    Axis("Beta schedule alpha", "float", "schedule.beta_alpha"),
    Axis("Beta schedule beta", "float", "schedule.beta_beta"),
    Axis("Eta", "float", "noise.eta"),
    Axis("Clip skip", "int", "text.clip_skip"),
    Axis("Denoising", "float"),
    Axis("Initial noise multiplier", "float", "noise_multiplier", "image"),
    Axis("Extra noise", "float"),
    Axis("Hires upscaler", "str", "hires.upscaler", "text"),
    Axis("Cond. Image Mask Weight", "float", "inpaint.mask_weight", "image"),
    Axis("VAE", "str", "vae", cost=0.7),
    Axis("UniPC Order", "int", "unipc.order", cost=0.5),
    Axis("Face restore", "str", show="bare"),
    Axis("Token merging ratio", "float", "token_merging_ratio"),
    Axis("Token merging ratio high-res", "float", "hires.token_merging_ratio", "text"),
    Axis("Refiner checkpoint", "str", "refiner.checkpoint", show="file"),
    Axis("Refiner switch at", "float", "refiner.switch_at"),
    Axis("Styles", "str"),
    Axis("RNG source", "str", "noise.source"),
    Axis("Always discard next-to-last sigma", "str", "schedule.discard_next_to_last"),
    Axis("SGM noise multiplier", "str", "schedule.sgm_noise"),
    Axis("FP8 mode", "str", "fp8", cost=0.9),
    Axis("Size", "str"),
)
