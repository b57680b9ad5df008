"""The inputs and knobs of trainings. Descriptions are the tooltips; it imports no torch and trains nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from stable_core.sdk import Field, Image, ModelFile, Params, Seed, Text

NAME = r"^[A-Za-z0-9 ._-]+$"
"""What may be in the name of a file on every system and in a prompt."""


@dataclass
class TrainingPictures:
    """What is learnt from: pictures, and what each shows, for `[filewords]`."""

    images: list[Image] | None = None
    captions: list[Text] | None = None


class LearningParams(Params):
    """How fast is learnt, and from how many pictures at once."""

    batch_size: int = Field(default=1, ge=1, le=64, description="Pictures shown at once; more are steadier and slower")
    accumulate: int = Field(
        default=1, ge=1, le=256, description="Batches that count as one step, for the effect of a larger batch"
    )
    clip: Literal["none", "value", "norm"] = Field(
        default="none", description="Hold the gradient down: each of its values, or all of it together"
    )
    clip_at: str = Field(
        default="0.1", description="The most it may be; like the learn rate, also a list such as 1:100, 0.1"
    )
    latent_sampling: Literal["once", "deterministic", "random"] = Field(
        default="once",
        description="Which of the likely latents stands for a picture: one, the likeliest, always others",
    )
    noise_from: float = Field(
        default=0,
        ge=0,
        le=0.99,
        description="Show only pictures with more noise than this share of the levels: 0.5 learns how things look "
        "at large sooner, and no detail",
    )
    alpha_as_weight: bool = Field(
        default=False, description="Learn more from what is opaque, less from what is transparent"
    )


class WordsParams(Params):
    """The texts that are shown with the pictures."""

    templates: str = Field(
        default="",
        component="textarea",
        description="Texts, one a line, with [name] and [filewords]; empty takes those of the subject or style",
    )
    about: Literal["subject", "style"] = Field(
        default="subject", description="Which built-in templates: of a thing or person, or of a way of painting"
    )
    shuffle_tags: bool = Field(default=False, description="Put the tags in [filewords] in another order each time")
    tag_dropout: float = Field(default=0, ge=0, le=1, description="Leave out this share of the tags each time")


class FolderParams(Params):
    """A folder of pictures on this machine, in addition to those that are wired."""

    path: str = Field(default="", description="Folder with pictures; a .txt beside each one holds its [filewords]")
    words_pattern: str = Field(
        default="", advanced=True, description="Regular expression for what counts of a file's name as [filewords]"
    )
    words_joint: str = Field(default=" ", advanced=True, description="What the matches are joined with")


class ProgressParams(Params):
    """What is kept and shown on the way."""

    save_every: int = Field(default=100, ge=0, unit="steps", description="Keep a copy of what was learnt; 0 is never")
    preview_every: int = Field(default=100, ge=0, unit="steps", description="Draw a picture with it; 0 is never")
    cards: bool = Field(
        default=False, description="Put the embedding into these pictures, at their sides: cards that can be shared"
    )
    preview_prompt: str = Field(default="", description="What is drawn; empty is the first template")
    preview_seed: int = Field(default=0, ge=0, description="The seed of these pictures")


class TrainingParams(Params):
    """The knobs of every training."""

    name: str = Field(pattern=NAME, min_length=1, max_length=80, description="What prompts will call it")
    checkpoint: Annotated[str, ModelFile("checkpoints")] = Field(
        default="nano", description="The model it is trained with, and for its like"
    )
    vae: Annotated[str, ModelFile("vae")] = Field(
        default="Automatic",
        title="VAE",
        advanced=True,
        examples=["Automatic", "None"],
        description="What turns pictures into latents: Automatic takes a file named like the checkpoint, None its own",
    )
    steps: int = Field(default=1000, ge=1, le=1_000_000, description="How long; more steps go on from the last state")
    seed: Seed = Field(default=0, ge=0, description="The same seed learns the same")
    width: int = Field(
        default=0, ge=0, le=4096, multiple_of=8, unit="px", group="Size", description="0 is the model's own size"
    )
    height: int = Field(
        default=0, ge=0, le=4096, multiple_of=8, unit="px", group="Size", description="0 is the model's own size"
    )
    own_size: bool = Field(default=False, group="Size", description="Leave each picture the size that it has")
    install: bool = Field(
        default=True, description="Put the result into the models folder, so that prompts can name it at once"
    )
    learning: LearningParams = Field(default=LearningParams(), description="How fast, and from how many at once")
    words: WordsParams = Field(default=WordsParams(), description="The texts that are shown with the pictures")
    folder: FolderParams = Field(default=FolderParams(), description="Pictures from a folder")
    on_the_way: ProgressParams = Field(default=ProgressParams(), description="Copies and pictures on the way")


class TrainEmbeddingParams(TrainingParams):
    """The knobs of the training of an embedding."""

    learn_rate: str = Field(
        default="0.005", description="How fast: a number, or a list such as 0.005:200, 1e-3:500, 1e-4 with steps"
    )
    weight_decay: float = Field(default=0, ge=0, le=1, advanced=True, description="Pull towards zero at each step")
    vectors: int = Field(default=4, ge=1, le=75, description="How many words it stands for; more can say more")
    first_words: str = Field(default="*", description="What it means at the beginning; empty is nothing")


class HypernetworkParams(Params):
    """How a new hypernetwork is built."""

    widths: list[int] = Field(default=[], description="Widths of contexts that are changed; empty is all of the model")
    layers: list[float] = Field(default=[1, 2, 1], description="Width of each layer; the first and the last are 1")
    activation: str = Field(
        default="linear", description="linear, relu, leakyrelu, elu, swish, tanh, sigmoid or another of PyTorch"
    )
    layer_norm: bool = Field(default=False, description="Even the values out after each layer")
    activates_output: bool = Field(default=True, description="Apply the activation after the last layer too")
    initialisation: Literal["Normal", "XavierUniform", "XavierNormal", "KaimingUniform", "KaimingNormal"] = Field(
        default="Normal", description="The first random weights"
    )
    dropout: list[float] = Field(
        default=[], description="Share of values dropped after each layer, one number for each layer; empty is none"
    )


class TrainHypernetworkParams(TrainingParams):
    """The knobs of the training of a hypernetwork."""

    learn_rate: str = Field(
        default="0.00001", description="How fast: a number, or a list such as 5e-5:200, 1e-5 with steps"
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1, advanced=True, description="Pull towards zero at each step")
    network: HypernetworkParams = Field(default=HypernetworkParams(), description="How it is built")


class NetworkListParams(Params):
    """Which networks are listed."""

    search: str = Field(default="", description="Only those with this in their name; empty lists all")
