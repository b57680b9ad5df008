"""Whole runs of Stable Diffusion 2.x and XL against pipelines of diffusers with text encoders of transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_kinds
from stable_core.sdk import Progress, Text
from stable_core_sd import plugin
from stable_core_sd.checkpoint import BUNDLED_TOKENIZER
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.params_models import DiffusersParams

SIZE = {"width": 64, "height": 48}
CLASSES = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
}
CLASSES_OF_XL = {
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
}


def changed(path: Path, **values: Any) -> None:
    """Change some values of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def write_pipeline(folder: Path, kind: str, **scheduler: Any) -> None:
    """Write a tiny folder with all that pipelines of diffusers want."""
    tiny_kinds.write_folder(folder, kind, tiny_kinds.make_models(kind))
    classes = CLASSES | (CLASSES_OF_XL if kind == "sdxl" else {"safety_checker": [None, None]})
    classes |= {} if kind == "sdxl" else {"feature_extractor": [None, None]}
    changed(folder / "model_index.json", **classes)
    changed(folder / "scheduler" / "scheduler_config.json", _class_name="EulerDiscreteScheduler", **scheduler)
    for name in classes:
        if name.startswith("tokenizer"):
            shutil.copytree(BUNDLED_TOKENIZER, folder / name)
            if name == "tokenizer_2" or kind == "sd21":
                for file in ("special_tokens_map.json", "tokenizer_config.json"):
                    changed(folder / name / file, pad_token="!")  # token 0
        if name.startswith("text_encoder"):
            changed(folder / name / "config.json", architectures=[classes[name][1]], model_type="clip_text_model")


@pytest.mark.parametrize(
    ("kind", "scheduler"),
    [("sd21", {}), ("sd21", {"prediction_type": "v_prediction"}), ("sdxl", {})],
    ids=["sd21", "sd21-v", "sdxl"],
)
def test_pictures_equal_those_of_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, scheduler: dict[str, Any]
) -> None:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")
    write_pipeline(tmp_path / "checkpoints" / "model", kind, **scheduler)
    shared = {"negative_prompt": "a blue square", "steps": 4, "seed": 7, **SIZE}
    ours = Txt2ImgParams(checkpoint="model", sampler="Euler", scheduler="Uniform", cfg_scale=5, **shared)
    theirs = DiffusersParams(model="model", arguments={"guidance_scale": 5.0}, **shared)
    (made,) = plugin.txt2img(Text("a red circle"), ours, Progress())
    (expected,) = plugin.diffusers(Text("a red circle"), theirs, Progress())
    difference = np.abs(np.asarray(made, dtype=int) - np.asarray(expected, dtype=int))
    assert difference.max() <= 1  # A1111 cuts shades off where diffusers rounds
    assert np.asarray(made).std() > 10
