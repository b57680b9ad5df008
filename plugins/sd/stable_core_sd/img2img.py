"""What a run from a picture adds to one from text: its size, the latents it starts with, what is told about it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from stable_core_sd.batches import Batch
from stable_core_sd.beside import beside_picture
from stable_core_sd.images.resizing import Size
from stable_core_sd.images.source import Source
from stable_core_sd.inpaint import Keep, latent_mask, masked_content
from stable_core_sd.latents import encode_image
from stable_core_sd.params import Img2ImgParams
from stable_core_sd.passes import Pass, Start, batch_noise, latent_shape, with_retries
from stable_core_sd.ports import Picture

MAX_SIDE = 4096


def run_size(given: Picture, params: Img2ImgParams, native: int) -> Size:
    """Return the size that is drawn, both sides multiples of 8 pixels.

    Where none is given it is that of the picture, or the model's own if only the masked part is drawn.
    """
    if given.mask is not None and params.inpaint.area == "Only masked":
        own = native, native
    else:
        own = _drawable(given.image.width), _drawable(given.image.height)
    return params.width or own[0], params.height or own[1]


def _drawable(side: int) -> int:
    return min(max(side // 8 * 8, 8), MAX_SIDE)


class Encoded(NamedTuple):
    """What the models see of a picture.

    Attributes:
        latents: of shape (1, channels, height / 8, width / 8) for the size of the run.
        beside: what inpainting and instruct-pix2pix models see beside them.
    """

    latents: torch.Tensor
    beside: torch.Tensor | None


@with_retries
@torch.inference_mode()
def encode_source(one: Pass, source: Source, params: Img2ImgParams, size: Size) -> Encoded:
    """Return what the models see of the picture."""
    with one.tiled():
        latents = encode_image(one.checkpoint, source.start)
        if params.resize_mode == "Just resize (latent upscale)":
            rows, columns = latent_shape(one.checkpoint, size)[1:]
            latents = torch.nn.functional.interpolate(latents, size=(rows, columns), mode="bilinear")
        return Encoded(latents, beside_picture(one.checkpoint, source, params.inpaint, latents))


def start_of(one: Pass, encoded: Encoded, source: Source, params: Img2ImgParams, batch: Batch) -> Start:
    """Return what the pass of one batch starts with."""
    latents, keep = encoded.latents.expand(len(batch), -1, -1, -1), None
    if source.latent_mask is not None:
        knobs = params.inpaint
        paint = latent_mask(source.latent_mask, latents, knobs.round_mask)
        noise = batch_noise(one, batch, (latents.shape[1], latents.shape[2], latents.shape[3]))
        latents = masked_content(latents, paint, knobs.fill, noise)
        keep = Keep(latents, paint)
    return Start(
        latents,
        params.denoising_strength,
        params.exact_steps,
        params.noise_multiplier,
        params.extra_noise,
        keep,
        beside=encoded.beside,
        picture_scale=params.image_cfg_scale if one.checkpoint.task == "instruct-pix2pix" else 1.0,
    )
