"""Face restoration in the jobs: small networks in files, and a detector that sees the faces a test planted."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import face_files
from face_files import SMALL, randomized, small_gfpgan, smooth, write, write_all
from runs import Recorded, box_mask, change, difference, draw, noisy, pixels
from stable_core.sdk import InvalidParams, JobCancelled, Progress
from stable_core_sd import plugin as plugin_module
from stable_core_sd.faces import loading, restoration
from stable_core_sd.faces.alignment import Similarity
from stable_core_sd.faces.codeformer import CodeFormer
from stable_core_sd.invocations.axes import Run, apply_value, find_axis, knobs_of
from stable_core_sd.invocations.plots import plan_plot
from stable_core_sd.params_scripts import AnyRunParams, PlotParams
from stable_core_sd.params_upscale import UpscaleParams
from stable_core_sd.plugin import upscale
from stable_core_sd.restoring import restore_run

LEFT, RIGHT = Similarity(0.2, 10 + 20j), Similarity(0.15, 200 + 40j)
SIZE = (300, 200)

Plant = Callable[..., None]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a models folder with a small network of each kind."""
    folder = tmp_path_factory.mktemp("faces")
    write_all(folder)
    return folder


@pytest.fixture
def models(networks: Path, tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the plugin find the small networks beside the tiny models, and read GFPGAN in their size."""
    import os

    loading.import_spandrel()
    monkeypatch.setattr("spandrel.architectures.GFPGAN.GFPGAN", small_gfpgan)
    monkeypatch.setenv("STABLE_CORE_MODELS", os.pathsep.join([os.environ["STABLE_CORE_MODELS"], str(networks)]))
    loading.unload()
    return networks


@pytest.fixture
def plant(models: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Return what makes the detector see given faces in pictures of a size."""

    def planting(*faces: Similarity, size: tuple[int, int] = SIZE) -> None:
        monkeypatch.setattr(restoration, "load_detector", lambda: face_files.planted(size, faces))

    return planting


def finished(image: Image.Image, progress: Progress | None = None, **faces: float) -> Image.Image:
    """Restore the faces of a finished picture that stays as large as it is."""
    return upscale(image, UpscaleParams(upscaler="None", faces=faces), progress or Progress())


def changed_box(before: Image.Image, after: Image.Image) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what differs between two pictures."""
    rows, columns = np.nonzero(np.abs(pixels(before) - pixels(after)).max(axis=-1))
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


@pytest.mark.parametrize("name", ["gfpgan", "codeformer"])
def test_only_faces_are_changed(plant: Plant, name: str) -> None:
    plant(LEFT)
    picture = smooth(*SIZE)
    made = finished(picture, **{f"{name}_visibility": 1})
    left, top, right, bottom = changed_box(picture, made)
    assert 10 <= left < 20
    assert 20 <= top < 30
    assert 100 < right <= 10 + 0.2 * 512
    assert 110 < bottom <= 20 + 0.2 * 512
    assert difference(made, finished(picture, **{f"{name}_visibility": 1})) == 0


def test_every_face_is_restored_from_the_picture_as_it_was(plant: Plant) -> None:
    picture = smooth(*SIZE)
    alone = []
    for faces in ([LEFT], [RIGHT], [LEFT, RIGHT]):
        plant(*faces)
        alone.append(pixels(finished(picture, codeformer_visibility=1)))
    assert np.array_equal(np.hstack([alone[0][:, :150], alone[1][:, 150:]]), alone[2])


def test_visibility_mixes_and_gfpgan_goes_first(plant: Plant) -> None:
    plant(LEFT)
    picture = smooth(*SIZE)
    first = finished(picture, gfpgan_visibility=1)
    half = finished(picture, gfpgan_visibility=0.5)
    assert np.abs(pixels(half) - (pixels(picture) + pixels(first)) / 2).max() <= 1
    both = finished(picture, gfpgan_visibility=1, codeformer_visibility=0.25)
    assert difference(both, Image.blend(first, finished(first, codeformer_visibility=1), 0.25)) <= 1


def test_the_weight_of_codeformer_counts(plant: Plant) -> None:
    plant(LEFT)
    weights = [finished(smooth(*SIZE), codeformer_visibility=1, codeformer_weight=weight) for weight in (0, 1)]
    assert difference(*weights) > 0


def test_generation_data_says_what_was_done(plant: Plant) -> None:
    plant(LEFT)
    made = finished(smooth(*SIZE), gfpgan_visibility=0.5, codeformer_visibility=0.25, codeformer_weight=0.123456)
    said = "GFPGAN visibility: 0.5, CodeFormer visibility: 0.25, CodeFormer weight: 0.123"
    assert made.info["parameters"] == said
    assert finished(smooth(*SIZE)).info["parameters"] == ""


def test_faces_are_looked_for_in_the_enlarged_picture_and_transparency_stays(plant: Plant) -> None:
    plant(Similarity(0.4, 20 + 40j), size=(600, 400))
    picture = smooth(*SIZE).convert("RGBA")
    picture.paste((9, 9, 9, 0), (200, 0, 300, 200))
    knobs = UpscaleParams(upscaler="Lanczos", faces={"gfpgan_visibility": 1})
    made, plain = upscale(picture, knobs, Progress()), upscale(picture, UpscaleParams(upscaler="Lanczos"), Progress())
    assert (made.mode, made.size) == ("RGBA", (600, 400))
    assert made.getchannel("A").tobytes() == plain.getchannel("A").tobytes()
    left, _, right, _ = changed_box(plain, made)
    assert 20 <= left < 40
    assert 200 < right < 20 + 0.4 * 512


def test_a_picture_without_faces_stays_as_it_is_and_a_note_says_so(plant: Plant) -> None:
    plant()
    picture = smooth(*SIZE)
    made = finished(picture, gfpgan_visibility=1, codeformer_visibility=1)
    assert made.tobytes() == picture.tobytes()
    assert made.info["notes"] == [restoration.NO_FACE]


@pytest.mark.parametrize("size", [(120, 80), (8, 8), (1, 300), (2000, 3)])
def test_the_real_detector_runs_on_pictures_of_any_shape(models: Path, size: tuple[int, int]) -> None:
    """Random weights see no face, or some; either way the whole path from file to picture is gone."""
    assert finished(smooth(*size), gfpgan_visibility=1).size == size


def test_a_run_can_be_cancelled_between_faces(plant: Plant) -> None:
    plant(LEFT, RIGHT)
    heard = []

    class Impatient(Progress):
        def report(self, step: int, total: int, message: str, preview: Image.Image | None) -> None:
            heard.append(message)
            if message.startswith("Restoring face 1"):
                self.cancel()

    with pytest.raises(JobCancelled):
        finished(smooth(*SIZE), Impatient(), codeformer_visibility=1)
    assert heard[-1] == "Restoring face 1 of 2 with CodeFormer"


@pytest.mark.parametrize(
    ("missing", "knobs", "told"),
    [
        ("GFPGANv1.4.pth", {"gfpgan_visibility": 1}, r"no GFPGANv1\.4\.pth in models/GFPGAN"),
        ("codeformer-v0.1.0.pth", {"codeformer_visibility": 1}, r"no codeformer-v0\.1\.0\.pth in models/Codeformer"),
        (
            "detection_Resnet50_Final.pth",
            {"gfpgan_visibility": 1},
            r"no detection_Resnet50_Final\.pth in models/G",
        ),
    ],
)
def test_a_missing_file_is_named_with_its_folder_before_anything_runs(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, knobs: dict[str, float], told: str
) -> None:
    for path in models.rglob("*.pth"):
        if path.name != missing:
            (tmp_path / "here" / path.parent.name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "here" / path.parent.name / path.name).symlink_to(path)
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path / "here"))
    said = Recorded()
    with pytest.raises(InvalidParams, match=told) as failed:
        finished(smooth(*SIZE), said, **knobs)
    assert "https://" in failed.value.hint
    assert not any("face" in message for message in said.messages)


def test_without_the_parser_a_soft_square_is_laid_back(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(LEFT)
    picture = smooth(*SIZE)
    parsed = finished(picture, codeformer_visibility=1)
    monkeypatch.setattr(restoration, "load_parser", lambda: None)
    square = finished(picture, codeformer_visibility=1)
    assert difference(parsed, square) > 0
    left, top, right, bottom = changed_box(picture, square)
    assert left >= 10
    assert top >= 20
    assert right <= 10 + 0.2 * 512
    assert bottom <= 20 + 0.2 * 512


def test_the_newest_gfpgan_counts_also_beside_the_models_folder(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path / "models"))
    (tmp_path / "models" / "GFPGAN").mkdir(parents=True)
    for place in ("models/GFPGAN/GFPGANv1.3.pth", "GFPGANv1.4.pth"):
        (tmp_path / place).touch()
        found = loading.need_file(loading.RESTORERS["GFPGAN"])
        assert found == tmp_path / place


def test_wrong_files_are_refused_and_run_no_code(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "touched",)

    plant(LEFT)
    folder = tmp_path / "first" / "GFPGAN"
    (folder).mkdir(parents=True)
    path = folder / "GFPGANv9.pth"
    path.write_bytes(pickle.dumps({"params_ema": Bomb()}))
    monkeypatch.setenv("STABLE_CORE_MODELS", f"{folder.parent}:{tmp_path}")
    monkeypatch.setattr("stable_core_sd.extras.check_files", lambda name: None)
    with pytest.raises(InvalidParams, match=r"GFPGANv9\.pth was refused"):
        finished(smooth(*SIZE), gfpgan_visibility=1)
    assert not (tmp_path / "touched").exists()
    torch.save({"conv.weight": torch.ones(1)}, path)
    with pytest.raises(InvalidParams, match=r"GFPGANv9\.pth cannot be read as GFPGAN"):
        finished(smooth(*SIZE), gfpgan_visibility=1)
    write(folder, "codeformer.pth", randomized(small_gfpgan()))
    with pytest.raises(InvalidParams, match=r"codeformer\.pth is not"):
        finished(smooth(*SIZE), codeformer_visibility=1)


def test_networks_stay_loaded_until_their_file_changes_or_memory_is_wanted(models: Path, tmp_path: Path) -> None:
    first = loading.load_detector()
    assert loading.load_detector() is first
    plugin_module.free_memory()
    assert loading.load_detector() is not first
    path = write(tmp_path, "codeformer.pth", CodeFormer(SMALL))
    kept = loading._kept("CodeFormer", path, loading.read_codeformer)
    write(tmp_path, "codeformer.pth", randomized(CodeFormer(SMALL)))
    assert loading._kept("CodeFormer", path, loading.read_codeformer) is not kept


SMALL_FACE = Similarity(0.1, 6 + 5j)


@pytest.mark.parametrize("model", ["CodeFormer", "GFPGAN"])
def test_txt2img_restores_the_faces_of_every_picture_and_says_so(plant: Plant, model: str) -> None:
    plant(SMALL_FACE, size=(64, 64))
    plain = draw(batch_size=2)
    made = draw(batch_size=2, restore_faces=True, faces={"model": model})
    for before, after in zip(plain, made, strict=True):
        left, top, right, bottom = changed_box(before, after)
        assert left >= 6
        assert top >= 5
        assert right <= 6 + 52
        assert bottom <= 5 + 52
        assert f", Face restoration: {model}, Size: 64x64" in after.info["parameters"]
        assert "Face restoration" not in before.info["parameters"]
        assert "notes" not in after.info


def test_the_second_pass_keeps_the_wish_and_its_picture_is_restored(plant: Plant) -> None:
    plant(SMALL_FACE, size=(128, 128))
    hires = {"enabled": True, "denoising_strength": 0.5}
    assert difference(draw(hires=hires)[0], draw(hires=hires, restore_faces=True)[0]) > 0


def test_a_run_without_faces_notes_it_and_is_as_without_the_wish(plant: Plant) -> None:
    plant()
    made = draw(restore_faces=True)[0]
    assert difference(made, draw()[0]) == 0
    assert made.info["notes"] == [restoration.NO_FACE]


def test_a_run_says_at_once_that_a_file_is_missing(tiny_models: Path) -> None:
    said = Recorded()
    with pytest.raises(InvalidParams, match="models/Codeformer"):
        draw(progress=said, restore_faces=True)
    assert not any("Sampling" in message for message in said.messages)
    assert max(step for step, _ in said.steps) == 0


def test_faces_are_restored_again_with_less_memory_if_it_runs_out(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(SMALL_FACE, size=(64, 64))
    expected, calls = draw(restore_faces=True)[0], []

    def scarce(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return restoration.restore_faces(*arguments)

    monkeypatch.setattr("stable_core_sd.engine.restore_faces", scarce)
    made = draw(restore_faces=True)[0]
    assert len(calls) == 2
    assert difference(made, expected) <= 1
    assert "Memory ran out" in made.info["notes"][0]


def test_a_face_outside_of_the_mask_stays_as_it_is(plant: Plant) -> None:
    plant(SMALL_FACE, size=(64, 64))
    picture = noisy()
    made = change(picture, mask=box_mask((64, 64), (40, 0, 64, 64)), restore_faces=True, inpaint={"mask_blur_x": 0})[0]
    assert np.array_equal(pixels(made)[:, :32], pixels(picture)[:, :32])


def test_colours_are_corrected_after_faces(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(SMALL_FACE, size=(64, 64))
    seen: list[Image.Image] = []
    monkeypatch.setattr("stable_core_sd.images.source.match_colours", lambda made, _: seen.append(made) or made)
    made = change(noisy(), restore_faces=True, color_correction=True)[0]
    assert difference(seen[0], made) == 0
    assert difference(seen[0], change(noisy())[0]) > 0


@pytest.mark.parametrize(
    ("value", "is_on", "model"),
    [
        ("CodeFormer", True, "CodeFormer"),
        ("codeformer", True, "CodeFormer"),
        ("GFPGAN", True, "GFPGAN"),
        ("true", True, "RestoreFormer"),
        ("Yes", True, "RestoreFormer"),
        ("y", True, "RestoreFormer"),
        ("1", True, "RestoreFormer"),
        ("false", False, "RestoreFormer"),
        ("None", False, "RestoreFormer"),
        ("0", False, "RestoreFormer"),
    ],
)
def test_values_of_the_axis(value: str, is_on: bool, model: str) -> None:
    run = Run("", "", knobs_of(AnyRunParams(faces={"model": "RestoreFormer"})))
    axis = find_axis("face restore", from_image=False)
    knobs = apply_value(run, axis, value, [value], from_image=False).knobs
    assert (knobs["restore_faces"], knobs["faces.model"]) == (is_on, model)
    assert axis.label(value) == value


def test_a_plot_checks_values_and_files_before_it_starts(tiny_models: Path) -> None:
    for values, told in (("maybe", "restores no faces"), ("false,GFPGAN", "models/GFPGAN")):
        params = PlotParams(checkpoint="tiny", x_axis="Face restore", x_values=values)
        with pytest.raises(InvalidParams, match=told):
            plan_plot("a cat", params, from_image=False)


def test_face_restoration_is_read_from_a_picture() -> None:
    read = restore_run("a cat\nSteps: 20, Sampler: Euler a, Seed: 1, Face restoration: GFPGAN, Size: 64x64")
    assert (read["params"]["restore_faces"], read["params"]["faces"]) == (True, {"model": "GFPGAN"})
    assert read["notes"] == []
    read = restore_run("a cat\nSteps: 20, Sampler: Euler a, Seed: 1, Face restoration: Other, Size: 64x64")
    assert "faces" not in read["params"]
    assert any("faces.model" in note for note in read["notes"])
