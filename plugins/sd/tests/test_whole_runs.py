"""Whole runs of every sampler on a tiny model against loops written once more from the papers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reference import LOOPS, Latents, ends_of_steps, reference_latents
from runs import asked_levels
from stable_core.sdk import Progress
from stable_core_sd.batches import Batch
from stable_core_sd.checkpoint_store import get_checkpoint
from stable_core_sd.names import SAMPLERS
from stable_core_sd.params import TextParams, Txt2ImgParams
from stable_core_sd.passes import Pass, draw
from stable_core_sd.prompt.editing import StepCount
from stable_core_sd.report import StepReport
from stable_core_sd.text_schedule import ScheduleEncoder

PROMPT, NEGATIVE, CFG_SCALE, SIZE = "a red circle", "a blue square", 7.0, (64, 48)

TOLERANCE = 2e-5
"""The largest difference, as a share of the largest latent: 32 bits have some seven digits, and a run adds up."""

pytestmark = pytest.mark.usefixtures("tiny_models")


def own_latents(checkpoint: Any, sampler: str, steps: int, seeds: list[int]) -> torch.Tensor:
    params = Txt2ImgParams(sampler=sampler, steps=steps, cfg_scale=CFG_SCALE, preview=False)
    batch = Batch([PROMPT] * len(seeds), [NEGATIVE] * len(seeds), seeds, [0] * len(seeds), SIZE)
    return draw(Pass(checkpoint, params, StepReport(Progress(), steps)), batch)


def test_there_is_a_loop_for_every_sampler() -> None:
    assert list(LOOPS) == [one.label for one in SAMPLERS]


@pytest.mark.parametrize(("sampler", "steps"), [*((sampler, 6) for sampler in LOOPS), ("Restart", 22), ("DPM fast", 9)])
def test_a_run_equals_the_reference_loop(models_folder: Path, sampler: str, steps: int) -> None:
    checkpoint = get_checkpoint(models_folder / "checkpoints" / "tiny")
    encode = ScheduleEncoder(checkpoint, TextParams(), {})
    negative, prompt = (encode(text, StepCount(steps)).at(0).hidden[None] for text in (NEGATIVE, PROMPT))
    with asked_levels() as levels:
        found = own_latents(checkpoint, sampler, steps, [7])
    times = ends_of_steps(levels) if sampler == "DPM adaptive" else ()
    latents = Latents(checkpoint.unet, negative, prompt, CFG_SCALE, [7], (4, SIZE[1] // 8, SIZE[0] // 8), times)
    expected = reference_latents(latents, sampler, steps)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max() / expected.abs().max()) < TOLERANCE
