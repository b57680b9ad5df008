"""Merging checkpoints: files and folders, what is written beside the weights, and that nothing is left half done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import tiny
from script_pictures import write_swapped
from stable_core.sdk import InvalidParams, JobCancelled, Progress, Text
from stable_core_sd import merge_files
from stable_core_sd.checkpoint import load_checkpoint
from stable_core_sd.hashes import sha256_of
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.params_models import MergeParams
from stable_core_sd.plugin import txt2img
from stable_core_sd.tensor_writer import write_safetensors

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
POSITIONS = "cond_stage_model.transformer.text_model.embeddings.position_ids"


@pytest.fixture
def parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkpoints folder with three small models, `a`, `b` and `c`, and a VAE `v`."""
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "vae").mkdir()
    for number, name in enumerate("abc"):
        tensors = {
            FIRST: torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(number)),
            "model.w": torch.full((3,), float(number)),
            "first_stage_model.x": torch.full((2,), float(number)),
            f"model.only_{name}": torch.ones(1),
            POSITIONS: torch.arange(4) * number,
            "betas": torch.full((1,), float(number)),
        }
        save_file(tensors, tmp_path / "checkpoints" / f"{name}.safetensors", {"of": name, name: "1"})
    save_file({"x": torch.full((2,), 9.0), "other": torch.ones(1)}, tmp_path / "vae" / "v.safetensors")
    return tmp_path / "checkpoints"


def merge(**knobs: Any) -> tuple[dict[str, torch.Tensor], Path]:
    result = merge_files.merge(MergeParams(**{"primary": "a", "secondary": "b", "tertiary": "c", **knobs}), Progress())
    path = Path(result["path"])
    return (load_file(path) if path.suffix == ".safetensors" else {}), path


@pytest.mark.parametrize(("multiplier", "parent"), [(0.0, "a"), (1.0, "b")])
def test_the_ends_are_the_parents(parents: Path, multiplier: float, parent: str) -> None:
    merged, path = merge(multiplier=multiplier)
    expected = load_file(parents / f"{parent}.safetensors")
    for name in (FIRST, "model.w", "first_stage_model.x"):
        assert torch.equal(merged[name], expected[name])
    assert path.name == f"{1 - multiplier}(a) + {multiplier}(b).safetensors"
    assert merged["betas"] == 0
    assert merged[POSITIONS].tolist() == [0, 0, 0, 0]
    assert merged.keys() == load_file(parents / "a.safetensors").keys()


def test_a_difference_is_added(parents: Path) -> None:
    merged, path = merge(method="Add difference", multiplier=0.5, save_as_half=True)
    a, b, c = (load_file(parents / f"{name}.safetensors")[FIRST] for name in "abc")
    assert torch.equal(merged[FIRST], (a + (b - c) * 0.5).half())
    assert merged["betas"].dtype == torch.float32
    assert path.name == "a + 0.5(b - c).safetensors"


def test_what_only_b_has_learned_counts_only_if_c_knows_it(parents: Path) -> None:
    for name in "ab":
        tensors = load_file(parents / f"{name}.safetensors")
        save_file({**tensors, "model.new": torch.full((1,), 5.0)}, parents / f"{name}.safetensors")
    merged, _ = merge(method="Add difference", multiplier=1.0)
    assert merged["model.new"].tolist() == [5.0]


def test_a_vae_is_baked_in_and_names_are_left_out(parents: Path) -> None:
    merged, _ = merge(vae="v", discard_weights="^betas$|only_", name="baked")
    assert merged["first_stage_model.x"].tolist() == [9.0, 9.0]
    assert merged.keys() == {FIRST, "model.w", "first_stage_model.x", POSITIONS}


def test_an_inpainting_model_keeps_its_other_channels(parents: Path) -> None:
    wide = load_file(parents / "a.safetensors")
    wide[FIRST] = torch.arange(2 * 9 * 9, dtype=torch.float32).reshape(2, 9, 3, 3)
    save_file(wide, parents / "wide.safetensors")
    merged, path = merge(primary="wide", multiplier=1.0, name="mine")
    assert path.name == "mine.inpainting.safetensors"
    assert torch.equal(merged[FIRST][:, :4], load_file(parents / "b.safetensors")[FIRST])
    assert torch.equal(merged[FIRST][:, 4:], wide[FIRST][:, 4:])
    with pytest.raises(InvalidParams, match="input_blocks") as raised:
        merge(secondary="wide")
    assert "has to be A" in raised.value.hint


def test_the_result_tells_where_it_comes_from(parents: Path) -> None:
    _, path = merge(metadata='{"author": "me"}', multiplier=0.25)
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    assert {name: metadata[name] for name in ("of", "a", "b", "author", "format")} == {
        "of": "b",
        "a": "1",
        "b": "1",
        "author": "me",
        "format": "pt",
    }
    recipe, family = (json.loads(metadata[name]) for name in ("sd_merge_recipe", "sd_merge_models"))
    assert recipe["multiplier"] == 0.25
    assert len(recipe["primary_model_hash"]) == 64
    assert [entry["name"] for entry in family.values()] == ["a.safetensors", "b.safetensors"]
    _, again = merge(primary=path.stem, name="second generation")
    with safe_open(again, framework="pt") as opened:
        family = json.loads(opened.metadata()["sd_merge_models"])
    assert {entry["name"] for entry in family.values()} == {path.name, "a.safetensors", "b.safetensors"}


def test_models_may_be_named_by_hash_and_lie_in_folders(parents: Path) -> None:
    (parents / "old").mkdir()
    (parents / "c.safetensors").rename(parents / "old" / "c.safetensors")
    _, path = merge(primary=sha256_of(parents / "a.safetensors")[:10], secondary="old/c", multiplier=0.5)
    assert path.name == "0.5(a) + 0.5(old_c).safetensors"


def test_ckpt_files_with_old_names_go_in_and_out(parents: Path, tmp_path: Path) -> None:
    new, old = (f"cond_stage_model.transformer{part}.embeddings.token" for part in (".text_model", ""))
    for name, key in (("old", old), ("new", new)):
        torch.save({"state_dict": {key: torch.full((1,), 4.0 if name == "old" else 2.0)}}, parents / f"{name}.ckpt")
    _, path = merge(primary="old", secondary="new", multiplier=0.5, format="ckpt")
    assert torch.load(path, weights_only=True)["state_dict"] == {new: torch.tensor([3.0])}


def test_the_config_beside_a_parent_is_copied(parents: Path) -> None:
    (parents / "b.yaml").write_text("parameterization: v")
    _, path = merge(name="with config")
    assert path.with_suffix(".yaml").read_text() == "parameterization: v"
    _, path = merge(name="without", config_source="C")
    assert not path.with_suffix(".yaml").exists()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"secondary": ""}, "requires a secondary model"),
        ({"method": "Add difference", "tertiary": ""}, "requires a tertiary model"),
        ({"name": "../away"}, "no file name"),
        ({"name": "a"}, "exists already"),
        ({"discard_weights": "("}, "no regular expression"),
        ({"metadata": "{"}, "no JSON"),
        ({"metadata": "[]"}, "no JSON object"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    parents: Path, knobs: dict[str, Any], message: str
) -> None:
    before = sorted(parents.iterdir())
    with pytest.raises(InvalidParams, match=message):
        merge(**knobs)
    assert sorted(parents.iterdir()) == before


def test_a_cancelled_merge_leaves_no_file(parents: Path) -> None:
    class Cancelling(Progress):
        def report(self, step: int, total: int, message: str, preview: Any) -> None:
            if step == 2:
                self.cancel()

    with pytest.raises(JobCancelled):
        merge_files.merge(MergeParams(primary="a", secondary="b"), Cancelling())
    assert sorted(path.name for path in parents.iterdir()) == ["a.safetensors", "b.safetensors", "c.safetensors"]


def test_folders_are_merged_into_a_folder_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    folders = [tmp_path / "checkpoints" / name for name in "ab"]
    models = [tiny.make_models(seed) for seed in (1, 2)]
    for folder, made in zip(folders, models, strict=True):
        tiny.write_folder(folder, made)
    for multiplier in (0.0, 1.0, 0.5):
        _, path = merge(multiplier=multiplier)
        loaded = load_checkpoint(path, torch.device("cpu"), torch.float32)
        for part in ("unet", "vae", "text_encoder"):
            a, b = (made[part].state_dict() for made in models)
            for name, tensor in getattr(loaded, part).state_dict().items():
                assert torch.allclose(tensor, (1 - multiplier) * a[name] + multiplier * b[name])


def test_every_type_of_number_is_written(tmp_path: Path) -> None:
    dtypes = (torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.uint8, torch.bool)
    tensors = {str(dtype): torch.tensor([[1, 0, 1]]).to(dtype) for dtype in dtypes}
    tensors |= {"none": torch.empty(0), "single": torch.tensor(2.5), "turned": torch.rand(3, 2).T}
    path = tmp_path / "all.safetensors"
    counted: list[int] = []
    write_safetensors(path, tensors, tensors.__getitem__, {"a": "text", "b": {"c": 1}}, counted.append)
    found = load_file(path)
    assert all(found[name].dtype == tensor.dtype for name, tensor in tensors.items())
    assert all(torch.equal(found[name].double(), tensor.double()) for name, tensor in tensors.items())
    assert counted == list(range(1, len(tensors) + 1))
    assert [file.name for file in tmp_path.iterdir()] == ["all.safetensors"]


def test_pictures_go_from_one_parent_to_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in model is merged with one that swaps colours in the last layer of its VAE."""
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")
    write_swapped(tmp_path / "checkpoints" / "swapped")

    def picture(checkpoint: str) -> torch.Tensor:
        params = Txt2ImgParams(checkpoint=checkpoint, steps=8, seed=1)
        made = next(iter(txt2img(Text("a red circle"), params, Progress())))
        return torch.tensor(list(made.tobytes()), dtype=torch.float32)

    for multiplier in (0.0, 0.25, 1.0):
        merge(primary="nano", secondary="swapped", multiplier=multiplier, name=f"merged {multiplier}")
    nano, other = picture("nano"), picture("swapped")
    assert torch.equal(picture("merged 0.0"), nano)
    assert torch.equal(picture("merged 1.0"), other)
    between = 0.75 * nano + 0.25 * other
    assert (picture("merged 0.25") - between).abs().mean() < 2
    assert (nano - other).abs().mean() > 20
