"""The announcement of the sd plugin: its jobs. Their knobs are in params; it imports no torch, the engine does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from stable_core.sdk import Data, File, Image, Plugin, Progress, Text
from stable_core_sd import style_files
from stable_core_sd.checkpoint_list import list_models
from stable_core_sd.counted import Prompt
from stable_core_sd.late_imports import torch_module
from stable_core_sd.params import Img2ImgParams, Txt2ImgParams
from stable_core_sd.params_models import (
    CheckpointInfoParams,
    CheckpointsParams,
    DiffusersParams,
    DiffusersSchemaParams,
    MergeParams,
)
from stable_core_sd.params_prompts import StyleListParams, StyleNameParams, StyleParams, TokenizeParams
from stable_core_sd.params_scripts import AlternativeParams
from stable_core_sd.params_training import (
    NetworkListParams,
    TrainEmbeddingParams,
    TrainHypernetworkParams,
    TrainingPictures,
)
from stable_core_sd.params_upscale import UpscaleParams
from stable_core_sd.ports import Picture
from stable_core_sd.prompt.styles import Style
from stable_core_sd.settings import SdSettings

HOLD_MODELS = (
    "checkpoint_store",
    "pipelines",
    "upscale_models",
    "ldsr",
    "faces.loading",
    "interrogation.pretrained",
    "interrogation.deepdanbooru",
)
"""The modules that keep models in memory; each has a function `unload`."""

plugin = Plugin("sd", settings=SdSettings, models=Path(__file__).parent / "models")


@plugin.job
def txt2img(prompt: Prompt, params: Txt2ImgParams, progress: Progress) -> Iterator[Image]:
    """Make pictures from a text prompt."""
    progress(0, params.total_steps, "Starting PyTorch")
    yield from torch_module("engine").generate(prompt, params, progress, plugin.settings)


@plugin.job
def img2img(picture: Picture, params: Img2ImgParams, progress: Progress) -> Iterator[Image]:
    """Change a picture, or the part of it that is white in the mask, as a prompt says."""
    progress(0, params.total_steps, "Starting PyTorch")
    yield from torch_module("engine").repaint(picture, params, progress, plugin.settings)


@plugin.job
def img2img_alternative(picture: Picture, params: AlternativeParams, progress: Progress) -> Iterator[Image]:
    """Change a picture as little as a new prompt allows: first find the noise that the original prompt makes it from.

    Set `original_prompt` to what the picture shows, and the prompt to the same with a change.
    """
    progress(0, params.decode_steps + params.total_steps, "Starting PyTorch")
    yield from torch_module("alternative").repaint_alternative(picture, params, progress, plugin.settings)


@plugin.job
def upscale(image: Image, params: UpscaleParams, progress: Progress) -> Image:
    """Enlarge a finished picture."""
    progress(0, 1, "Starting PyTorch")
    made: Image = torch_module("extras").upscale_picture(image, params, progress)
    return made


@plugin.job(cached=False, light=True)
def checkpoints(params: CheckpointsParams, progress: Progress) -> Data:
    """List the checkpoints and VAEs, as A1111 names them."""
    return Data(list_models(params.find_hashes, progress))


@plugin.job(cached=False)
def checkpoint_info(params: CheckpointInfoParams, progress: Progress) -> Data:
    """Tell the kind of one checkpoint, what it is for, its hashes and what its file says about itself."""
    progress(0, 1, "Starting PyTorch")
    found = torch_module("checkpoint_facts").describe_checkpoint(params.checkpoint)
    progress(1, 1)
    return Data(found)


@plugin.job
def diffusers(prompt: Text, params: DiffusersParams, progress: Progress) -> Iterator[Image]:
    """Make pictures with any text-to-image pipeline of diffusers."""
    progress(0, params.steps, "Starting PyTorch")
    yield from torch_module("pipelines").make_pictures(prompt, params, progress, plugin.settings)


@plugin.job(cached=False)
def diffusers_schema(params: DiffusersSchemaParams, progress: Progress) -> Data:
    """Describe the arguments that a pipeline of diffusers takes, as a JSON Schema."""
    progress(0, 1, "Starting PyTorch")
    found = torch_module("pipelines").describe_pipeline(params.model)
    progress(1, 1)
    return Data(found)


@plugin.job(cached=False)
def merge(params: MergeParams, progress: Progress) -> Data:
    """Make a new checkpoint out of up to three."""
    progress(0, 1, "Starting PyTorch")
    return Data(torch_module("merge_files").merge(params, progress))


@plugin.job(cached=False, light=True)
def tokenize(prompt: Text, params: TokenizeParams, progress: Progress) -> Data:
    """Tell how long a prompt is, where it is divided into chunks, and what of it would be cut off."""
    progress(1, 1)
    return Data(importlib.import_module(f"{__package__}.token_count").count_tokens(prompt, params))


@plugin.job(cached=False, light=True)
def styles(params: StyleListParams, progress: Progress) -> Data:
    """List the styles in the styles.csv files of the models folders."""
    progress(1, 1)
    known = style_files.known_styles().values()
    wanted = params.search.lower()
    return Data([{**asdict(style), "file": str(path)} for style, path in known if wanted in style.name.lower()])


@plugin.job(cached=False, light=True)
def save_style(params: StyleParams, progress: Progress) -> Data:
    """Keep a style in styles.csv of the models folder; what was there is kept in styles.csv.bak."""
    progress(1, 1)
    return Data({"file": str(style_files.save_style(Style(params.name, params.prompt, params.negative_prompt)))})


@plugin.job(cached=False, light=True)
def delete_style(params: StyleNameParams, progress: Progress) -> Data:
    """Take a style out of styles.csv of the models folder; what was there is kept in styles.csv.bak."""
    progress(1, 1)
    return Data({"file": str(style_files.delete_style(params.name))})


@plugin.job(cached=False)
def train_embedding(pictures: TrainingPictures, params: TrainEmbeddingParams, progress: Progress) -> File:
    """Teach the text encoder a new word from a few pictures; one that was stopped goes on from where it was."""
    progress(0, params.steps, "Starting PyTorch")
    return File(torch_module("networks.training.jobs").train_embedding(pictures, params, progress, plugin.settings))


@plugin.job(cached=False)
def train_hypernetwork(pictures: TrainingPictures, params: TrainHypernetworkParams, progress: Progress) -> File:
    """Teach small networks in front of attention from a few pictures; one that was stopped goes on."""
    progress(0, params.steps, "Starting PyTorch")
    return File(torch_module("networks.training.jobs").train_hypernetwork(pictures, params, progress, plugin.settings))


@plugin.job(cached=False)
def loras(params: NetworkListParams, progress: Progress) -> Data:
    """List the LoRAs that prompts can name as <lora:name:1>, with their hash, base model and most frequent tags."""
    progress(0, 1, "Starting PyTorch")
    return Data(torch_module("networks.listing").list_loras(params.search, progress))


@plugin.job(cached=False)
def embeddings(params: NetworkListParams, progress: Progress) -> Data:
    """List the textual inversion embeddings that prompts can name, and which files are none and why."""
    progress(0, 1, "Starting PyTorch")
    return Data(torch_module("networks.listing").list_embeddings(params.search, progress))


@plugin.job(cached=False)
def hypernetworks(params: NetworkListParams, progress: Progress) -> Data:
    """List the hypernetworks that prompts can name as <hypernet:name:1>."""
    progress(0, 1, "Starting PyTorch")
    return Data(torch_module("networks.listing").list_hypernetworks(params.search, progress))


@plugin.unload
def free_memory() -> None:
    """Give the memory of the loaded models back."""
    for name in HOLD_MODELS:
        if f"{__package__}.{name}" in sys.modules:
            torch_module(name).unload()
