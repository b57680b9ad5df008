"""One text-to-image run from prompt to pictures. Its parts live in modules of their own; nothing is saved here."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from stable_core.sdk import Progress, find_model_file
from stable_core_sd import __version__, device, preview
from stable_core_sd.checkpoint import Checkpoint, load_checkpoint
from stable_core_sd.conditioning import encode_text
from stable_core_sd.denoiser import Denoiser
from stable_core_sd.infotext import write_infotext
from stable_core_sd.names import Sampler, find_sampler, find_scheduler
from stable_core_sd.noise import ImageNoise, image_seeds
from stable_core_sd.samplers import SAMPLES
from stable_core_sd.schedules import run_sigmas

if TYPE_CHECKING:
    from stable_core_sd.plugin import Txt2ImgParams

_loaded: dict[tuple[object, ...], Checkpoint] = {}
"""The last checkpoint, under the file it came from as it was then; a worker runs one job at a time."""


def generate(prompt: str, params: Txt2ImgParams, progress: Progress, precision: str = "auto") -> Iterator[Image.Image]:
    """Yield the pictures of one run as they are decoded.

    Raises:
        InvalidParams: there is no such checkpoint, or it cannot be used.
        JobCancelled: out of `progress`, within one step.
    """
    progress(0, params.steps, f"Loading {params.checkpoint}")
    checkpoint = get_checkpoint(find_model_file("checkpoints", params.checkpoint), precision)
    width, height = params.width or checkpoint.native_size, params.height or checkpoint.native_size
    seeds = image_seeds(params.seed, params.batch_size)
    latents = sample_latents(checkpoint, prompt, params, (width, height), seeds, progress)
    for index, seed in enumerate(seeds):
        progress(params.steps, params.steps, f"Decoding picture {index + 1} of {len(seeds)}")
        picture = decode_image(checkpoint, latents[index])
        picture.info["parameters"] = describe(checkpoint, prompt, params, seed, (width, height))
        yield picture


def get_checkpoint(path: Path, precision: str = "auto") -> Checkpoint:
    """Return the checkpoint at `path`; the last one stays loaded until its file changes or another is asked for."""
    chosen = device.choose_device()
    dtype = device.choose_dtype(precision, chosen)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    key = (path, chosen, dtype, *((file.stat().st_mtime_ns, file.stat().st_size) for file in files))
    if key not in _loaded:
        unload()
        _loaded[key] = load_checkpoint(path, chosen, dtype)
    return _loaded[key]


def unload() -> None:
    """Forget the loaded checkpoint and give its memory back."""
    devices = {checkpoint.device for checkpoint in _loaded.values()}
    _loaded.clear()
    gc.collect()
    for used in devices:
        device.free_memory(used)


@torch.inference_mode()
def sample_latents(
    checkpoint: Checkpoint,
    prompt: str,
    params: Txt2ImgParams,
    size: tuple[int, int],
    seeds: list[int],
    progress: Progress,
) -> torch.Tensor:
    """Return clean latents of shape (len(seeds), 4, height / 8, width / 8) for `size` (width, height) in pixels.

    Raises:
        FloatingPointError: the model is broken, or 16 bits are too few for it.
    """
    sampler, scheduler = find_sampler(params.sampler), find_scheduler(params.scheduler)
    assert sampler is not None, params.sampler
    assert scheduler is not None, params.scheduler
    sigmas = run_sigmas(sampler, scheduler.name, params.steps, checkpoint.sigma_table)
    shape = (checkpoint.unet.config.in_channels, size[1] // checkpoint.factor, size[0] // checkpoint.factor)
    noise = ImageNoise(shape, seeds, checkpoint.device)
    texts = encode_text(checkpoint, prompt), encode_text(checkpoint, params.negative_prompt)
    denoise = Denoiser(checkpoint, *texts, params.cfg_scale, len(seeds))
    x = noise() * start_scale(sampler, sigmas[0])
    for index, step in enumerate(SAMPLES[sampler.label](denoise, x, sigmas, noise)):
        x, done = step.x, params.steps * (index + 1) // (len(sigmas) - 1)
        progress(done, params.steps, preview=partial(show, checkpoint, step.denoised) if params.preview else None)
    if not x.isfinite().all():
        raise FloatingPointError("The model made values that are no numbers; try the precision fp32 or bf16")
    return x


def start_scale(sampler: Sampler, sigma: float) -> float:
    """Return how strong the first noise is: DDIM's pure noise counts for a little more in terms of sigma."""
    return (sigma**2 + 1) ** 0.5 if sampler.walks_timesteps else sigma


def show(checkpoint: Checkpoint, denoised: torch.Tensor) -> Image.Image:
    """Return a small picture of guesses of shape (batch, 4, height / 8, width / 8)."""
    return preview.preview_image(denoised, checkpoint.rgb_factors, checkpoint.factor)


@torch.inference_mode()
def decode_image(checkpoint: Checkpoint, latents: torch.Tensor) -> Image.Image:
    """Return the picture of one clean latent of shape (4, height / 8, width / 8)."""
    pixels = checkpoint.decode(latents[None])[0]
    shades = (255 * ((pixels + 1) / 2).clamp(0, 1)).to(torch.uint8)  # cut off, not rounded, as A1111 does
    return Image.fromarray(shades.movedim(0, -1).cpu().numpy())


def describe(checkpoint: Checkpoint, prompt: str, params: Txt2ImgParams, seed: int, size: tuple[int, int]) -> str:
    """Return the generation data of one picture."""
    pairs = {
        "Steps": params.steps,
        "Sampler": params.sampler,
        "Schedule type": params.scheduler,
        "CFG scale": params.cfg_scale,
        "Seed": seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model hash": checkpoint.short_hash,
        "Model": checkpoint.name,
        "RNG": "CPU",
        "Version": f"stable-core-sd {__version__}",
    }
    return write_infotext(prompt, params.negative_prompt, pairs)
