"""A picture in the middle of a training, drawn with what was learnt so far. Runs of users are in engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from stable_core_sd.conditioning import Conditioning, Part, count_steps
from stable_core_sd.denoiser import Denoiser
from stable_core_sd.guidance import plan_guidance
from stable_core_sd.latents import decode_latents
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.noise import ImageNoise
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.sampling import plan_sampling, sample, start_from_noise
from stable_core_sd.size_conditions import SizeConditions
from stable_core_sd.text_schedule import ScheduleEncoder


@torch.no_grad()
def draw_picture(checkpoint: Any, prompt: str, seed: int, embeddings: Mapping[str, Embedding]) -> Image.Image:
    """Return a picture of the model's own size, with a run's default knobs.

    Args:
        embeddings: what names in the prompt stand for.
    """
    params = Txt2ImgParams()
    side = checkpoint.native_size
    plan = plan_sampling(params, checkpoint.sigma_table)
    encode, count = ScheduleEncoder(checkpoint, params.text, embeddings), count_steps(plan.sampler, params.steps)
    texts = Conditioning(
        checkpoint.kind, [Part(0, encode(prompt, count), 1.0)], [encode("", count)], SizeConditions(side, side)
    )
    latent_side = side // checkpoint.factor
    noise = ImageNoise((checkpoint.latent_channels, latent_side, latent_side), [seed], checkpoint.device)
    latents = sample(
        plan, Denoiser(checkpoint, texts, plan_guidance(params, plan), plan.table), start_from_noise(plan, noise), noise
    )
    return decode_latents(checkpoint, latents[0])
