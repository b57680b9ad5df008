"""The high-resolution pass: a finished first pass is enlarged and drawn again. Its sizes are in images.hires_sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from stable_core_sd.batches import Batch
from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.checkpoint_list import find_checkpoint
from stable_core_sd.images.hires_sizes import HiresSizes, first_pass_size, hires_sizes, kept_range
from stable_core_sd.images.resizing import Size, scale_image
from stable_core_sd.latents import decode_latents, encode_image
from stable_core_sd.params import LATENT_UPSCALERS, HiresParams, Txt2ImgParams
from stable_core_sd.passes import Pass, Start, model_calls, with_retries
from stable_core_sd.upscale_models import upscaler

INTERPOLATIONS: dict[str, dict[str, Any]] = dict(
    zip(
        LATENT_UPSCALERS,
        (
            {"mode": "bilinear"},
            {"mode": "bilinear", "antialias": True},
            {"mode": "bicubic"},
            {"mode": "bicubic", "antialias": True},
            {"mode": "nearest"},
            {"mode": "nearest-exact"},
        ),
        strict=True,
    )
)
"""How PyTorch resizes a latent for each of the latent upscalers."""


def second_params(params: Txt2ImgParams) -> Txt2ImgParams:
    """Return the knobs of the second pass: those of the first, but for what `params.hires` says.

    Raises:
        InvalidParams: there is no upscaler or no checkpoint of the name.
    """
    own = params.hires
    if own.upscaler not in INTERPOLATIONS:
        upscaler(own.upscaler)
    if own.checkpoint:
        find_checkpoint(own.checkpoint)
    names = ("sampler", "scheduler", "steps", "checkpoint", "token_merging_ratio")
    return params.model_copy(update={name: getattr(own, name) for name in names if getattr(own, name)})


def second_batch(batch: Batch, hires: HiresParams, size: Size) -> Batch:
    """Return the batch with the prompts and the size of the second pass; the seeds are the same."""
    return replace(
        batch,
        size=size,
        prompts=[hires.prompt or prompt for prompt in batch.prompts],
        negative_prompts=[hires.negative_prompt or prompt for prompt in batch.negative_prompts],
    )


def plan_sizes(checkpoint: Checkpoint, params: Txt2ImgParams) -> tuple[Size, HiresSizes]:
    """Return the size of the first pass and the sizes of the second."""
    own, native = params.hires, checkpoint.native_size
    size = params.width or native, params.height or native
    if own.enabled and own.size_is_target:
        first = first_pass_size(size, native)
        return first, hires_sizes(first, own.scale, *size)
    return size, hires_sizes(size, own.scale, own.width, own.height)


@with_retries
@torch.inference_mode()
def enlarge(first: Pass, second: Pass, latents: torch.Tensor, name: str, sizes: HiresSizes) -> torch.Tensor:
    """Return the latents that the second pass starts with.

    The latent upscalers resize the latents themselves, the others the picture that the first model makes of them,
    which the second encodes.

    Args:
        name: of the upscaler.
    """
    second.report.say("Enlarging")
    width, height = sizes.upscale_to
    factor = second.checkpoint.factor
    if name in INTERPOLATIONS:
        size = (height // factor, width // factor)
        larger = torch.nn.functional.interpolate(latents, size=size, **INTERPOLATIONS[name])
    else:
        with first.tiled():
            pictures = [decode_latents(first.checkpoint, latent) for latent in latents]
        pictures = [scale_image(picture, (width, height), upscaler(name)) for picture in pictures]
        with second.tiled():
            larger = torch.cat([encode_image(second.checkpoint, picture) for picture in pictures])
    top, bottom = kept_range(larger.shape[-2], sizes.cut[1])
    left, right = kept_range(larger.shape[-1], sizes.cut[0])
    return larger[..., top:bottom, left:right]


def start_of(latents: torch.Tensor, first: Txt2ImgParams) -> Start:
    """Return what the second pass starts with; it makes all its steps whatever the strength."""
    own = first.hires
    calls = model_calls(first)
    return Start(latents, own.denoising_strength, is_exact=True, extra_noise=own.extra_noise, calls_before=calls)
