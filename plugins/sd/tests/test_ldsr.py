"""LDSR with tiny random weights, read from folders and files by the real loader, against diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn.functional import conv1d, group_norm

import tiny_ldsr
from runs import Recorded, difference, noisy
from stable_core.sdk import InvalidParams, JobCancelled, Progress
from stable_core_sd import ldm_keys, ldsr
from stable_core_sd.ldsr_file import read_facts
from stable_core_sd.params_upscale import UpscaleParams
from stable_core_sd.pipelines import whole_library
from stable_core_sd.plugin import upscale
from stable_core_sd.windows import blended, windows_of


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")
    monkeypatch.setattr(ldsr, "SMALLEST", 64)
    ldsr.unload()
    return tmp_path


def make(image: Image.Image, progress: Progress | None = None, **knobs: Any) -> Image.Image:
    params = UpscaleParams(**{"upscaler": "LDSR", "scale": 4, "ldsr_steps": 2, **knobs})
    return upscale(image, params, progress or Progress())


def test_it_makes_what_the_pipeline_of_diffusers_makes(root: Path) -> None:
    folder = tiny_ldsr.write_folder(root / "LDSR" / "small", *tiny_ldsr.make_models())
    picture = noisy(64, 64)
    made = make(picture, tile=0, ldsr_steps=4)
    with whole_library() as diffusers:
        pipeline = diffusers.LDMSuperResolutionPipeline.from_pretrained(str(folder), local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        torch.manual_seed(0)
        expected = pipeline(picture, num_inference_steps=4, eta=1.0).images[0]
    assert made.size == expected.size == (256, 256)
    assert difference(made, expected) <= 1
    assert len(set(made.get_flattened_data())) > 100


@pytest.mark.parametrize("name", ["model.ckpt", "last.safetensors"])
def test_a_file_of_the_authors_makes_the_same_as_a_folder(root: Path, name: str) -> None:
    unet, vae = tiny_ldsr.make_models()
    expected = ldsr.Ldsr(tiny_ldsr.write_folder(root / "folder", unet, vae))
    tensors = tiny_ldsr.original_tensors(unet, vae)
    path = tiny_ldsr.write_file(root / "LDSR" / name, tensors)
    assert difference(make(noisy()), expected.enlarge_by(noisy(), 4, 2, 192, 8, lambda step, steps: None)) <= 1

    start = ldm_keys.UNET  # with means over the training, those count
    means = {
        f"model_ema.{full[6:].replace('.', '')}": value for full, value in tensors.items() if full.startswith(start)
    }
    others = tiny_ldsr.original_tensors(*tiny_ldsr.make_models(1))
    last = {full: others[full] if full.startswith(start) else value for full, value in tensors.items()}
    tiny_ldsr.write_file(path, {**last, **means})
    ldsr.unload()
    assert difference(make(noisy()), expected.enlarge_by(noisy(), 4, 2, 192, 8, lambda step, steps: None)) <= 1


def test_fused_attention_is_split_as_its_authors_do(root: Path) -> None:
    unet, vae = tiny_ldsr.make_models()
    tensors = tiny_ldsr.original_tensors(unet, vae)
    loaded = ldsr.Ldsr(tiny_ldsr.write_file(root / "LDSR" / "model.ckpt", tensors)).unet
    weights = {
        name.partition("middle_block.1.")[2]: value for name, value in tensors.items() if "middle_block.1." in name
    }
    x = torch.randn(1, 64, 4, 4)
    flat = x.flatten(2)
    normal = group_norm(flat, 32, weights["norm.weight"], weights["norm.bias"])
    fused = conv1d(normal, weights["qkv.weight"], weights["qkv.bias"])
    q, k, v = fused.reshape(64 // tiny_ldsr.HEAD, 3 * tiny_ldsr.HEAD, -1).split(tiny_ldsr.HEAD, dim=1)
    seen = torch.einsum("hct,hcs->hts", q, k).mul(tiny_ldsr.HEAD**-0.5).softmax(-1)
    mixed = torch.einsum("hts,hcs->hct", seen, v).reshape(1, 64, -1)
    expected = flat + conv1d(mixed, weights["proj_out.weight"], weights["proj_out.bias"])
    with torch.inference_mode():
        assert torch.allclose(loaded.mid_block.attentions[0](x).flatten(2), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "knobs", "expected"),
    [
        ((20, 12), {}, (80, 48)),
        ((40, 32), {"scale": 2}, (80, 64)),
        ((16, 16), {"scale": 6}, (96, 96)),
        ((33, 17), {"width": 100, "height": 60}, (100, 60)),
    ],
)
def test_any_size_is_reached(
    root: Path, size: tuple[int, int], knobs: dict[str, Any], expected: tuple[int, int]
) -> None:
    tiny_ldsr.write_folder(root / "LDSR" / "small", *tiny_ldsr.make_models())
    assert make(noisy(*size), **knobs).size == expected


def test_windows_cover_everything_and_blend() -> None:
    whole = torch.arange(40.0 * 24).reshape(1, 1, 24, 40)
    windows = windows_of(24, 40, 16, 8)
    assert all((rows.stop - rows.start, columns.stop - columns.start) == (16, 16) for rows, columns in windows)
    joined = blended(lambda window: whole[..., window[0], window[1]], windows, (24, 40))
    assert torch.allclose(joined, whole)
    twice = blended(
        lambda window: whole[..., window[0], window[1]].repeat_interleave(2, -1).repeat_interleave(2, -2),
        windows,
        (24, 40),
        scale=2,
    )
    assert torch.allclose(twice[..., ::2, 1::2], whole)
    steps = blended(
        lambda window: torch.full((1, 1, 16, 16), float(window[1].start)), windows_of(16, 24, 16, 8), (16, 24)
    )
    across = steps[0, 0, 8].tolist()
    assert across == sorted(across)
    assert (across[0], across[-1]) == (0, 8)
    assert 3 < across[12] < 5
    assert windows_of(24, 40, 0, 8) == [(slice(0, 24), slice(0, 40))]


def test_tiles_change_little_and_steps_can_be_cancelled(root: Path) -> None:
    tiny_ldsr.write_folder(root / "LDSR" / "small", *tiny_ldsr.make_models())
    picture = noisy(96, 64)
    tiled = make(picture, tile=64, tile_overlap=32)
    assert tiled.size == make(picture, tile=0).size == (384, 256)
    progress = Recorded()
    assert difference(make(picture, progress, tile=64, tile_overlap=32), tiled) == 0
    assert [step for step, _ in progress.steps] == [0, 0, 50, 100, 100]
    assert "Upscaling with LDSR" in progress.messages
    with pytest.raises(JobCancelled):
        make(picture, Recorded(cancel_after=5), ldsr_steps=20)


def test_what_is_missing_or_wrong_is_named(root: Path) -> None:
    with pytest.raises(InvalidParams, match="models/LDSR/") as missing:
        make(noisy())
    assert "project.yaml" in str(missing.value.hint)
    tiny_ldsr.write_file(root / "LDSR" / "model.ckpt", {"other": torch.ones(1)})
    with pytest.raises(InvalidParams, match=r"model\.ckpt is no LDSR model"):
        make(noisy())
    tensors = tiny_ldsr.original_tensors(*tiny_ldsr.make_models())
    tiny_ldsr.write_file(root / "LDSR" / "model.ckpt", {name: tensors[name] for name in tensors if "qkv" not in name})
    with pytest.raises(InvalidParams, match=r"model\.ckpt"):
        make(noisy())


def test_facts_beside_a_file(root: Path) -> None:
    path = tiny_ldsr.write_file(root / "LDSR" / "model.ckpt", {"other": torch.ones(1)}).with_name("project.yaml")
    assert read_facts(path) == {"num_head_channels": 16, "linear_start": 0.0015, "linear_end": 0.0155}
    path.unlink()
    assert read_facts(path)["num_head_channels"] == 32
