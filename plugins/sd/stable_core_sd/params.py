"""The knobs of a run, one small class per feature, nested in the params of the jobs. Descriptions are the tooltips.

It imports no torch and computes nothing: what a knob does is known to the module of its feature. The groups about
sampling are in params_sampling.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import model_validator

from stable_core.sdk import Field, ModelFile, Params, Seed
from stable_core_sd.counted import NegativePrompt, Prompt
from stable_core_sd.labels import OwnSamplerName, OwnSchedulerName, SamplerName, SchedulerName, with_labels
from stable_core_sd.params_faces import FACE_FOLDERS, FaceParams
from stable_core_sd.params_sampling import (
    GuidanceParams,
    NoiseParams,
    RefinerParams,
    ScheduleParams,
    UniPCParams,
    VariationParams,
)
from stable_core_sd.steps import picture_steps

NAMED_IN_PROMPTS = ("loras", "embeddings", "hypernetworks", "styles.csv", "styles", "../styles.csv")
"""What a prompt or a list of styles may name, below the models folders: when it changes, pictures are made again."""


class TextParams(Params):
    """How prompts are read."""

    clip_skip: int = Field(
        default=1, ge=1, le=12, description="Stop this many layers before the end of the text encoder; 1 uses all"
    )
    emphasis: Literal["Original", "No norm", "Ignore", "None"] = Field(
        default="Original",
        description="What (word:1.2) does: Original keeps the mean of the text, No norm only multiplies, Ignore drops "
        "the weights, None takes brackets literally",
    )
    comma_backtrack: int = Field(
        default=20,
        ge=0,
        le=74,
        unit="tokens",
        advanced=True,
        description="A chunk of a long prompt may end at a comma this far back; 0 cuts anywhere",
    )
    one_chunk: bool = Field(
        default=False,
        advanced=True,
        description="Read as in early 2022: 75 tokens, the rest is cut off; each bracket weighs all that follows it",
    )
    comments: bool = Field(default=True, advanced=True, description="Leave out what follows a # in the prompt")
    old_editing: bool = Field(
        default=False, advanced=True, description="Read [from:to:0.5] as before 1.6: fractions below 1, same in hires"
    )


class PreviewParams(Params):
    """How a picture is shown while it takes shape."""

    method: Literal["Approximate", "Approx NN", "TAESD", "Full"] = Field(
        default="Approximate",
        description="Approximate costs nothing; Approx NN and TAESD take weights in models/vae_approx, Full the VAE",
    )
    content: Literal["Combined", "Prompt", "Negative prompt"] = Field(
        default="Combined",
        title="Live preview of",
        advanced=True,
        description="What both prompts together lead to, or what the prompt or the negative prompt alone would",
    )
    every: int = Field(default=1, ge=1, le=150, unit="steps", description="Show one after every so many steps")
    whole_batch: bool = Field(default=True, description="Show all pictures of the batch and not only the first")


class EachParams(Params):
    """Own values for every picture of a run; the run ends with the shortest list, an empty one counts for nothing."""

    prompts: list[str] = Field(default=[], description="The prompt of each picture, instead of the one")
    negative_prompts: list[str] = Field(default=[], description="The negative prompt of each picture")
    seeds: list[Annotated[int, pydantic.Field(ge=0)]] = Field(default=[], description="The seed of each picture")
    variation_seeds: list[Annotated[int, pydantic.Field(ge=0)]] = Field(
        default=[], description="The seed of the variation of each picture"
    )


class RunParams(Params):
    """The knobs that every run has, from text or from a picture."""

    model_config = pydantic.ConfigDict(json_schema_extra={"x-models": [*NAMED_IN_PROMPTS, *FACE_FOLDERS]})

    negative_prompt: NegativePrompt = Field(default="", group="Prompt", description="What the picture should not show")
    styles: list[str] = Field(
        default=[], group="Prompt", description="Names of styles that are added to both prompts; sd.styles lists them"
    )
    checkpoint: Annotated[str, ModelFile("checkpoints")] = Field(
        default="nano", description="The model that draws; nano comes with the plugin and draws simple shapes"
    )
    vae: Annotated[str, ModelFile("vae")] = Field(
        default="Automatic",
        title="VAE",
        advanced=True,
        examples=["Automatic", "None"],
        description="What turns latents into pictures: Automatic takes a file named like the checkpoint, None its own",
    )
    fp8: Literal["As set", "Disable", "Enable for SDXL", "Enable"] = Field(
        default="As set",
        title="FP8 weight",
        advanced=True,
        description="Keep the weights in 8 bits: half the memory of fp16, and a picture that differs a little",
    )
    sampler: SamplerName = Field(
        default="DPM++ 2M", group="Sampling", description="How noise is turned into a picture; DPM++ 2M needs few steps"
    )
    scheduler: SchedulerName = Field(
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
    batch_count: int = Field(
        default=1, ge=1, le=1000, group="Size", description="How many batches are made, one after the other"
    )
    tiling: bool = Field(
        default=False, group="Sampling", description="Make a picture whose edges fit each other, like a texture"
    )
    restore_faces: bool = Field(
        default=False, group="Output", description="Find faces in the finished picture and draw them anew, more clearly"
    )
    faces: FaceParams = Field(
        default=FaceParams(), depends={"restore_faces": True}, description="How faces are restored"
    )
    token_merging_ratio: float = Field(
        default=0,
        ge=0,
        le=0.9,
        component="slider",
        advanced=True,
        group="Sampling",
        description="Share of alike tokens that attention takes together: faster, less exact; 0 is off, 0.75 the most",
    )
    preview: bool = Field(
        default=True, advanced=True, group="Sampling", description="Show the picture while it takes shape"
    )
    previews: PreviewParams = Field(
        default=PreviewParams(), advanced=True, description="How it is shown while it takes shape"
    )
    grid: bool = Field(
        default=False, group="Output", description="Return a sheet of all pictures too, after the last one"
    )
    save_parameters: bool = Field(
        default=True, advanced=True, group="Output", description="Write the generation data into the picture"
    )
    more_parameters: dict[str, str] = Field(
        default={}, advanced=True, group="Output", description="What else is written into the generation data"
    )
    text: TextParams = Field(default=TextParams(), advanced=True, description="How prompts are read")
    guidance: GuidanceParams = Field(
        default=GuidanceParams(), advanced=True, description="How the two prompts are weighed"
    )
    noise: NoiseParams = Field(default=NoiseParams(), advanced=True, description="Random numbers and added noise")
    schedule: ScheduleParams = Field(default=ScheduleParams(), advanced=True, description="Spacing of the noise levels")
    unipc: UniPCParams = Field(default=UniPCParams(), advanced=True, description="The sampler UniPC alone")
    refiner: RefinerParams = Field(
        default=RefinerParams(), advanced=True, description="A second model for the last steps"
    )
    variation: VariationParams = Field(default=VariationParams(), description="A second seed, mixed in")
    each: EachParams = Field(default=EachParams(), advanced=True, description="Own values for every picture")

    @model_validator(mode="before")
    @classmethod
    def _accept_other_names(cls, values: Any) -> Any:
        return with_labels(values, cls.model_fields["sampler"].default, cls.model_fields["scheduler"].default)


UpscalerName = Annotated[str, ModelFile("upscale_models")]
UPSCALERS_WITHOUT_FILE = ["None", "Lanczos", "Nearest", "LDSR"]
"""Those that are no file among the upscale models."""

LATENT_UPSCALERS = (
    "Latent",
    "Latent (antialiased)",
    "Latent (bicubic)",
    "Latent (bicubic antialiased)",
    "Latent (nearest)",
    "Latent (nearest-exact)",
)


class HiresParams(Params):
    """A second pass that enlarges the picture and draws it again."""

    enabled: bool = Field(default=False, description="Make the picture, enlarge it and draw it again at that size")
    scale: float = Field(default=2.0, ge=1, le=8, component="slider", description="How much larger the picture gets")
    width: int = Field(default=0, ge=0, le=8192, unit="px", description="Width to reach instead; 0 follows the scale")
    height: int = Field(default=0, ge=0, le=8192, unit="px", description="Height to reach instead; 0 follows the scale")
    upscaler: UpscalerName = Field(
        default="Latent",
        examples=[*LATENT_UPSCALERS, *UPSCALERS_WITHOUT_FILE],
        description="What enlarges: the Latent kinds need a denoising strength above 0.5, the others keep the picture",
    )
    denoising_strength: float = Field(
        default=0.7, ge=0, le=1, component="slider", description="How much the second pass may change; 1 is everything"
    )
    steps: int = Field(default=0, ge=0, le=150, description="Steps of the second pass; 0 takes as many as the first")
    extra_noise: float = Field(
        default=0,
        ge=0,
        le=1,
        advanced=True,
        description="More noise on the enlarged picture, for more detail; 0 is off",
    )
    size_is_target: bool = Field(
        default=False,
        advanced=True,
        description="Width and height are those of the finished picture, as until 2022; the first pass is smaller",
    )
    sampler: OwnSamplerName = Field(
        default="", advanced=True, description="Sampler of the second pass; empty is the first's"
    )
    scheduler: OwnSchedulerName = Field(
        default="", advanced=True, description="Schedule type of the second pass; empty is the first's"
    )
    checkpoint: Annotated[str, ModelFile("checkpoints")] = Field(
        default="", advanced=True, description="Model of the second pass; empty is the first's"
    )
    token_merging_ratio: float = Field(
        default=0, ge=0, le=0.9, advanced=True, description="That of the second pass; 0 is the first's"
    )
    prompt: Prompt = Field(default="", advanced=True, description="Prompt of the second pass; empty is the first's")
    negative_prompt: NegativePrompt = Field(
        default="",
        advanced=True,
        description="Negative prompt of the second pass; empty is the first's",
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_other_names(cls, values: Any) -> Any:
        return with_labels(values, "", "")


class Txt2ImgParams(RunParams):
    """The knobs of a run from text."""

    hires: HiresParams = Field(default=HiresParams(), description="Draw large pictures in two passes")

    @property
    def total_steps(self) -> int:
        """Return the steps of all passes of all batches."""
        return self.batch_count * (self.steps + (self.hires.steps or self.steps) * self.hires.enabled)


class InpaintParams(Params):
    """What happens to the masked part of a picture."""

    mask_blur_x: int = Field(default=4, ge=0, le=64, unit="px", description="Softness of the mask sideways")
    mask_blur_y: int = Field(default=4, ge=0, le=64, unit="px", description="Softness of the mask up and down")
    invert: bool = Field(default=False, description="Change what is not masked")
    fill: Literal["fill", "original", "latent noise", "latent nothing"] = Field(
        default="original",
        title="Masked content",
        description="What is under the mask at the start: smeared surroundings, the picture, noise, or nothing",
    )
    area: Literal["Whole picture", "Only masked"] = Field(
        default="Whole picture", title="Inpaint area", description="Only masked draws that part alone, at full size"
    )
    padding: int = Field(
        default=32, ge=0, le=256, unit="px", description="Surroundings that are looked at with Only masked"
    )
    mask_weight: float = Field(
        default=1.0, ge=0, le=1, advanced=True, description="How strictly an inpainting model hides what is masked"
    )
    overlay: bool = Field(
        default=True, advanced=True, description="Put the original back over everything that is not masked"
    )
    round_mask: bool = Field(default=True, advanced=True, description="The mask of latent pixels is either on or off")
    return_mask: bool = Field(default=False, advanced=True, description="Return the mask after each picture")
    return_composite: bool = Field(
        default=False, advanced=True, description="Return what was drawn alone, on nothing, after each picture"
    )


class Img2ImgParams(RunParams):
    """The knobs of a run from a picture."""

    width: int = Field(
        default=0,
        ge=0,
        le=4096,
        multiple_of=8,
        unit="px",
        group="Size",
        description="Width of the result; 0 is the picture's own, or the model's where only the masked part is drawn",
    )
    height: int = Field(
        default=0,
        ge=0,
        le=4096,
        multiple_of=8,
        unit="px",
        group="Size",
        description="Height of the result; 0 is the picture's own, or the model's where only the masked part is drawn",
    )

    denoising_strength: float = Field(
        default=0.75,
        ge=0,
        le=1,
        component="slider",
        group="Sampling",
        description="How much may change: 0.2 keeps the picture, 0.9 keeps hardly more than its colours",
    )
    resize_mode: Literal["Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)"] = Field(
        default="Just resize", group="Size", description="How the picture is brought to the size"
    )
    upscaler: UpscalerName = Field(
        default="None",
        examples=UPSCALERS_WITHOUT_FILE,
        advanced=True,
        group="Size",
        description="What enlarges a picture that is smaller than the run, before it is resampled to the size",
    )
    image_cfg_scale: float = Field(
        default=1.5,
        ge=0,
        le=30,
        title="Image CFG scale",
        advanced=True,
        group="Sampling",
        description="How closely an instruct-pix2pix model follows the picture",
    )
    exact_steps: bool = Field(
        default=False, advanced=True, group="Sampling", description="Do all steps whatever the denoising strength"
    )
    noise_multiplier: float = Field(
        default=1, ge=0, le=1.5, advanced=True, group="Sampling", description="Strength of the noise put on the picture"
    )
    extra_noise: float = Field(
        default=0, ge=0, le=1, advanced=True, group="Sampling", description="More of the same noise, for more detail"
    )
    color_correction: bool = Field(
        default=False, group="Output", description="Give the result the colours of the picture"
    )
    background: str = Field(
        default="#ffffff",
        pattern="^#([0-9a-fA-F]{3}){1,2}$",
        component="color",
        advanced=True,
        group="Output",
        description="What transparency is laid on",
    )
    inpaint: InpaintParams = Field(default=InpaintParams(), description="What happens to the masked part")

    @property
    def total_steps(self) -> int:
        """Return the steps of all batches."""
        return self.batch_count * (picture_steps(self.steps, self.denoising_strength, self.exact_steps).done + 1)
