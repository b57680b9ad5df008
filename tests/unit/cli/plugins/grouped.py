"""A plugin for tests whose knobs stand in groups, and groups in groups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import WithJsonSchema

from stable_core.sdk import Data, Field, Params, Plugin

plugin = Plugin("grouped")


NAMES = {"enum": ["Euler", "Euler a"], "type": "string", "x-ui": {"aliases": {"k_euler_a": "Euler a"}}}
SamplerName = Annotated[Literal["Euler", "Euler a"], WithJsonSchema(NAMES)]


class Mask(Params):
    blur: int = Field(default=4, ge=0, le=64)


class Hires(Params):
    """A second pass."""

    scale: float = Field(default=2, ge=1, le=4, description="How much larger")
    upscaler: Literal["Latent", "Lanczos"] = Field(default="Latent")
    is_tiled: bool = Field(default=True)
    mask: Mask = Field(default=Mask())


class GroupedParams(Params):
    steps: int = Field(default=20, ge=1, group="Sampling")
    sampler: SamplerName = Field(default="Euler", group="Sampling")
    hires: Hires = Field(default=Hires(is_tiled=False), description="Enlarge it")
    refiner: Hires | None = Field(default=None)
    sizes: list[int] = Field(default=[1])
    clip_skip: int | None = Field(default=None, ge=1)


@plugin.job
def show(params: GroupedParams) -> Data:
    """Return the params."""
    return Data(params.model_dump(mode="json"))
