"""The lists of LoRAs, embeddings and hypernetworks that a picker shows, as jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stable_core.sdk import Progress
from stable_core_sd.networks.hypernetwork import HypernetworkModule, Structure
from stable_core_sd.networks.hypernetwork_file import Hypernetwork, write_hypernetwork
from stable_core_sd.params_training import NetworkListParams
from stable_core_sd.plugin import embeddings, hypernetworks, loras


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    for kind in ("loras", "embeddings", "hypernetworks"):
        (tmp_path / kind).mkdir()
    return tmp_path


def test_loras_have_names_hashes_and_tags(folder: Path) -> None:
    tensors = {"lora_unet_x.lora_up.weight": torch.ones(2)}
    metadata = {"ss_output_name": "ann", "ss_tag_frequency": '{"folder": {"hat": 3}}'}
    save_file(tensors, folder / "loras" / "ann-v2.safetensors", metadata)
    save_file(tensors, folder / "loras" / "style.safetensors")
    first, second = loras(NetworkListParams(), Progress()).value
    assert (first["name"], first["alias"], first["tags"]) == ("ann-v2", "ann", ["hat"])
    assert first["hash"] == second["hash"]
    assert loras(NetworkListParams(search="STY"), Progress()).value == [second]


def test_embeddings_have_sizes_and_problems(folder: Path) -> None:
    save_file({"emb_params": torch.ones(2, 768)}, folder / "embeddings" / "cat.safetensors")
    (folder / "embeddings" / "broken.pt").write_bytes(b"nothing")
    broken, cat = embeddings(NetworkListParams(), Progress()).value
    assert (cat["name"], cat["vectors"], cat["widths"]) == ("cat", 2, [768])
    assert broken["name"] == "broken"
    assert broken["problem"] == "broken.pt cannot be read: invalid load key, 'n'."
    assert embeddings(NetworkListParams(search="none"), Progress()).value == []


def test_hypernetworks_have_widths_and_problems(folder: Path) -> None:
    modules = {64: (HypernetworkModule(64, Structure()), HypernetworkModule(64, Structure()))}
    write_hypernetwork(Hypernetwork("cat", Structure(), modules, step=9), folder / "hypernetworks" / "cat.pt")
    (folder / "hypernetworks" / "broken.pt").write_bytes(b"nothing")
    broken, cat = hypernetworks(NetworkListParams(), Progress()).value
    assert (cat["name"], cat["widths"], cat["layers"], cat["step"]) == ("cat", [64], [1, 2, 1], 9)
    assert broken.keys() == {"name", "problem"}
