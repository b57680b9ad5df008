"""The txt2img job from end to end on a tiny model with random weights."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from stable_core.sdk import JobCancelled, JobSignature, Params, Progress, Text
from stable_core_sd import __version__
from stable_core_sd.names import SAMPLERS, SCHEDULERS
from stable_core_sd.params import RunParams, Txt2ImgParams
from stable_core_sd.plugin import plugin, txt2img

pytestmark = pytest.mark.usefixtures("tiny_models")


class Recorded(Progress):
    """Progress that keeps what it was told and can cancel after a step."""

    def __init__(self, cancel_after: int = -1) -> None:
        super().__init__(preview_seconds=0)
        self.steps: list[tuple[int, int]] = []
        self.previews: list[Image.Image] = []
        self.cancel_after = cancel_after

    def report(self, step: int, total: int, message: str, preview: Image.Image | None) -> None:
        self.steps.append((step, total))
        self.previews += [preview] if preview else []
        if step == self.cancel_after:
            self.cancel()


def make(prompt: str = "a red circle", progress: Progress | None = None, **knobs: Any) -> list[Image.Image]:
    params = Txt2ImgParams(**{"checkpoint": "tiny", "steps": 4, "seed": 7, **knobs})
    return list(txt2img(Text(prompt), params, progress or Progress()))


def difference(first: Image.Image, second: Image.Image) -> int:
    assert first.size == second.size
    return int(np.abs(np.asarray(first, dtype=int) - np.asarray(second, dtype=int)).max())


@pytest.mark.parametrize("sampler", [one.label for one in SAMPLERS])
def test_every_sampler_makes_a_picture_and_the_same_one_again(sampler: str) -> None:
    first, again = make(sampler=sampler)[0], make(sampler=sampler)[0]
    assert (first.size, first.mode) == ((64, 64), "RGB")
    assert difference(first, again) == 0
    assert np.asarray(first).std() > 5


@pytest.mark.parametrize("sampler", ["DPM++ 2M", "Euler a", "DDIM"])
def test_folder_and_single_file_make_the_same_picture(sampler: str) -> None:
    assert difference(make(sampler=sampler)[0], make(sampler=sampler, checkpoint="tiny_file")[0]) == 0


@pytest.mark.parametrize("sampler", [one.label for one in SAMPLERS])
def test_a_batch_equals_single_runs(sampler: str) -> None:
    batch = make(sampler=sampler, batch_size=4)
    singles = [make(sampler=sampler, seed=7 + index)[0] for index in range(4)]
    assert len(batch) == 4
    assert [difference(*pair) <= 1 for pair in zip(batch, singles, strict=True)] == [True] * 4
    assert difference(batch[0], batch[1]) > 5


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"negative_prompt": "a blue square"},
        {"cfg_scale": 3.0},
        {"steps": 5},
        {"sampler": "Euler a"},
        {"scheduler": "Normal"},
    ],
)
def test_every_knob_changes_the_picture(change: dict[str, Any]) -> None:
    assert difference(make()[0], make(**change)[0]) > 0


@pytest.mark.parametrize(
    "change",
    [
        {"variation": {"strength": 0.3, "seed": 5}},
        {"variation": {"resize_from_width": 32, "resize_from_height": 48}},
        {"noise": {"source": "NV"}},
        {"noise": {"eta": 0.5}},
        {"noise": {"seed_delta": 31337}},
        {"schedule": {"sigma_max": 10}},
        {"schedule": {"rho": 3}, "scheduler": "Karras"},
        {"schedule": {"sgm_noise": True}},
        {"schedule": {"discard_next_to_last": True}},
        {"schedule": {"whole_timesteps": True}, "scheduler": "Karras"},
        {"guidance": {"skip_below_sigma": 5}},
        {"guidance": {"skip_early": 0.5}},
    ],
    ids=str,
)
def test_every_advanced_knob_of_sampling_changes_the_picture(change: dict[str, Any]) -> None:
    given = {"sampler": "Euler a", "scheduler": change.get("scheduler", "Exponential")}
    usual, changed = make(**given)[0], make(**{**given, **change})[0]
    assert difference(usual, changed) > 0


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M SDE"])
def test_variations_in_a_batch_equal_single_ones(sampler: str) -> None:
    knobs = {"sampler": sampler, "noise": {"seed_delta": 3}}
    batch = make(batch_size=2, variation={"strength": 0.4, "seed": 5}, **knobs)
    single = make(variation={"strength": 0.4, "seed": 6}, **knobs)[0]
    assert difference(batch[1], single) <= 1
    assert "Seed: 7, " in batch[1].info["parameters"]
    assert "Variation seed: 6, Variation seed strength: 0.4" in batch[1].info["parameters"]


def test_the_prompt_changes_the_picture() -> None:
    assert difference(make()[0], make("a blue square")[0]) > 0


def test_the_negative_prompt_has_no_effect_at_cfg_scale_1() -> None:
    assert difference(make(cfg_scale=1)[0], make(cfg_scale=1, negative_prompt="a blue square")[0]) == 0


@pytest.mark.parametrize(("width", "height"), [(0, 0), (128, 64), (0, 40), (8, 8), (72, 104)])
def test_size_is_what_was_asked_and_the_models_own_by_default(width: int, height: int) -> None:
    picture = make(width=width, height=height)[0]
    assert picture.size == (width or 64, height or 64)
    assert f"Size: {width or 64}x{height or 64}" in picture.info["parameters"]


@pytest.mark.parametrize("prompt", ["", "word " * 2000, "ünïcödé 猫 \n\t ' \" <|endoftext|>"])
def test_any_prompt_works(prompt: str) -> None:
    assert make(prompt)[0].size == (64, 64)


def test_what_comes_after_75_tokens_still_counts() -> None:
    assert difference(make("word " * 90)[0], make("word " * 89 + "cat")[0]) > 0


def test_progress_rises_to_its_total_with_previews() -> None:
    progress = Recorded()
    make(progress=progress, steps=5, sampler="DDIM")
    steps = [step for step, _ in progress.steps]
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0, 5)
    assert {total for _, total in progress.steps} == {5}
    assert len(progress.previews) == 4  # DDIM leaves out the lowest interval
    assert all(max(preview.size) <= 256 for preview in progress.previews)


def test_a_preview_shows_the_whole_batch_or_nothing() -> None:
    batch, none = Recorded(), Recorded()
    make(progress=batch, batch_size=3)
    assert batch.previews[0].size == (128, 128)
    make(progress=none, preview=False)
    assert none.previews == []


@pytest.mark.parametrize("step", [0, 1, 3])
def test_cancel_takes_effect_within_one_step(step: int) -> None:
    progress = Recorded(cancel_after=step)
    with pytest.raises(JobCancelled):
        make(progress=progress)
    assert progress.steps[-1][0] == step


def test_each_picture_carries_its_generation_data() -> None:
    first, second = make(
        batch_size=2, negative_prompt="a dog, a cat", sampler="DPM++ 2M Karras", checkpoint="tiny_file"
    )
    assert second.info["parameters"].startswith(
        "a red circle\nNegative prompt: a dog, a cat\n"
        "Steps: 4, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.0, Seed: 8, Size: 64x64, Model hash: "
    )
    assert "Model: tiny_file, RNG: CPU" in second.info["parameters"]
    assert "Seed: 7" in first.info["parameters"]


def test_a_picture_tells_all_that_is_unusual_in_the_order_of_a1111(models_folder: Path, tiny_models: Path) -> None:
    (tiny_models / "vae").mkdir()
    [file] = (models_folder / "checkpoints" / "tiny" / "vae").glob("*.safetensors")
    copied = shutil.copy(file, tiny_models / "vae" / "own.safetensors")
    digits = hashlib.sha256(Path(copied).read_bytes()).hexdigest()[:10]
    knobs = {
        "vae": "own",
        "tiling": True,
        "sampler": "Euler a",
        "text": {"clip_skip": 2, "emphasis": "No norm"},
        "noise": {"eta": 0.5, "seed_delta": 31337},
        "variation": {"seed": 9, "strength": 0.25, "resize_from_width": 64, "resize_from_height": 128},
        "hires": {"enabled": True, "scale": 1.5, "steps": 2, "denoising_strength": 0.5, "upscaler": "Lanczos"},
        "negative_prompt": "bad",
        "more_parameters": {"Mood": "calm, mostly"},
    }
    picture = make("a (red:1.2) circle", **knobs)[0]
    assert picture.info["parameters"] == (
        "a (red:1.2) circle\nNegative prompt: bad\n"
        "Steps: 4, Sampler: Euler a, Schedule type: Automatic, CFG scale: 5.0, Seed: 7, Size: 64x64, Model: tiny, "
        f"VAE hash: {digits}, VAE: own.safetensors, Variation seed: 9, Variation seed strength: 0.25, "
        "Seed resize from: 64x128, Denoising strength: 0.5, Clip skip: 2, ENSD: 31337, RNG: CPU, Tiling: True, "
        "Hires upscale: 1.5, Hires steps: 2, Hires upscaler: Lanczos, Eta: 0.5, Emphasis: No norm, "
        f'Mood: "calm, mostly", Version: stable-core-sd {__version__}'
    )


def test_minus_one_makes_another_picture_each_time() -> None:
    assert difference(make(seed=-1)[0], make(seed=-1)[0]) > 0


def test_automatic_means_the_schedule_that_suits_the_sampler() -> None:
    assert difference(make(scheduler="Automatic")[0], make(scheduler="Karras")[0]) == 0
    assert (
        difference(make(sampler="Euler", scheduler="Automatic")[0], make(sampler="Euler", scheduler="Uniform")[0]) == 0
    )


@pytest.mark.parametrize("name", ["dpm++ 2m karras", "k_dpmpp_2m", "DPM++ 2M"])
def test_other_names_of_a_sampler_are_taken(name: str) -> None:
    assert Txt2ImgParams(sampler=name).sampler == "DPM++ 2M"


def test_the_choices_that_are_announced_are_all_there_is() -> None:
    properties = Txt2ImgParams.model_json_schema()["properties"]
    samplers, schedulers = properties["sampler"]["enum"], properties["scheduler"]["enum"]
    assert {Txt2ImgParams(sampler=name).sampler for name in samplers} == {one.label for one in SAMPLERS}
    assert schedulers == [one.label for one in SCHEDULERS]
    assert properties["checkpoint"]["x-ui"] == {"component": "model", "kind": "checkpoints"}
    assert properties["seed"]["x-ui"]["component"] == "seed"
    assert all("description" in knob and len(knob["description"]) < 120 for knob in properties.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampler": "Nonsense"},
        {"scheduler": "Nonsense"},
        {"sampler": 3},
        {"steps": 0},
        {"width": 65},
        {"cfg_scale": 0},
        {"colour": "red"},
    ],
)
def test_wrong_knobs_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Txt2ImgParams(**wrong)


def test_unload_forgets_the_checkpoint_and_the_next_run_loads_it_again() -> None:
    from stable_core_sd import checkpoint_store

    first = make()[0]
    assert checkpoint_store._kept
    for hook in plugin.unload_hooks:
        hook()
    assert not checkpoint_store._kept
    assert difference(first, make()[0]) == 0


def test_a_changed_file_is_loaded_again(tiny_models: Path) -> None:
    import tiny

    path = tiny.write_single_file(tiny_models / "checkpoints" / "changing.safetensors", tiny.make_models(seed=1))
    first = make(checkpoint="changing")[0]
    path.unlink()
    tiny.write_single_file(path, tiny.make_models(seed=2))
    assert difference(first, make(checkpoint="changing")[0]) > 0


def test_a_broken_model_is_an_error_and_not_a_black_picture(tiny_models: Path) -> None:
    import tiny

    models = tiny.make_models()
    models["unet"].conv_in.bias.data[0] = float("nan")
    tiny.write_single_file(tiny_models / "checkpoints" / "broken.safetensors", models)
    with pytest.raises(FloatingPointError, match="fp32"):
        make(checkpoint="broken")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_draws_nearly_the_same(precision: str) -> None:
    full = np.asarray(make()[0], dtype=float)
    plugin.configure({"precision": precision})
    half = np.asarray(make()[0], dtype=float)
    plugin.configure({})
    assert 0 < np.abs(full - half).mean() < 20


@pytest.mark.parametrize("job", [one for one in plugin.signatures.values() if one.cached], ids=lambda one: one.name)
def test_only_the_seed_is_random_by_default(job: JobSignature) -> None:
    def random_knobs(params: type[Params]) -> list[str]:
        inner = {name: field.annotation for name, field in params.model_fields.items()}
        groups = {name: kind for name, kind in inner.items() if isinstance(kind, type) and issubclass(kind, Params)}
        nested = [f"{name}.{knob}" for name, kind in groups.items() for knob in random_knobs(kind)]
        schema = params.model_json_schema()["properties"]
        seeds = [name for name, knob in schema.items() if knob.get("x-ui", {}).get("component") == "seed"]
        return [name for name in seeds if schema[name].get("default") == -1] + nested

    assert set(random_knobs(job.params)) <= {"seed"}


@pytest.mark.parametrize("job", [one for one in plugin.signatures.values() if one.cached], ids=lambda one: one.name)
def test_a_changed_network_or_style_is_another_run(job: JobSignature) -> None:
    """The core runs a cached job again when something in these folders has changed."""
    if issubclass(job.params, RunParams):
        assert {"loras", "embeddings", "hypernetworks", "styles.csv"} <= set(job.params.model_json_schema()["x-models"])
