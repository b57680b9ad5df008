"""A second model for the last steps of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import tiny
import tiny_kinds
from stable_core.sdk import InvalidParams, Progress, Text
from stable_core_sd import checkpoint_store
from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.networks.training.jobs import train_embedding
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.params_training import TrainEmbeddingParams, TrainingPictures
from stable_core_sd.plugin import plugin, txt2img
from stable_core_sd.refiner import RefinedDenoise, share_done
from stable_core_sd.restoring import restore_run
from stable_core_sd.schedules import SigmaTable, training_betas
from stable_core_sd.settings import SdSettings

TABLE = SigmaTable(training_betas("scaled_linear", 0.00085, 0.012, 1000))


def make(**knobs: Any) -> Any:
    params = Txt2ImgParams(**{"checkpoint": "tiny", "steps": 6, "seed": 1, "width": 64, "height": 64, **knobs})
    (picture,) = txt2img(Text("a red circle"), params, Progress())
    return picture


@pytest.fixture
def others(tiny_models: Path) -> Path:
    """Make the plugin find a second tiny model, `other`, and a copy of the first, `same`."""
    tiny.write_folder(tiny_models / "checkpoints" / "other", tiny.make_models(seed=5))
    tiny.write_folder(tiny_models / "checkpoints" / "same", tiny.make_models(seed=0))
    checkpoint_store.unload()
    return tiny_models


def test_the_share_is_counted_at_the_nearest_noise_level() -> None:
    assert share_done(TABLE, TABLE.sigma_max) == 0
    assert share_done(TABLE, 100) == 0
    assert share_done(TABLE, TABLE.sigmas[499]) == 0.5
    assert share_done(TABLE, 0.0001) == 0.999


def test_the_second_model_takes_over_once() -> None:
    taken: list[str] = []

    def take_over() -> Any:
        taken.append("now")
        return lambda x, sigma: x + 2

    denoise = RefinedDenoise(lambda x, sigma: x + 1, take_over, 0.5, TABLE)
    x = torch.zeros(1)
    assert [int(denoise(x, sigma)) for sigma in (14.0, 2.0, 1.0, 0.5, 14.0)] == [1, 1, 2, 2, 2]
    assert taken == ["now"]


def test_a_run_changes_to_the_refiner_and_back(others: Path) -> None:
    alone = make()
    refined = make(refiner={"checkpoint": "other", "switch_at": 0.5})
    assert refined.tobytes() not in {alone.tobytes(), make(checkpoint="other").tobytes()}
    assert "Refiner: other, Refiner switch at: 0.5" in refined.info["parameters"]
    restored = restore_run(refined.info["parameters"])["params"]
    assert restored["refiner"] == {"checkpoint": "other", "switch_at": 0.5}
    assert make(refiner={"checkpoint": "same", "switch_at": 0.5}).tobytes() == alone.tobytes()
    assert next(reversed(checkpoint_store._kept.values())).name == "tiny"
    never = make(refiner={"checkpoint": "other", "switch_at": 1})
    assert never.tobytes() == alone.tobytes()
    assert "Refiner" not in never.info["parameters"]
    with pytest.raises(InvalidParams, match="nowhere"):
        make(refiner={"checkpoint": "nowhere", "switch_at": 0.5})


def test_edits_of_the_prompt_count_on(others: Path) -> None:
    prompt = "a [red:blue:4] circle"
    knobs: dict[str, Any] = {"checkpoint": "tiny", "steps": 6, "seed": 1, "width": 64, "height": 64}
    made = [
        next(iter(txt2img(Text(prompt), Txt2ImgParams(**knobs, **more), Progress()))).tobytes()
        for more in ({}, {"refiner": {"checkpoint": "same", "switch_at": 0.4}})
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize("kept", [1, 2])
def test_the_models_of_xl_work_together(tiny_models: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr(plugin, "settings", SdSettings(checkpoints_in_memory=kept))
    for kind in ("sdxl", "sdxl_refiner"):
        tiny_kinds.write_folder(tiny_models / "checkpoints" / kind, kind, tiny_kinds.make_models(kind))
    refined = make(checkpoint="sdxl", refiner={"checkpoint": "sdxl_refiner", "switch_at": 0.5})
    assert refined.tobytes() != make(checkpoint="sdxl").tobytes()
    assert len(checkpoint_store._kept) == kept


def test_only_the_second_of_two_passes_is_refined(others: Path) -> None:
    hires = {"enabled": True, "scale": 1.5, "denoising_strength": 0.9}
    knobs: dict[str, Any] = {"hires": hires, "steps": 3}
    refined = make(**knobs, refiner={"checkpoint": "other", "switch_at": 0.5})
    assert refined.size == (96, 96)
    assert refined.tobytes() != make(**knobs).tobytes()


def test_the_first_model_leaves_the_device_even_if_only_one_is_kept(
    others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "settings", SdSettings(checkpoints_in_memory=1))
    events: list[tuple[str, str]] = []
    load, park = checkpoint_store.load_checkpoint, Checkpoint.park

    def recorded_load(path: Path, *arguments: Any) -> Checkpoint:
        events.append(("load", path.name))
        return load(path, *arguments)

    def recorded_park(one: Checkpoint) -> None:
        events.append(("park", one.name))
        park(one)

    monkeypatch.setattr(checkpoint_store, "load_checkpoint", recorded_load)
    monkeypatch.setattr(Checkpoint, "park", recorded_park)
    make(refiner={"checkpoint": "other", "switch_at": 0.5})
    assert events[:3] == [("load", "tiny"), ("park", "tiny"), ("load", "other")]


def test_a_model_that_was_a_refiner_can_be_trained_with(others: Path) -> None:
    make(refiner={"checkpoint": "other", "switch_at": 0.5})
    knobs: dict[str, Any] = {"name": "thing", "checkpoint": "other", "steps": 1, "install": False}
    params = TrainEmbeddingParams(**knobs, on_the_way={"save_every": 0, "preview_every": 0})
    pictures = TrainingPictures([Image.new("RGB", (64, 64), "red")])
    assert train_embedding(pictures, params, Progress(), SdSettings()).is_file()
