"""A whole run against the loop of a diffusers pipeline: same models, same noise, diffusers' own scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stable_core.sdk import Progress
from stable_core_sd.batches import Batch
from stable_core_sd.checkpoint_store import get_checkpoint
from stable_core_sd.params import TextParams, Txt2ImgParams
from stable_core_sd.passes import Pass, draw
from stable_core_sd.prompt.editing import StepCount
from stable_core_sd.report import StepReport
from stable_core_sd.text_schedule import ScheduleEncoder

PROMPT, NEGATIVE, SIZE = "a red circle", "a blue square", (64, 48)

CFG_SCALE = 7.0


def latents_of_diffusers(checkpoint: Any, steps: int, **options: Any) -> torch.Tensor:
    scheduling = pytest.importorskip("diffusers.schedulers.scheduling_euler_discrete")
    scheduler = scheduling.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **options
    )
    scheduler.set_timesteps(steps)
    encode = ScheduleEncoder(checkpoint, TextParams(), {})
    text = torch.stack([encode(prompt, StepCount(steps)).at(0).hidden for prompt in (NEGATIVE, PROMPT)])
    noise = torch.randn(1, 4, SIZE[1] // 8, SIZE[0] // 8, generator=torch.Generator().manual_seed(7))
    latents = noise * scheduler.sigmas[0]
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(torch.cat([latents] * 2), timestep)
        negative, prompted = checkpoint.unet(scaled, timestep, encoder_hidden_states=text).sample.chunk(2)
        latents = scheduler.step(negative + CFG_SCALE * (prompted - negative), timestep, latents).prev_sample
    return latents


@pytest.mark.parametrize(
    ("scheduler", "options"),
    [
        ("Uniform", {}),
        ("Karras", {"use_karras_sigmas": True}),
        ("Exponential", {"use_exponential_sigmas": True}),
    ],
)
@pytest.mark.parametrize("steps", [5, 20])
def test_euler_runs_equal_those_of_diffusers(
    tiny_models: Path, models_folder: Path, scheduler: str, options: dict[str, bool], steps: int
) -> None:
    checkpoint = get_checkpoint(models_folder / "checkpoints" / "tiny")
    guided = {"cfg_scale": CFG_SCALE}
    params = Txt2ImgParams(sampler="Euler", scheduler=scheduler, steps=steps, preview=False, **guided)
    batch = Batch([PROMPT], [NEGATIVE], [7], [0], SIZE)
    found = draw(Pass(checkpoint, params, StepReport(Progress(), params.steps)), batch)
    expected = latents_of_diffusers(checkpoint, steps, **options)
    assert found.shape == expected.shape == (1, 4, 6, 8)
    assert torch.allclose(found, expected, atol=2e-3 * float(expected.abs().max()))
