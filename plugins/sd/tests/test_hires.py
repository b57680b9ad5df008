"""The high-resolution pass, on a tiny model with random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from runs import Recorded, difference, draw
from stable_core.sdk import InvalidParams
from stable_core_sd import hires
from stable_core_sd.hires import INTERPOLATIONS
from stable_core_sd.params import LATENT_UPSCALERS, HiresParams, Txt2ImgParams

pytestmark = pytest.mark.usefixtures("tiny_models")

UPSCALERS = [*LATENT_UPSCALERS, "Lanczos", "Nearest"]


@pytest.mark.parametrize("upscaler", UPSCALERS)
def test_every_upscaler_reaches_the_size(upscaler: str) -> None:
    made = draw(hires={"enabled": True, "upscaler": upscaler})[0]
    assert made.size == (128, 128)
    assert f"Hires upscale: 2.0, Hires upscaler: {upscaler}" in made.info["parameters"]
    assert "Size: 64x64" in made.info["parameters"]


def test_the_upscalers_differ() -> None:
    names = [
        name for name in UPSCALERS if name != "Latent (antialiased)"
    ]  # the same as Latent where a latent only grows
    made = [draw(hires={"enabled": True, "upscaler": name, "denoising_strength": 0.3})[0] for name in names]
    assert all(difference(made[0], other) > 0 for other in made[1:])


def test_the_latent_upscalers_are_those_of_pytorch() -> None:
    latents = torch.arange(16.0).reshape(1, 1, 4, 4)
    shapes = {torch.nn.functional.interpolate(latents, size=(6, 6), **way).shape for way in INTERPOLATIONS.values()}
    assert shapes == {(1, 1, 6, 6)}


@pytest.mark.parametrize(
    ("knobs", "size"),
    [
        ({"scale": 1.3}, (80, 80)),
        ({"width": 96}, (96, 96)),
        ({"height": 112}, (112, 112)),
        ({"width": 128, "height": 80}, (128, 80)),
        ({"width": 80, "height": 136}, (80, 136)),
    ],
)
@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_every_size_is_reached_by_scale_or_by_cutting(
    knobs: dict[str, Any], size: tuple[int, int], upscaler: str
) -> None:
    assert draw(hires={"enabled": True, "upscaler": upscaler, **knobs})[0].size == size


def test_the_size_may_be_that_of_the_finished_picture() -> None:
    made = draw(width=192, height=96, hires={"enabled": True, "size_is_target": True})[0]
    assert made.size == (192, 96)
    assert "Size: 128x64" in made.info["parameters"]


def test_a_batch_equals_single_runs() -> None:
    hires = {"enabled": True}
    batch = draw(batch_size=2, batch_count=2, hires=hires, sampler="Euler a")
    singles = [draw(seed=7 + index, hires=hires, sampler="Euler a")[0] for index in range(4)]
    assert all(difference(*pair) <= 1 for pair in zip(batch, singles, strict=True))


@pytest.mark.parametrize(
    "knob",
    [
        {"denoising_strength": 0.4},
        {"steps": 2},
        {"sampler": "Euler a"},
        {"scheduler": "Normal"},
        {"prompt": "a blue square"},
        {"negative_prompt": "a blue square"},
        {"extra_noise": 0.1},
        {"checkpoint": "tiny_half"},
    ],
)
def test_every_knob_of_the_second_pass_counts(knob: dict[str, Any], tiny_models: Any) -> None:
    import tiny

    tiny.write_folder(tiny_models / "checkpoints" / "tiny_half", tiny.make_models(seed=3))
    plain, other = draw(hires={"enabled": True})[0], draw(hires={"enabled": True, **knob})[0]
    assert difference(plain, other) > 0
    for name, value in knob.items():
        title = {
            "steps": "Hires steps",
            "scheduler": "Hires schedule type",
            "denoising_strength": "Denoising strength",
            "extra_noise": "Extra noise",
        }
        key = title.get(name, f"Hires {name.replace('_', ' ')}")
        assert f"{key}: {value}" in other.info["parameters"]


def test_extra_noise_is_put_on_what_was_enlarged() -> None:
    latents = torch.zeros(1, 4, 16, 16)
    params = Txt2ImgParams(hires={"enabled": True, "extra_noise": 0.2})
    start = hires.start_of(latents, params)
    assert (start.latents is latents, start.extra_noise) == (True, 0.2)
    assert hires.start_of(latents, Txt2ImgParams(hires={"enabled": True})).extra_noise == 0
    plain = draw(hires={"enabled": True})[0]
    assert "Extra noise" not in plain.info["parameters"]


def test_what_the_second_pass_has_like_the_first_is_not_told() -> None:
    same = {"prompt": "a red circle", "negative_prompt": "bad", "sampler": "Euler"}
    (made,) = draw("a red circle", negative_prompt="bad", sampler="Euler", hires={"enabled": True, **same})
    told = made.info["parameters"]
    assert not [key for key in ("Hires prompt", "Hires negative prompt", "Hires sampler") if key in told]


def test_progress_counts_both_passes_of_all_batches() -> None:
    progress = Recorded()
    draw(progress=progress, steps=5, batch_count=2, hires={"enabled": True, "steps": 3, "denoising_strength": 0.5})
    steps = [step for step, _ in progress.steps]
    assert steps == sorted(steps)
    assert progress.steps[-1] == (16, 16)
    assert {total for _, total in progress.steps} == {16}


def test_without_strength_the_second_pass_only_enlarges() -> None:
    kept = [draw(hires={"enabled": True, "denoising_strength": 0, "steps": steps})[0] for steps in (0, 3)]
    assert difference(*kept) == 0


@pytest.mark.parametrize(
    "knobs",
    [
        {"hires": {"enabled": True, "upscaler": "Nonsense"}},
        {"hires": {"enabled": True, "checkpoint": "Nonsense"}},
        {"refiner": {"checkpoint": "Nonsense"}},
    ],
)
def test_an_unknown_model_is_refused_before_anything_is_drawn(knobs: dict[str, Any]) -> None:
    progress = Recorded()
    with pytest.raises(InvalidParams, match="Nonsense"):
        draw(progress=progress, **knobs)
    assert {step for step, _ in progress.steps} <= {0}


def test_names_of_samplers_are_taken_as_in_the_first_pass() -> None:
    assert HiresParams(sampler="dpm++ 2m karras") == HiresParams(sampler="DPM++ 2M", scheduler="Karras")
    assert HiresParams(sampler="k_euler_a").scheduler == ""
    assert HiresParams() == HiresParams(sampler="", scheduler="")
    with pytest.raises(ValidationError):
        Txt2ImgParams(hires={"sampler": "Nonsense"})


def test_the_second_pass_takes_the_sampler_and_schedule_of_the_first_unless_told_otherwise() -> None:
    assert (HiresParams(enabled=True).sampler, HiresParams(enabled=True).scheduler) == ("", "")
    assert (HiresParams(scheduler="karras").sampler, HiresParams(scheduler="karras").scheduler) == ("", "Karras")
    made = draw(sampler="Euler a", hires={"enabled": True, "upscaler": "Lanczos"})[0]
    told = draw(sampler="Euler a", hires={"enabled": True, "upscaler": "Lanczos", "sampler": "Euler a"})[0]
    assert difference(made, told) == 0
    assert "Hires sampler" not in made.info["parameters"]
