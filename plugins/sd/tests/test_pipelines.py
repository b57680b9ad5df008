"""Other pipelines of diffusers: made, described, cancelled, and what they do not take is said."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from stable_core.sdk import InvalidParams, JobCancelled, Progress
from stable_core_sd import model_classes, pipelines
from stable_core_sd.params_models import DiffusersParams
from stable_core_sd.settings import SdSettings

NANO = Path(pipelines.__file__).parent / "models" / "nano"


@pytest.fixture
def perturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a models folder with a pipeline of another kind: one with perturbed attention, made of nano's parts."""
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")
    folder = tmp_path / "checkpoints" / "perturbed"
    shutil.copytree(NANO, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"_class_name": "StableDiffusionPAGPipeline", "scheduler": ["diffusers", "EulerDiscreteScheduler"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def make(progress: Progress | None = None, **knobs: Any) -> list[Any]:
    params = DiffusersParams(**{"model": "perturbed", "steps": 3, "seed": 7, **knobs})
    return list(pipelines.make_pictures("a red circle", params, progress or Progress(), SdSettings()))


def test_a_pipeline_makes_pictures_and_reports_its_steps(perturbed: Path) -> None:
    steps: list[int] = []

    class Noted(Progress):
        def report(self, step: int, total: int, message: str, preview: Any) -> None:
            steps.append(step)

    more = {"guidance_scale": 3.0, "pag_scale": 0.0}
    first, second = make(Noted(), batch_size=2, width=64, height=96, arguments=more)
    assert first.size == (64, 96)
    assert steps[-4:] == [1, 2, 3, 3]
    assert first.tobytes() != second.tobytes()
    (single,) = make(seed=8, width=64, height=96, arguments=more)
    difference = [abs(one - other) for one, other in zip(single.tobytes(), second.tobytes(), strict=True)]
    assert max(difference) <= 2  # picture i of a batch is that of the seed i higher
    assert make(seed=8, width=64, height=96)[0].tobytes() != single.tobytes()
    assert pipelines._loaded
    pipelines.unload()
    assert not pipelines._loaded


def test_a_cancelled_pipeline_stops_within_a_step(perturbed: Path) -> None:
    class Cancelling(Progress):
        def report(self, step: int, total: int, message: str, preview: Any) -> None:
            assert step < 2
            if step == 1:
                self.cancel()

    with pytest.raises(JobCancelled):
        make(Cancelling())


def test_a_pipeline_is_described_by_its_own_signature(perturbed: Path) -> None:
    found = pipelines.describe_pipeline("perturbed")
    assert found["pipeline"] == "StableDiffusionPAGPipeline"
    assert set(found["knobs"]) == {"steps", "negative_prompt", "width", "height", "batch_size"}
    arguments = found["schema"]["properties"]
    assert arguments["guidance_scale"]["type"] == "number"
    assert arguments["guidance_scale"]["default"] == 7.5
    assert "guidance" in arguments["guidance_scale"]["description"].lower()
    assert arguments["pag_scale"]["type"] == "number"
    assert arguments["timesteps"] == {
        "type": "array",
        "items": {"type": "integer"},
        "default": None,
        "description": arguments["timesteps"]["description"],
    }
    assert not {"prompt", "generator", "latents", "callback_on_step_end", "num_inference_steps"} & set(arguments)
    assert json.dumps(found)


def test_what_a_pipeline_does_not_take_is_said(perturbed: Path) -> None:
    with pytest.raises(InvalidParams, match="no argument strength here") as raised:
        make(arguments={"strength": 1})
    assert "guidance_scale" in raised.value.hint
    index = perturbed / "model_index.json"
    for name in ("NoSuchPipeline", "UNet2DConditionModel", None):
        index.write_text(json.dumps({"_class_name": name}))
        with pytest.raises(InvalidParams, match="has no pipeline"):
            make()
    index.unlink()
    with pytest.raises(InvalidParams):
        make()


def test_the_lean_import_is_untouched_by_the_whole_one() -> None:
    before = sys.modules["diffusers"]
    with pipelines.whole_library() as whole:
        assert whole is not before
        assert whole.UNet2DConditionModel is not model_classes.UNet2DConditionModel
        assert whole.StableDiffusionPipeline.__module__.startswith("diffusers.pipelines.")
    assert sys.modules["diffusers"] is before
    with pipelines.whole_library() as again:
        assert again is whole
