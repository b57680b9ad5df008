"""Textual inversion files: every format is read, what cannot be used is skipped with a reason, nothing runs code."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file
from torch import Tensor

from stable_core.sdk import InvalidParams
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.networks.embedding_card import CHUNK, make_card, read_card
from stable_core_sd.networks.embedding_file import (
    infotext_hashes,
    pickled_form,
    read_embedding,
    usable_embeddings,
    write_embedding,
)


def vectors(count: int = 2, width: int = 8) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(count + width))


def a1111_form(vectors: Tensor, **facts: Any) -> dict[str, Any]:
    return {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "inner", "step": 5, **facts}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    (tmp_path / "embeddings").mkdir()
    return tmp_path / "embeddings"


@pytest.mark.parametrize(
    ("file", "content", "count"),
    [
        ("cat.pt", a1111_form(vectors(3), sd_checkpoint="0123456789", sd_checkpoint_name="nano"), 3),
        ("cat.bin", {"<cat-toy>": vectors(1)[0]}, 1),
        ("cat.bin", {"<cat-toy>": vectors(4)}, 4),
        ("cat.pt", {"string_to_param": {"*": vectors(1).half()}}, 1),
    ],
)
def test_pickled_files(tmp_path: Path, file: str, content: dict[str, Any], count: int) -> None:
    torch.save(content, tmp_path / file)
    embedding = read_embedding(tmp_path / file)
    assert embedding is not None
    assert (embedding.name, len(embedding)) == ("cat", count)
    assert embedding.vectors[8].shape == (count, 8)
    assert embedding.vectors[8].dtype == torch.float32


def test_the_files_of_the_first_textual_inversion_hold_an_object_of_torch(tmp_path: Path) -> None:
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors(2))})
    torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}, tmp_path / "cat.pt")
    embedding = read_embedding(tmp_path / "cat.pt")
    assert embedding is not None
    assert torch.equal(embedding.vectors[8], vectors(2))


@pytest.mark.parametrize(
    ("tensors", "widths", "count"),
    [
        ({"emb_params": vectors(2)}, [8], 2),
        ({"anything": vectors(1)[0]}, [8], 1),
        ({"clip_l": vectors(2, 8), "clip_g": vectors(2, 12)}, [8, 12], 2),
    ],
)
def test_safetensors_files(folder: Path, tensors: dict[str, Tensor], widths: list[int], count: int) -> None:
    save_file(tensors, folder / "cat.safetensors")
    usable, skipped = usable_embeddings(widths)
    assert skipped == {}
    assert len(usable["cat"]) == count


def test_a_card_holds_its_embedding_in_a_chunk(tmp_path: Path) -> None:
    stored = a1111_form(vectors(2))
    stored["string_to_param"]["*"] = {"TORCHTENSOR": vectors(2).tolist()}
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text(CHUNK, base64.b64encode(json.dumps(stored).encode()).decode())
    Image.new("RGB", (8, 8)).save(tmp_path / "card.png", pnginfo=chunk)
    embedding = read_embedding(tmp_path / "card.png")
    assert embedding is not None
    assert embedding.name == "inner"  # the name in the picture, not of the file
    assert torch.equal(embedding.vectors[8], vectors(2))


def plainly_made_card(data: bytes, height: int) -> Image.Image:
    """Write a card the way the format is described, one number after the other."""
    packed = zlib.compress(data, 9)
    packed += packed[: -len(packed) % (height * 3)]
    state, halves = 0, ([], [])
    for byte in packed:
        state = (1664525 * state + 1013904223) % 2**32
        noise = state % 255 % 16
        halves[0].append(byte % 16 ^ noise | 0x40)
        halves[1].append(byte // 16 ^ noise | 0x40)
    low, high = (np.array(half, np.uint8).reshape(height, -1, 3) for half in halves)
    black = np.zeros((height, 1, 3), np.uint8)
    middle = np.full((height, 20, 3), 77, np.uint8)
    pixels = np.concatenate([low, black, middle, black, high], axis=1)
    return Image.fromarray(np.pad(pixels, ((3, 2), (1, 4), (0, 0))))  # cards may have black edges


def test_a_card_holds_its_embedding_in_its_pixels() -> None:
    stored = {"name": "cat", "step": 3, "string_to_param": {"*": {"TORCHTENSOR": vectors(5).tolist()}}}
    data = read_card(plainly_made_card(json.dumps(stored).encode(), 64))
    assert data is not None
    assert data["name"] == "cat"
    assert torch.equal(data["string_to_param"]["*"], vectors(5))


def test_a_card_made_here_keeps_the_picture_and_survives_without_its_chunk(tmp_path: Path) -> None:
    picture = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    embedding = Embedding("cat", {8: vectors(2)}, step=9)
    card = make_card(picture, pickled_form(embedding))
    card.save(tmp_path / "bare.png")
    read = read_embedding(tmp_path / "bare.png")
    assert read is not None
    assert (read.name, read.step) == ("cat", 9)
    assert torch.equal(read.vectors[8], vectors(2))
    side = (card.width - 64) // 2
    assert np.array_equal(np.asarray(card)[:, side : side + 64], np.asarray(picture))
    assert torch.equal(read_card(card)["string_to_param"]["*"], vectors(2))  # type: ignore[index]


@pytest.mark.parametrize("colour", ["black", "white", (1, 2, 3)])
def test_an_ordinary_picture_is_no_card(tmp_path: Path, colour: Any) -> None:
    picture = Image.new("RGB", (64, 64), colour)
    picture.paste("black", (10, 0, 12, 64))
    picture.paste("black", (52, 0, 54, 64))
    picture.save(tmp_path / "photo.png")
    assert read_embedding(tmp_path / "photo.png") is None


def test_a_preview_beside_a_file_does_not_hide_it(folder: Path) -> None:
    save_file({"emb_params": vectors()}, folder / "cat.safetensors")
    for name in ("cat.png", "cat.preview.png"):
        Image.new("RGB", (8, 8), "red").save(folder / name)
    assert usable_embeddings([8]) == ({"cat": usable_embeddings([8])[0]["cat"]}, {})


def test_an_empty_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    assert read_embedding(tmp_path / "empty.pt") is None


def test_what_cannot_be_used_is_skipped_with_a_reason(folder: Path) -> None:
    save_file({"emb_params": vectors(1, 768)}, folder / "other.safetensors")
    save_file({"a": vectors(), "b": vectors()}, folder / "two.safetensors")
    torch.save({"string_to_param": Path("code")}, folder / "evil.pt")
    (folder / "broken.pt").write_bytes(b"PK\x03\x04 no archive")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    usable, skipped = usable_embeddings([8])
    assert usable == {}
    assert skipped.keys() == {"other", "two", "evil", "broken"}
    assert "768" in skipped["other"]


def test_one_of_each_is_used_of_two_with_the_same_name(folder: Path) -> None:
    (folder / "new").mkdir()
    save_file({"emb_params": vectors()}, folder / "cat.safetensors")
    save_file({"emb_params": vectors()}, folder / "new" / "cat.safetensors")
    assert usable_embeddings([8])[0].keys() == {"cat"}


def test_a_changed_file_is_read_again(folder: Path) -> None:
    for count in (1, 3):
        save_file({"emb_params": vectors(count)}, folder / "cat.safetensors")
        assert len(usable_embeddings([8])[0]["cat"]) == count


def test_an_embedding_stays_the_same_when_its_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "cat.safetensors"
    save_file({"emb_params": vectors(2)}, path)
    embedding = read_embedding(path)
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(content[:-64] + bytes(64))
    assert embedding is not None
    assert torch.equal(embedding.vectors[8], vectors(2))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("widths", [[8], [8, 12]])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str, widths: list[int]) -> None:
    written = Embedding("cat", {width: vectors(3, width) for width in widths}, 7, "0123456789", "nano")
    write_embedding(written, tmp_path / f"cat{suffix}")
    read = read_embedding(tmp_path / f"cat{suffix}")
    assert read is not None
    assert (read.step, read.checkpoint_hash) == (7, "0123456789")
    assert all(torch.equal(read.vectors[width], written.vectors[width]) for width in widths)


def test_hashes_for_the_generation_data(folder: Path) -> None:
    save_file({"emb_params": vectors()}, folder / "a,b.safetensors")
    [embedding] = usable_embeddings([8])[0].values()
    assert infotext_hashes([embedding]) == f"ab: {embedding.short_hash}"
    assert len(embedding.short_hash) == 12


@pytest.mark.parametrize(
    "content",
    [{"a": torch.zeros(0)}, {"a": torch.zeros(1, 2, 3)}, {"clip_l": vectors(1), "clip_g": vectors(2, 12)}, [1], {}],
)
def test_other_files_are_refused_in_words(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InvalidParams, match="no embedding"):
        read_embedding(tmp_path / "other.pt")
