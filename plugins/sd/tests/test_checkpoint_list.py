"""Names of checkpoints and VAEs: what is listed, what a text means, hashes that are found once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from stable_core.sdk import InvalidParams, Progress
from stable_core_sd import hashes
from stable_core_sd.checkpoint_facts import describe_checkpoint
from stable_core_sd.checkpoint_list import checkpoint_files, find_checkpoint, find_vae, list_models


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkpoints folder with three files."""
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    folder = tmp_path / "checkpoints"
    (folder / "anime").mkdir(parents=True)
    for name in ("v1-5.safetensors", "anime/v1-5 anime.safetensors", "long name v1-5 pruned.ckpt"):
        (folder / name).write_bytes(name.encode() * 100_000)
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_text_that_is_a_name_or_a_hash_means_that_model(folder: Path) -> None:
    path = folder / "anime" / "v1-5 anime.safetensors"
    whole, old = sha256(path), hashlib.sha256(path.read_bytes()[0x100000:0x110000]).hexdigest()[:8]
    list_models(finds_hashes=True, progress=Progress())
    for text in (
        "anime/v1-5 anime",
        "anime/v1-5 anime.safetensors",
        "anime_v1-5 anime",
        "v1-5 anime",
        f"anime/v1-5 anime.safetensors [{whole[:10]}]",
        f"anime/v1-5 anime.safetensors [{old}]",
        whole,
        whole[:10],
        old,
    ):
        assert find_checkpoint(text).path == path, text


def test_else_the_shortest_title_that_contains_the_text(folder: Path) -> None:
    assert find_checkpoint("v1-5").path.name == "v1-5.safetensors"
    assert find_checkpoint("1-5").path.name == "v1-5.safetensors"
    assert find_checkpoint("pruned").path.suffix == ".ckpt"
    assert find_checkpoint("anime [0123456789]").path.name == "v1-5 anime.safetensors"
    for text in ("nothing", "nothing [0123456789]", ""):
        with pytest.raises(InvalidParams, match="no model") as raised:
            find_checkpoint(text)
        assert "anime/v1-5 anime" in raised.value.hint


def test_the_list_has_titles_with_hashes_once_they_are_known(folder: Path) -> None:
    (folder / "v1-5.yaml").write_text("x")
    (folder / "v1-5.vae.safetensors").write_bytes(b"x")
    (folder / "notes.onnx").write_bytes(b"x")
    before = {one["name"]: one for one in list_models(finds_hashes=False, progress=Progress())["checkpoints"]}
    assert before.keys() == {"v1-5", "anime/v1-5 anime", "long name v1-5 pruned", "nano"}
    assert before["v1-5"]["title"] == "v1-5.safetensors"
    assert before["v1-5"]["hash"] is None
    listed = list_models(finds_hashes=True, progress=Progress())
    after = {one["name"]: one for one in listed["checkpoints"]}
    digits = sha256(folder / "v1-5.safetensors")
    assert after["v1-5"] == {
        "name": "v1-5",
        "title": f"v1-5.safetensors [{digits[:10]}]",
        "model_name": "v1-5",
        "hash": digits[:10],
        "sha256": digits,
        "filename": str(folder / "v1-5.safetensors"),
        "config": str(folder / "v1-5.yaml"),
    }
    assert after["nano"]["hash"] is None
    assert [vae["model_name"] for vae in listed["vaes"]] == ["v1-5.vae"]


def test_a_hash_is_found_once_until_the_file_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "v1-5.safetensors"
    first = hashes.sha256_of(path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *_: pytest.fail("the file was read again"))
        patched.setattr(Path, "read_text", lambda self, _: open(self).read())  # noqa: PTH123, SIM115
        assert hashes.sha256_of(path) == first
    path.write_bytes(b"other")
    assert hashes.known_sha256(path) == ""
    assert hashes.sha256_of(path) == hashlib.sha256(b"other").hexdigest()


def test_broken_or_missing_notes_of_hashes_do_no_harm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "v1-5.safetensors"
    cache = hashes.cache_path()
    assert cache is not None
    for content in ("", "[]", "{"):
        cache.write_text(content)
        assert hashes.sha256_of(path) == sha256(path)
    monkeypatch.delenv("STABLE_CORE_MODELS")
    assert hashes.sha256_of(path) == sha256(path)


def test_the_vae_beside_a_checkpoint_is_taken(folder: Path) -> None:
    checkpoint = folder / "v1-5.safetensors"
    assert find_vae("Automatic", checkpoint) is None
    vaes = folder.parent / "vae"
    vaes.mkdir()
    (vaes / "other.safetensors").write_bytes(b"x")
    (vaes / "v1-5-sharp.pt").write_bytes(b"x")
    assert find_vae("Automatic", checkpoint) == vaes / "v1-5-sharp.pt"
    assert find_vae("None", checkpoint) is None
    for name in ("other", "other.safetensors"):
        assert find_vae(name, checkpoint) == vaes / "other.safetensors"
    with pytest.raises(InvalidParams, match="no VAE") as raised:
        find_vae("nothing", checkpoint)
    assert "v1-5-sharp" in raised.value.hint
    beside = folder / "anime" / "v1-5 anime.vae.pt"
    beside.write_bytes(b"x")
    assert find_vae("Automatic", folder / "anime" / "v1-5 anime.safetensors") == beside
    assert not [one for one in checkpoint_files() if ".vae" in one.name]


def test_facts_about_a_checkpoint(tiny_models: Path, models_folder: Path) -> None:
    path = models_folder / "checkpoints" / "tiny_file.safetensors"
    found = describe_checkpoint("tiny_file")
    assert found["kind"] == "Stable Diffusion 1.x"
    assert (found["task"], found["prediction_type"]) == ("text", "epsilon")
    assert found["formats"] == {"float32": len(load_file(path))}
    assert found["sha256"] == sha256(path)
    copy = tiny_models / "checkpoints" / "copy.safetensors"
    copy.parent.mkdir()
    save_file({name: value.half() for name, value in load_file(path).items()}, copy, {"modelspec.title": "mine"})
    assert describe_checkpoint("copy")["metadata"] == {"modelspec.title": "mine"}
    assert describe_checkpoint("tiny")["sha256"] is None
    assert os.listdir(tiny.write_configs(tiny_models / "c"))  # noqa: PTH208
    with pytest.raises(InvalidParams):
        describe_checkpoint("nothing")
    assert torch.get_default_dtype() == torch.float32
