"""The knobs of the jobs that list, merge and choose models. It imports no torch and computes nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from stable_core.sdk import Field, ModelFile, Params, Seed

Checkpoint = Annotated[str, ModelFile("checkpoints")]
MergeMethod = Literal["Weighted sum", "Add difference", "No interpolation"]
ConfigSource = Literal["A, B or C", "B", "C", "Don't"]
CONFIG_SOURCES: tuple[ConfigSource, ...] = get_args(ConfigSource)


class MergeParams(Params):
    """The knobs of a merge."""

    primary: Checkpoint = Field(title="Model A", group="Models", description="The model that is changed")
    secondary: Checkpoint = Field(default="", title="Model B", group="Models", description="What is mixed into it")
    tertiary: Checkpoint = Field(
        default="",
        title="Model C",
        group="Models",
        depends={"method": "Add difference"},
        description="What B was made from: the difference between the two is added to A",
    )
    method: MergeMethod = Field(
        default="Weighted sum",
        description="Weighted sum: A * (1 - M) + B * M; Add difference: A + (B - C) * M; No interpolation converts A",
    )
    multiplier: float = Field(
        default=0.3, ge=0, le=1, component="slider", description="How much of B, or of the difference, gets in"
    )
    name: str = Field(
        default="", group="Output", description="File name of the result; empty makes one from the recipe"
    )
    format: Literal["safetensors", "ckpt"] = Field(
        default="safetensors", group="Output", description="File format; metadata need safetensors"
    )
    save_as_half: bool = Field(default=False, title="Save as float16", group="Output", description="Half as large")
    vae: Annotated[str, ModelFile("vae")] = Field(
        default="", title="Bake in VAE", group="Output", description="A VAE to put into the result; empty keeps A's"
    )
    discard_weights: str = Field(
        default="",
        advanced=True,
        group="Output",
        description="Leave out weights whose names match this regular expression, such as ^model_ema",
    )
    config_source: ConfigSource = Field(
        default="A, B or C", advanced=True, group="Output", description="Whose .yaml file is copied to the result"
    )
    save_metadata: bool = Field(default=True, advanced=True, group="Metadata", description="Write metadata at all")
    add_merge_recipe: bool = Field(
        default=True, advanced=True, group="Metadata", description="Write how the result was made"
    )
    copy_metadata_fields: bool = Field(
        default=True, advanced=True, group="Metadata", description="Copy the metadata of A, then B, then C"
    )
    metadata: str = Field(
        default="{}",
        component="textarea",
        advanced=True,
        group="Metadata",
        description="More metadata as a JSON object; it counts over what is copied",
    )
    overwrite: bool = Field(default=False, group="Output", description="Replace a file of that name")


class CheckpointsParams(Params):
    """The knobs of the list of checkpoints."""

    find_hashes: bool = Field(
        default=False, description="Read every file whose hash is not known yet; the first time it takes long"
    )


class CheckpointInfoParams(Params):
    """The knobs of the facts about a checkpoint."""

    checkpoint: Checkpoint = Field(default="nano", description="The model to look at")


class DiffusersParams(Params):
    """The knobs that most pipelines of diffusers share; all others go into `arguments`."""

    model: Checkpoint = Field(default="nano", description="A folder of any text-to-image pipeline of diffusers")
    negative_prompt: str = Field(
        default="", component="textarea", group="Prompt", description="What the picture should not show, if it can"
    )
    steps: int = Field(default=20, ge=1, le=1000, component="slider", description="Denoising steps")
    seed: Seed = Field(default=-1, description="The same seed makes the same picture again; -1 takes a random one")
    width: int = Field(default=0, ge=0, le=8192, unit="px", group="Size", description="0 is the pipeline's own width")
    height: int = Field(default=0, ge=0, le=8192, unit="px", group="Size", description="0 is the pipeline's own height")
    batch_size: int = Field(default=1, ge=1, le=64, group="Size", description="Pictures made at once")
    arguments: dict[str, Any] = Field(
        default={},
        description="More arguments of the pipeline's call, such as guidance_scale; sd.diffusers_schema lists them",
    )


class DiffusersSchemaParams(Params):
    """The knobs of the description of a pipeline."""

    model: Checkpoint = Field(default="nano", description="A folder of any text-to-image pipeline of diffusers")
