"""The job deepdanbooru: a network of the real depth with few channels, against one that is written out."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn.functional import conv2d, max_pool2d, pad, relu

import tiny_interrogation
from runs import noisy
from stable_core.sdk import InvalidParams, Progress
from stable_core_sd.interrogation import deepdanbooru as engine
from stable_core_sd.interrogation_jobs import deepdanbooru
from stable_core_sd.params_interrogation import DeepDanbooruParams


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")
    engine.unload()
    return tmp_path


def tag(image: Image.Image, **knobs: Any) -> str:
    return str(deepdanbooru(image, DeepDanbooruParams(**knobs), Progress()))


def test_its_convolutions_are_numbered_as_in_the_file() -> None:
    weights = tiny_interrogation.danbooru_weights(["one", "two"])
    seen: list[str] = []

    class Noted(OrderedDict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            seen.append(name)
            return super().__getitem__(name)

    pixels = torch.rand(1, 3, 256, 256)
    made = engine.run_network(Noted(weights), pixels)
    assert sorted(seen) == sorted(f"n_Conv_{number}.weight" for number in range(179))
    assert torch.allclose(made, written_out(weights, pixels), atol=1e-6)


def written_out(weights: dict[str, Any], pixels: torch.Tensor) -> torch.Tensor:
    """Run the network by the numbers that each stage begins with, as one reads them in the original."""

    def conv(number: int, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        return conv2d(x, weights[f"n_Conv_{number}.weight"], weights.get(f"n_Conv_{number}.bias"), stride)

    x = relu(conv(0, pad(pixels, (2, 3, 2, 3)), 2))
    x = max_pool2d(pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    for shortcut, first, last in (
        (1, 2, 10),
        (11, 12, 35),
        (36, 37, 96),
        (100, 97, 157),
        (158, 159, 167),
        (168, 169, 177),
    ):
        inside = [number for number in range(first, last + 1) if number != shortcut]
        for block in range(0, len(inside), 3):
            one, two, three = inside[block : block + 3]
            halves = block == 0 and first != 2
            inner = pad(relu(conv(one, x)), (0, 1, 0, 1) if halves else (1, 1, 1, 1))
            inner = conv(three, relu(conv(two, inner, 2 if halves else 1)))
            x = relu(inner + (conv(shortcut, x, 2 if halves else 1) if block == 0 else x))
    return conv(178, x).mean((2, 3)).sigmoid()


def test_tags_are_written_as_asked(root: Path) -> None:
    tags = ["1girl", "long_hair", "smile_(cat)", "rating:safe", "solo"]
    shares = torch.tensor([0.9, 0.6, 0.7, 0.95, 0.1])
    tiny_interrogation.write_danbooru(root, tags, shares)
    picture = noisy(90, 60)
    assert tag(picture) == "1girl, long hair, smile \\(cat\\)"
    assert (
        tag(picture, order="probability", weights=True) == "(1girl:0.900), (smile \\(cat\\):0.700), (long hair:0.600)"
    )
    assert tag(picture, spaces=False, escape=False, left_out="1girl, long hair") == "smile_(cat)"
    assert tag(picture, threshold=0.05, order="probability").endswith(", solo")


def test_the_whole_picture_is_seen(root: Path) -> None:
    tiny_interrogation.write_danbooru(root, ["one", "two", "three"])
    found = [
        engine.open_network("", engine.Format(torch.device("cpu"), torch.float32))(noisy(w, h))
        for w, h in ((64, 64), (64, 20), (20, 64))
    ]
    assert len({tuple(one.values()) for one in found}) == 3
    assert all(0 < share < 1 for one in found for share in one.values())


def test_what_is_missing_or_wrong_is_named(root: Path) -> None:
    with pytest.raises(InvalidParams, match="models/torch_deepdanbooru/") as missing:
        tag(noisy())
    assert "model-resnet_custom_v3.pt" in str(missing.value.hint)
    folder = root / "DeepDanbooru"  # its first name
    folder.mkdir()
    torch.save({"n_Conv_0.weight": torch.ones(1)}, folder / "half.pt")
    with pytest.raises(InvalidParams, match=r"half\.pt is no DeepDanbooru"):
        tag(noisy())
    weights = {**tiny_interrogation.danbooru_weights(["one", "two"]), "tags": ["one"]}
    torch.save(weights, folder / "half.pt")
    with pytest.raises(InvalidParams, match="1 tags for 2 outputs"):
        tag(noisy())


def test_a_file_cannot_run_code(root: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "touched",)

    (root / "torch_deepdanbooru").mkdir()
    torch.save({"tags": Bomb()}, root / "torch_deepdanbooru" / "bomb.pt")
    with pytest.raises(InvalidParams, match="refused"):
        tag(noisy())
    assert not (tmp_path / "touched").exists()
