"""Batches of a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from graphs import run
from stable_core.sdk import InvalidParams, Progress
from stable_core_sd import picture_scripts
from stable_core_sd.params_scripts import BatchFolderParams
from stable_core_sd.picture_files import texts_in, write_picture

TOLD = "a dog\nNegative prompt: bad\nSteps: 9, Sampler: Euler a, CFG scale: 3.0, Seed: 77, Size: 64x64"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two pictures, one of them with generation data, a broken one and a text."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(write_picture(Image.new("RGB", (64, 32), "red"), TOLD)[0])
    (tmp_path / "in" / "b.JPG").write_bytes(write_picture(Image.new("RGB", (32, 32), "blue"), "", "jpeg")[0])
    (tmp_path / "in" / "broken.webp").write_bytes(b"no picture")
    (tmp_path / "in" / "notes.txt").write_text("text")
    return tmp_path / "in"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what img2img is called with from now on; it makes as many plain pictures as the batch is large."""
    calls: list[Any] = []

    def img2img(picture: Any, params: Any, progress: Progress) -> Iterator[Image.Image]:
        calls.append((picture, params))
        for index in range(params.batch_size):
            made = Image.new("RGB", (8, 8), (index, 0, 0))
            made.info["parameters"] = f"p\nSteps: 1, Seed: {index}, CFG scale: 1"
            yield made

    monkeypatch.setattr(picture_scripts, "img2img", img2img)
    return calls


def batch(folder: Path, prompt: str = "a cat", **knobs: Any) -> list[Image.Image]:
    return run(picture_scripts.batch_folder(prompt, BatchFolderParams(**{"seed": 5, "folder": str(folder), **knobs})))


def test_every_picture_is_changed_with_the_same_seed_and_a_broken_one_is_skipped(folder: Path, runs: Any) -> None:
    assert len(batch(folder)) == 2
    assert [picture.image.size for picture, _ in runs] == [(64, 32), (32, 32)]
    assert {(picture.prompt, params.seed) for picture, params in runs} == {("a cat", 5)}


def test_the_size_can_follow_the_picture(folder: Path, runs: Any) -> None:
    batch(folder, scale_by=1.3)
    assert [(params.width, params.height) for _, params in runs] == [(88, 48), (48, 48)]


def test_knobs_are_taken_from_the_pictures(folder: Path, runs: Any) -> None:
    batch(folder, take=["Prompt", "Negative prompt", "Seed", "Sampler", "CFG scale"], steps=4, negative_prompt="worse")
    (first, told), (second, plain) = runs
    assert (first.prompt, told.negative_prompt) == ("a cat a dog", "worse bad")
    assert (told.seed, told.sampler, told.cfg_scale, told.steps) == (77, "Euler a", 3, 4)
    assert (second.prompt, plain.negative_prompt, plain.seed) == ("a cat", "worse", 5)


def test_results_are_saved_under_the_same_names(folder: Path, runs: Any, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    batch(folder, output_folder=str(out))
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]
    batch(folder, output_folder=str(out), batch_size=2, output_format="jpeg")
    assert (out / "a-2.jpg").is_file()
    assert texts_in((out / "a-2.jpg").read_bytes())[0] == "p\nSteps: 1, Seed: 1, CFG scale: 1"


def test_results_are_named_by_a_pattern(folder: Path, runs: Any, tmp_path: Path) -> None:
    batch(folder, output_folder=str(tmp_path / "out"), output_names="[basename] [seed]-[cfg]/[prompt_words]")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a 0-1_p.png", "b 0-1_p.png"]


def test_masks_go_with_the_pictures_of_their_names(folder: Path, runs: Any, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.new("L", (64, 32), 255).save(masks / "a.png")
    batch(folder, mask_folder=str(masks))
    assert len(runs) == 2  # one mask is for all
    Image.new("L", (64, 32), 255).save(masks / "other.png")
    batch(folder, mask_folder=str(masks))
    assert len(runs) == 3
    assert runs[-1][0].mask.size == (64, 32)


def test_a_folder_that_is_not_there_or_empty_is_said_so(tmp_path: Path) -> None:
    wrong = {tmp_path / "nowhere": "no folder", Path("relative"): "no folder", tmp_path: "no pictures"}
    for folder, message in wrong.items():
        with pytest.raises(InvalidParams, match=message):
            batch(folder)
