"""The knobs of sampling, in groups that every run has: guidance, noise, its levels, seeds. It computes nothing."""

from __future__ import annotations

from typing import Annotated, Literal

from stable_core.sdk import Field, ModelFile, Params, Seed


class GuidanceParams(Params):
    """How the prompt and the negative prompt are weighed against each other."""

    skip_below_sigma: float = Field(
        default=0,
        ge=0,
        le=15,
        title="Negative guidance minimum sigma",
        description="Below this noise level the negative prompt is read at every second call only; 0 reads it always",
    )
    skip_early: float = Field(
        default=0, ge=0, le=1, description="Ignore the negative prompt for this share of the first steps"
    )
    pad_texts: bool = Field(
        default=False, description="Make prompt and negative prompt equally long, so that both run as one batch"
    )
    pad_texts_old: bool = Field(
        default=False, advanced=True, description="Fit the negative prompt to the length of the prompt, as before 1.6"
    )


class NoiseParams(Params):
    """Where random numbers come from and how much noise is added on the way."""

    source: Literal["CPU", "GPU", "NV"] = Field(
        default="CPU",
        description="CPU gives the same picture on every machine, GPU the device's own, NV that of an NVIDIA card",
    )
    eta: float | None = Field(
        default=None, ge=0, le=1, description="Share of fresh noise: empty is 1 for ancestral samplers and 0 for DDIM"
    )
    s_churn: float = Field(default=0, ge=0, le=100, title="Sigma churn", description="Noise added before each step")
    s_tmin: float = Field(default=0, ge=0, le=15, title="Sigma tmin", description="Churn only above this noise level")
    s_tmax: float = Field(
        default=0, ge=0, le=999, title="Sigma tmax", description="Churn only below this noise level; 0 is no limit"
    )
    s_noise: float = Field(default=1, ge=0, le=1.1, title="Sigma noise", description="Strength of the added noise")
    seed_delta: int = Field(
        default=0, title="Eta noise seed delta", description="Added to the seed for the noise of the steps (ENSD)"
    )


class ScheduleParams(Params):
    """The spacing of the noise levels, beyond its kind."""

    sigma_min: float = Field(default=0, ge=0, le=10, description="Lowest noise level; 0 is the model's own")
    sigma_max: float = Field(default=0, ge=0, le=100, description="Highest noise level; 0 is the model's own")
    rho: float = Field(
        default=0, ge=0, le=30, description="Curvature of Karras and Polyexponential; 0 is their default"
    )
    beta_alpha: float = Field(default=0.6, gt=0, le=10, description="First shape of the Beta schedule")
    beta_beta: float = Field(default=0.6, gt=0, le=10, description="Second shape of the Beta schedule")
    old_karras: bool = Field(default=False, advanced=True, description="Karras between 0.1 and 10, as in 2022")
    sgm_noise: bool = Field(default=False, advanced=True, description="Start with a little more noise, as SGM does")
    discard_next_to_last: bool = Field(
        default=False, advanced=True, description="Leave out the last noise level above 0 with every sampler"
    )
    whole_timesteps: bool = Field(
        default=False, advanced=True, description="Ask the model only about timesteps that it was trained on"
    )


class UniPCParams(Params):
    """The sampler UniPC alone."""

    variant: Literal["bh1", "bh2"] = Field(
        default="bh1", description="How a step weighs its guesses: bh1 suits few steps, bh2 strong guidance"
    )
    spacing: Literal["time_uniform", "time_quadratic", "logSNR"] = Field(
        default="time_uniform", description="How its timesteps are spaced"
    )
    order: int = Field(default=3, ge=1, le=50, description="Former guesses that a step looks at; lower is steadier")
    lower_order_final: bool = Field(default=True, description="Look at fewer former guesses in the last steps")


class VariationParams(Params):
    """A second seed, mixed in; or a seed used at another size."""

    # Not random by default as A1111's is: a run without a variation would be another one each time, and never cached.
    seed: Seed = Field(default=0, description="The seed of the variation; -1 takes a random one")
    strength: float = Field(
        default=0, ge=0, le=1, component="slider", description="0 is the picture of the seed, 1 nearly the variation's"
    )
    resize_from_width: int = Field(
        default=0, ge=0, le=4096, unit="px", description="Make a picture like that of the seed at this width; 0 is off"
    )
    resize_from_height: int = Field(
        default=0, ge=0, le=4096, unit="px", description="Make a picture like that of the seed at this height; 0 is off"
    )


class RefinerParams(Params):
    """A second model that makes the last steps, such as the refiner of Stable Diffusion XL."""

    checkpoint: Annotated[str, ModelFile("checkpoints")] = Field(
        default="", description="Model that takes over; empty is none"
    )
    switch_at: float = Field(
        default=0.8, gt=0, le=1, component="slider", description="Share of the noise that the first model removes"
    )
