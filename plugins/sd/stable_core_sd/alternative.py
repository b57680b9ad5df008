"""The img2img alternative test: a picture drawn again from its own noise, so that only what the prompt changes changes.

How noise is found is in reversing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from PIL import Image

from stable_core.sdk import Progress
from stable_core_sd import img2img
from stable_core_sd.batches import Batch
from stable_core_sd.engine import open_repaint
from stable_core_sd.images.grids import with_sheet
from stable_core_sd.params import Img2ImgParams
from stable_core_sd.params_sampling import RefinerParams
from stable_core_sd.params_scripts import AlternativeParams, part_of
from stable_core_sd.passes import Pass, Start, batch_denoiser, batch_noise
from stable_core_sd.ports import Picture
from stable_core_sd.prompt.editing import StepCount
from stable_core_sd.report import StepReport
from stable_core_sd.reversing import mix_noise, noise_of, reverse_steps
from stable_core_sd.sampling import plan_sampling
from stable_core_sd.settings import SdSettings


def repaint_alternative(
    given: Picture, params: AlternativeParams, progress: Progress, settings: SdSettings | None = None
) -> Iterator[Image.Image]:
    """Yield the pictures of a run that starts with the noise of the picture itself.

    Raises:
        InvalidParams: there is no such checkpoint, or it cannot be used.
        JobCancelled: out of `progress`, within one step.
    """
    knobs = part_of(params, Img2ImgParams)
    report = StepReport(progress, params.decode_steps + knobs.total_steps)
    run = open_repaint(given, knobs, report, settings or SdSettings())
    init = run.encoded.latents
    found = find_noise(run.one, run.encoded, params, run.size)
    highest = plan_sampling(run.params, run.one.checkpoint.sigma_table, run.one.is_xl).sigmas[0]

    def start_of(batch: Batch) -> Start:
        channels, height, width = init.shape[1:]
        fresh = batch_noise(run.one, batch, (channels, height, width))()
        return replace(run.start_of(batch), noise=mix_noise(found, fresh, params.randomness) - init / highest)

    yield from with_sheet(run.pictures(start_of, told(params)), params.grid)


@torch.inference_mode()
def find_noise(one: Pass, encoded: img2img.Encoded, params: AlternativeParams, size: tuple[int, int]) -> torch.Tensor:
    """Return the noise from which the original prompt makes the picture, of the shape of its latents."""
    changed = {
        "sampler": "Euler",
        "scheduler": "Uniform",
        "steps": params.decode_steps,
        "cfg_scale": params.decode_cfg,
        "negative_prompt": params.original_negative_prompt,
        "refiner": RefinerParams(),
    }
    reading = replace(one, params=one.params.model_copy(update=changed))
    plan = plan_sampling(reading.params, one.checkpoint.sigma_table, one.is_xl)
    seeds = [max(params.seed, 0)]
    batch = Batch([params.original_prompt], [params.original_negative_prompt], seeds, seeds, size)
    start = Start(encoded.latents, 1.0, beside=encoded.beside)
    rising, x = plan.sigmas[::-1], encoded.latents
    with batch_denoiser(reading, batch, plan, StepCount(plan.steps), start) as denoise, one.tiled():
        for step in reverse_steps(denoise, x, rising, params.sigma_adjustment):
            x = step
            if one.report.is_interrupted:
                break
            one.report.done += 1
            one.report.say("Finding the noise of the picture")
    return noise_of(x, rising[-1], params.sigma_adjustment)


def told(params: AlternativeParams) -> dict[str, object]:
    """Return what the generation data says of how the noise was found."""
    return {
        "Decode prompt": params.original_prompt,
        "Decode negative prompt": params.original_negative_prompt,
        "Decode CFG scale": params.decode_cfg,
        "Decode steps": params.decode_steps,
        "Randomness": params.randomness,
        "Sigma Adjustment": params.sigma_adjustment,
    }
