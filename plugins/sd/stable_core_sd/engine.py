"""A run from prompt to pictures: the order of its parts, which live in modules of their own. Nothing is saved here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from PIL import Image

from stable_core.sdk import Progress
from stable_core_sd import __version__, preview
from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.checkpoint_store import open_checkpoint
from stable_core_sd.conditioning import condition, count_steps
from stable_core_sd.denoiser import Denoiser
from stable_core_sd.infotext import write_infotext
from stable_core_sd.noise import ImageNoise, image_seeds
from stable_core_sd.sampling import plan_sampling, sample, start_from_noise
from stable_core_sd.settings import SdSettings

if TYPE_CHECKING:
    from stable_core_sd.params import RunParams, Txt2ImgParams
    from stable_core_sd.samplers import Step


@dataclass(frozen=True)
class Batch:
    """The pictures that are made at once: one prompt, negative prompt and seed each."""

    prompts: list[str]
    negative_prompts: list[str]
    seeds: list[int]
    size: tuple[int, int]

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.seeds)


class StepReport:
    """Reports the steps of all passes of a run as one count, with previews."""

    def __init__(self, progress: Progress, total: int, shows_preview: bool) -> None:
        self.progress, self.total, self.done = progress, total, 0
        self.shows_preview = shows_preview

    def say(self, message: str) -> None:
        """Report what happens between two steps."""
        self.progress(self.done, self.total, message)

    def step(self, checkpoint: Checkpoint, planned: int, counted: int, index: int, step: Step) -> None:
        """Report one step of a pass of `planned` steps that counts for `counted`; samplers may round their steps."""
        done = self.done + counted * (index + 1) // planned
        shown = partial(show, checkpoint, step.denoised) if self.shows_preview else None
        self.progress(done, self.total, preview=shown)


def generate(
    prompt: str, params: Txt2ImgParams, progress: Progress, settings: SdSettings | None = None
) -> Iterator[Image.Image]:
    """Yield the pictures of one run as they are decoded.

    Raises:
        InvalidParams: there is no such checkpoint, or it cannot be used.
        JobCancelled: out of `progress`, within one step.
    """
    report = StepReport(progress, params.steps * params.batch_count, params.preview)
    report.say(f"Loading {params.checkpoint}")
    checkpoint = open_checkpoint(params.checkpoint, params.vae, settings or SdSettings())
    for batch in batches(prompt, params, checkpoint):
        latents = sample_latents(checkpoint, batch, params, report)
        report.done += params.steps
        for index, seed in enumerate(batch.seeds):
            report.say(f"Decoding picture {index + 1} of {len(batch)}")
            picture = decode_image(checkpoint, latents[index])
            if params.save_parameters:
                picture.info["parameters"] = describe(checkpoint, prompt, params, seed, batch.size)
            yield picture


def batches(prompt: str, params: RunParams, checkpoint: Checkpoint) -> Iterator[Batch]:
    """Yield what is made at once; picture `i` of the run has the seed `seed + i` however it is cut into batches."""
    size = params.width or checkpoint.native_size, params.height or checkpoint.native_size
    seeds = image_seeds(params.seed, params.batch_size * params.batch_count)
    for first in range(0, len(seeds), params.batch_size):
        chosen = seeds[first : first + params.batch_size]
        yield Batch([prompt] * len(chosen), [params.negative_prompt] * len(chosen), chosen, size)


@torch.inference_mode()
def sample_latents(checkpoint: Checkpoint, batch: Batch, params: RunParams, report: StepReport) -> torch.Tensor:
    """Return clean latents of shape (pictures, 4, height / 8, width / 8)."""
    plan = plan_sampling(params, checkpoint.sigma_table)
    width, height = batch.size
    shape = (checkpoint.latent_channels, height // checkpoint.factor, width // checkpoint.factor)
    noise = ImageNoise(shape, batch.seeds, checkpoint.device)
    texts = condition(checkpoint, params, batch, count_steps(plan.sampler, params.steps, old=params.text.old_editing))
    denoise = Denoiser(checkpoint, texts, params.cfg_scale)
    on_step = partial(report.step, checkpoint, plan.steps, params.steps)
    return sample(plan, denoise, start_from_noise(plan, noise), noise, on_step)


def show(checkpoint: Checkpoint, denoised: torch.Tensor) -> Image.Image:
    """Return a small picture of guesses of shape (batch, 4, height / 8, width / 8)."""
    return preview.preview_image(denoised, checkpoint.rgb_factors, checkpoint.factor)


@torch.inference_mode()
def decode_image(checkpoint: Checkpoint, latents: torch.Tensor) -> Image.Image:
    """Return the picture of one clean latent of shape (4, height / 8, width / 8)."""
    pixels = checkpoint.decode(latents[None])[0]
    shades = (255 * ((pixels + 1) / 2).clamp(0, 1)).to(torch.uint8)  # cut off, not rounded, as A1111 does
    return Image.fromarray(shades.movedim(0, -1).cpu().numpy())


def describe(checkpoint: Checkpoint, prompt: str, params: RunParams, seed: int, size: tuple[int, int]) -> str:
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
