"""The upscale job: real network classes with small weights, read from files through the real loader."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from runs import Recorded
from stable_core.sdk import InvalidParams, JobCancelled, Progress
from stable_core_sd import upscale_models
from stable_core_sd.params_upscale import UpscaleParams
from stable_core_sd.plugin import upscale


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")
    (tmp_path / "upscale_models").mkdir()
    return tmp_path / "upscale_models"


def sampled_picture(width: int = 40, height: int = 24) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    shades = np.stack([x, y, 0.5 + 0.5 * np.sin(12 * x * y)], axis=-1)
    return Image.fromarray((255 * shades).astype(np.uint8))


def esrgan(scale: int) -> dict[str, torch.Tensor]:
    """Return a small ESRGAN that enlarges without changing much: its residual blocks add next to nothing."""
    upscale_models.import_spandrel()
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    return ESRGAN(num_filters=4, num_blocks=1, scale=scale).state_dict()


def make(image: Image.Image, progress: Progress | None = None, **knobs: Any) -> Image.Image:
    return upscale(image, UpscaleParams(**knobs), progress or Progress())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("scale", [2, 4])
def test_a_network_enlarges_by_what_is_asked_whatever_its_own_factor_is(folder: Path, suffix: str, scale: int) -> None:
    if suffix == ".pth":
        torch.save({"params_ema": esrgan(scale)}, folder / "small.pth")
    else:
        save_file(esrgan(scale), folder / "small.safetensors")
    made = make(sampled_picture(), upscaler="small", scale=3)
    assert (made.size, made.mode) == ((120, 72), "RGB")
    assert "Postprocess upscale by: 3.0, Postprocess upscaler: small" in made.info["parameters"]


def test_tiles_make_the_same_picture_as_the_whole(folder: Path) -> None:
    save_file(esrgan(2), folder / "small.safetensors")
    picture = sampled_picture(96, 80)
    whole = np.asarray(make(picture, upscaler="small", tile=0), dtype=int)
    tiled = np.asarray(make(picture, upscaler="small", tile=48, tile_overlap=16), dtype=int)
    assert np.abs(whole - tiled).max() <= 8
    assert np.abs(whole - tiled).mean() < 0.5


def test_a_run_can_be_cancelled_between_tiles(folder: Path) -> None:
    save_file(esrgan(2), folder / "small.safetensors")

    class Impatient(Progress):
        def report(self, step: int, total: int, message: str, preview: Image.Image | None) -> None:
            if "small" in message and step > 0:
                self.cancel()

    with pytest.raises(JobCancelled):
        make(sampled_picture(96, 80), Impatient(), upscaler="small", tile=32)


def test_progress_rises_over_both_upscalers_and_all_their_turns(folder: Path) -> None:
    save_file(esrgan(2), folder / "small.safetensors")
    progress = Recorded()
    knobs = {"second_upscaler": "small", "second_visibility": 0.5, "scale": 4}
    make(sampled_picture(96, 80), progress, upscaler="small", tile=48, **knobs)
    assert progress.steps[1:] == sorted(progress.steps[1:])
    assert progress.steps[-1] == (200, 200)


@pytest.mark.parametrize(
    ("knobs", "size"),
    [
        ({"scale": 2}, (80, 48)),
        ({"width": 100, "height": 100}, (100, 100)),
        ({"width": 100, "height": 100, "crop": False}, (160, 96)),
        ({"width": 80}, (80, 48)),
        ({"scale": 4, "max_side": 80}, (80, 48)),
        ({"upscaler": "None", "scale": 4}, (40, 24)),
    ],
)
def test_sizes(folder: Path, knobs: dict[str, Any], size: tuple[int, int]) -> None:
    assert make(sampled_picture(), **knobs).size == size


def test_the_second_upscaler_is_mixed_in(folder: Path) -> None:
    picture = sampled_picture()
    first, second = (np.asarray(make(picture, upscaler=name), dtype=float) for name in ("Lanczos", "Nearest"))
    mixed = make(picture, upscaler="Lanczos", second_upscaler="Nearest", second_visibility=0.25)
    assert np.abs(np.asarray(mixed) - (0.75 * first + 0.25 * second)).max() <= 1


def test_transparency_stays(folder: Path) -> None:
    picture = sampled_picture().convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 20, 24))
    made = make(picture, scale=2)
    assert made.mode == "RGBA"
    assert (made.getpixel((5, 20)), made.getpixel((70, 20))[3]) == ((0, 0, 0, 0), 255)


def test_wrong_files_are_refused_with_what_they_are(folder: Path, tmp_path: Path) -> None:
    save_file({"weight": torch.ones(3)}, folder / "other.safetensors")
    (folder / "cut.pth").write_bytes(b"PK\x03\x04 cut off")
    for name in ("other", "cut", "missing"):
        with pytest.raises(InvalidParams, match=name):
            make(sampled_picture(), upscaler=name)


def test_a_model_file_cannot_run_code(folder: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "touched",)

    (folder / "bomb.pth").write_bytes(pickle.dumps({"params": Bomb()}))
    torch.save({"params": Bomb()}, folder / "bomb2.pth")
    for name in ("bomb", "bomb2"):
        with pytest.raises(InvalidParams):
            make(sampled_picture(), upscaler=name)
    assert not (tmp_path / "touched").exists()
