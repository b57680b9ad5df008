"""What the tests of this plugin share: tiny models in a models folder, made once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from stable_core.sdk import File
from stable_core.sdk.jobs import JobSignature
from stable_core_sd import announcement

__all__ = ["announcement"]  # imported first: jobs are announced in the order in which modules are imported

_EXAMPLES: dict[str, dict[str, Any]] = {
    "join_tiles": {"width": 96, "columns": [0, 32]},
    "merge": {"primary": "nano", "method": "No interpolation", "name": "example", "overwrite": True},
    "save_style": {"name": "example"},
    "delete_style": {"name": "example"},
    "train_embedding": {"name": "example", "steps": 2, "words": {"templates": "[name]"}},
    "custom_code": {"code": "print('one')\nreturn image"},
    "train_hypernetwork": {"name": "example", "steps": 2, "words": {"templates": "[name]"}},
}
"""Params for the jobs that do nothing useful with their defaults."""


def pytest_stable_core_example(signature: JobSignature) -> dict[str, Any]:
    """Tell the contract checks how to run a job quickly."""
    folder = Path(os.environ["STABLE_CORE_MODELS"])
    if signature.name == "delete_style":
        (folder / "styles.csv").write_text("name,prompt\nexample,an example\n")
    params = _EXAMPLES.get(signature.name, {})
    if signature.name == "batch_folder":
        PIL.Image.new("RGB", (64, 64)).save(folder / "picture.png")
        params = {"folder": str(folder)}
    if signature.name == "custom_code":
        from stable_core_sd.plugin import plugin

        plugin.configure({"allow_code": True})
    if signature.name in ("interrogate", "deepdanbooru", "add_description"):
        write_tiny_interrogators(folder)
    inputs = {"file": File(Path(__file__))} if signature.name == "read_parameters" else {}
    return {"inputs": inputs, "params": params}


def write_tiny_interrogators(folder: Path) -> None:
    """Put tiny models that say what a picture shows into a models folder."""
    import tiny_interrogation

    tiny_interrogation.write_blip(folder / "BLIP" / "tiny", tiny_interrogation.make_blip())
    tiny_interrogation.make_clip().save_pretrained(folder / "CLIP" / "tiny")
    tiny_interrogation.write_danbooru(folder, ["one", "two"])


def pytest_configure(config: pytest.Config) -> None:
    """Give the whole suite a models folder that jobs may write to."""
    folder = tempfile.TemporaryDirectory(prefix="sd-models-")
    os.environ["STABLE_CORE_MODELS"] = folder.name
    config.add_cleanup(folder.cleanup)


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a models folder with the same tiny model as a diffusers folder, `tiny`, and as one file, `tiny_file`."""
    import tiny

    root = tmp_path_factory.mktemp("models")
    models = tiny.make_models()
    tiny.write_folder(root / "checkpoints" / "tiny", models)
    tiny.write_single_file(root / "checkpoints" / "tiny_file.safetensors", models)
    return root


@pytest.fixture
def tiny_models(models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the plugin find the tiny models, read single files with their configs and run on the CPU."""
    import tiny
    from stable_core_sd import single_file

    monkeypatch.setenv("STABLE_CORE_MODELS", os.pathsep.join([str(models_folder), str(tmp_path)]))
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")
    tiny.write_configs(tmp_path / "configs" / "sd15")
    monkeypatch.setattr(single_file, "CONFIGS", tmp_path / "configs")
    return tmp_path


@pytest.fixture
def loras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder where prompts look for LoRAs."""
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    (tmp_path / "loras").mkdir()
    return tmp_path / "loras"


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Keep the suite on one thread, so that it is as fast on a busy machine."""
    import torch

    torch.set_num_threads(1)
