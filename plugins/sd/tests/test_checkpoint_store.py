"""Checkpoints that stay in memory, and VAEs from files of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from stable_core.sdk import InvalidParams
from stable_core_sd import checkpoint_store, device
from stable_core_sd.checkpoint_store import get_checkpoint, open_checkpoint, unload
from stable_core_sd.settings import SdSettings


@pytest.fixture
def checkpoints(tiny_models: Path) -> Path:
    """Return a checkpoints folder with three different tiny models."""
    folder = tiny_models / "checkpoints"
    for seed, name in enumerate("abc"):
        tiny.write_single_file(folder / f"{name}.safetensors", tiny.make_models(seed))
    unload()
    return folder


def test_so_many_checkpoints_stay_in_memory(checkpoints: Path) -> None:
    settings = SdSettings(checkpoints_in_memory=2)
    a, b = (open_checkpoint(name, "None", settings) for name in "ab")
    assert open_checkpoint("a", "None", settings) is a
    open_checkpoint("c", "None", settings)  # pushes out b, which was not used for longest
    assert open_checkpoint("a", "None", settings) is a
    assert open_checkpoint("b", "None", settings) is not b
    assert open_checkpoint("b", "None", SdSettings(precision="bf16")).unet.dtype == torch.bfloat16
    unload()
    assert open_checkpoint("a", "None", settings) is not a


def test_only_one_stays_where_there_is_no_room_for_more(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SdSettings(checkpoints_in_memory=3)
    a = open_checkpoint("a", "None", settings)
    size = (checkpoints / "b.safetensors").stat().st_size
    monkeypatch.setattr(device, "free_main_memory", lambda: 3 * size)
    open_checkpoint("b", "None", settings)
    assert open_checkpoint("a", "None", settings) is a
    monkeypatch.setattr(device, "free_main_memory", lambda: 2 * size)
    open_checkpoint("c", "None", settings)
    assert open_checkpoint("a", "None", settings) is not a


def test_a_changed_file_is_read_again(checkpoints: Path) -> None:
    path = checkpoints / "a.safetensors"
    first = get_checkpoint(path)
    assert get_checkpoint(path) is first
    tiny.write_single_file(path, tiny.make_models(7))
    os.utime(path, (1, 1))
    assert get_checkpoint(path) is not first


def vae_tensors(path: Path) -> dict[str, torch.Tensor]:
    start = "first_stage_model."
    return {name.removeprefix(start): value for name, value in load_file(path).items() if name.startswith(start)}


@pytest.mark.parametrize("layout", ["vae", "checkpoint", "diffusers", "pickled"])
@torch.inference_mode()
def test_a_vae_file_stands_in_for_the_baked_one(checkpoints: Path, layout: str) -> None:
    folder = checkpoints.parent / "vae"
    folder.mkdir()
    if layout == "vae":
        save_file(vae_tensors(checkpoints / "b.safetensors"), folder / "sharp.safetensors")
    elif layout == "checkpoint":
        save_file(load_file(checkpoints / "b.safetensors"), folder / "sharp.safetensors")
    elif layout == "diffusers":
        save_file(tiny.make_models(1)["vae"].state_dict(), folder / "sharp.safetensors")
    else:
        torch.save({"state_dict": vae_tensors(checkpoints / "b.safetensors")}, folder / "sharp.pt")
    settings, latents = SdSettings(), torch.randn(1, 4, 4, 4)
    a, b = (open_checkpoint(name, "None", settings) for name in "ab")
    own, others = a.decode(latents), b.decode(latents)
    factors = a.rgb_factors
    with_file = open_checkpoint("a", "sharp", settings)
    assert with_file is a
    assert torch.equal(a.decode(latents), others)
    assert not torch.equal(a.rgb_factors, factors)
    assert a.vae_name in {"sharp.safetensors", "sharp.pt"}
    assert len(a.vae_hash or "") == 10
    open_checkpoint("a", "None", settings)
    assert torch.equal(a.decode(latents), own)
    assert (a.vae_name, a.vae_hash) == (None, None)


@torch.inference_mode()
def test_a_checkpoint_without_a_vae_runs_with_another(checkpoints: Path) -> None:
    (checkpoints.parent / "vae").mkdir()
    save_file(vae_tensors(checkpoints / "b.safetensors"), checkpoints.parent / "vae" / "sharp.safetensors")
    whole = load_file(checkpoints / "a.safetensors")
    parts = {name: value for name, value in whole.items() if not name.startswith("first_stage_model.")}
    save_file(parts, checkpoints / "bare.safetensors")
    for vae in ("Automatic", "None"):
        with pytest.raises(InvalidParams, match=r"bare\.safetensors holds no VAE"):
            open_checkpoint("bare", vae, SdSettings())
    latents = torch.randn(1, 4, 4, 4)
    made = open_checkpoint("bare", "sharp", SdSettings()).decode(latents)
    assert torch.equal(made, open_checkpoint("b", "None", SdSettings()).decode(latents))
    assert torch.equal(made, open_checkpoint("bare", "Automatic", SdSettings(default_vae="sharp")).decode(latents))
    with pytest.raises(InvalidParams, match="holds no VAE"):
        open_checkpoint("bare", "None", SdSettings(default_vae="sharp"))


@pytest.mark.parametrize(
    ("vae", "default", "used"),
    [
        ("Automatic", "Automatic", "a.vae.safetensors"),
        ("Automatic", "None", None),
        ("Automatic", "sharp", "sharp.safetensors"),
        ("None", "sharp", None),
        ("a.vae", "sharp", "a.vae.safetensors"),
    ],
)
def test_the_settings_choose_the_vae_of_runs_that_choose_none(
    checkpoints: Path, vae: str, default: str, used: str | None
) -> None:
    (checkpoints.parent / "vae").mkdir()
    for name in ("sharp", "a.vae"):
        save_file(vae_tensors(checkpoints / "b.safetensors"), checkpoints.parent / "vae" / f"{name}.safetensors")
    assert open_checkpoint("a", vae, SdSettings(default_vae=default)).vae_name == used


def test_what_is_no_vae_is_refused(checkpoints: Path) -> None:
    folder = checkpoints.parent / "vae"
    folder.mkdir()
    save_file({"lora_up.weight": torch.ones(1)}, folder / "wrong.safetensors")
    with pytest.raises(InvalidParams, match=r"wrong\.safetensors is no VAE"):
        open_checkpoint("a", "wrong", SdSettings())


def test_only_the_one_in_use_is_on_the_device(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[tuple[str, str]] = []
    kind = checkpoint_store.Checkpoint
    monkeypatch.setattr(kind, "park", lambda self: moves.append((self.name, "parked")))
    monkeypatch.setattr(kind, "unpark", lambda self: moves.append((self.name, "back")))
    for name in "aba":
        open_checkpoint(name, "None", SdSettings())
    assert moves == [
        ("a", "back"),
        ("a", "parked"),
        ("b", "back"),
        ("a", "parked"),
        ("b", "parked"),
        ("a", "back"),
    ]
