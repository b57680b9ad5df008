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
from stable_core_sd.facts import sampling_facts
from stable_core_sd.guidance import plan_guidance
from stable_core_sd.infotext import write_infotext
from stable_core_sd.names import find_sampler
from stable_core_sd.noise import image_noise, image_seeds, variation_seeds
from stable_core_sd.sampling import plan_sampling, sample, start_from_noise
from stable_core_sd.settings import SdSettings

if TYPE_CHECKING:
    from stable_core_sd.params import RunParams, Txt2ImgParams
    from stable_core_sd.samplers import Step


@dataclass(frozen=True)
class Batch:
    """The pictures that are made at once: one prompt, negative prompt, seed and seed of a variation each."""

    prompts: list[str]
    negative_prompts: list[str]
    seeds: list[int]
    subseeds: list[int]
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

    def step(self, checkpoint: Checkpoint, counted: int, index: int, step: Step) -> None:
        """Report one step of a pass that counts for `counted`; samplers may make more or fewer."""
        done = self.done + int(counted * step.done + 1e-6)
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
    count, variation = params.batch_size * params.batch_count, params.variation
    seeds = image_seeds(params.seed, count, variation.strength)
    subseeds = variation_seeds(variation.seed, count)
    sampler = find_sampler(params.sampler)
    at_once = 1 if sampler and sampler.is_adaptive else params.batch_size
    for first in range(0, count, at_once):
        chosen = slice(first, first + at_once)
        prompts = [prompt] * len(seeds[chosen])
        yield Batch(prompts, [params.negative_prompt] * len(prompts), seeds[chosen], subseeds[chosen], size)


@torch.inference_mode()
def sample_latents(checkpoint: Checkpoint, batch: Batch, params: RunParams, report: StepReport) -> torch.Tensor:
    """Return clean latents of shape (pictures, 4, height / 8, width / 8)."""
    plan = plan_sampling(params, checkpoint.sigma_table)
    width, height = batch.size
    shape = (checkpoint.latent_channels, height // checkpoint.factor, width // checkpoint.factor)
    noise = image_noise(params, shape, batch.seeds, batch.subseeds, checkpoint.device)
    texts = condition(checkpoint, params, batch, count_steps(plan.sampler, params.steps, old=params.text.old_editing))
    denoiser = Denoiser(checkpoint, texts, plan_guidance(params, plan), plan.table)
    denoise = denoiser.both if plan.sampler.needs_unconditional else denoiser
    on_step = partial(report.step, checkpoint, params.steps)
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
        **sampling_facts(params, checkpoint.sigma_table),
        "Version": f"stable-core-sd {__version__}",
    }
    return write_infotext(prompt, params.negative_prompt, pairs)
