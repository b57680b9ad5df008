"""Running in less memory: the same results in every way, one model at a time, and another try when memory runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch.nn import functional

import tiny_kinds
from runs import difference, draw
from stable_core.sdk import InvalidParams, Progress, Text
from stable_core_sd import attention
from stable_core_sd.attention import WAYS, use_attention
from stable_core_sd.borrowed import Borrowed
from stable_core_sd.checkpoint import Checkpoint, load_checkpoint
from stable_core_sd.checkpoint_store import open_checkpoint, unload
from stable_core_sd.memory import MemoryPlan, apply_plan, is_out_of_memory, with_less_memory
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.plugin import plugin, txt2img
from stable_core_sd.restoring import restore_run
from stable_core_sd.settings import SdSettings, Storage

ROWS = [[49406, 320, 1125, *[49407] * 74]]
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def tiny(tiny_models: Path, models_folder: Path) -> Checkpoint:
    return load_checkpoint(models_folder / "checkpoints" / "tiny", CPU, torch.float32)


@torch.inference_mode()
def results(checkpoint: Checkpoint, size: tuple[int, int] = (8, 8)) -> list[torch.Tensor]:
    """Return what a text encoder, a UNet and a VAE make, one after the other."""
    x = torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(1))
    hidden = checkpoint.encode_tokens(ROWS).hidden[0].expand(2, -1, -1)
    output = checkpoint.unet(x, 500, encoder_hidden_states=hidden, return_dict=False)[0]
    pixels = checkpoint.decode(output)
    return [hidden, output, pixels, checkpoint.encode(pixels)]


def are_close(found: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float) -> bool:
    return all(
        (one - other).abs().max() <= tolerance * other.abs().max() for one, other in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("name", ["SDPA", "Sliced", "Sub-quadratic"])
@pytest.mark.parametrize("tokens", [(1, 1), (70, 77), (300, 300)])
def test_every_way_to_attend_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, name: str, tokens: tuple[int, int]
) -> None:
    monkeypatch.setattr(attention, "_SCORES_AT_ONCE", 100_000)
    monkeypatch.setattr(attention, "_QUERIES_AT_ONCE", 64)
    monkeypatch.setattr(attention, "_KEYS_AT_ONCE", 128)
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, tokens[index > 0], 16) * 3 for index in range(3))
    expected = torch.softmax(query @ key.transpose(2, 3) / 4, -1) @ value
    assert torch.allclose(WAYS[name](query, key, value), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["SDPA", "Sliced", "Sub-quadratic"])
def test_models_make_the_same_in_every_way_to_attend(tiny: Checkpoint, name: str) -> None:
    expected = results(tiny)
    use_attention(name, tiny.unet, tiny.vae)
    assert are_close(results(tiny), expected, 1e-4)


def test_a_package_that_is_not_there_is_said(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidParams, match="xformers is not installed"):
        use_attention("xformers", tiny.unet)


@pytest.mark.parametrize("offload", ["models", "layers"])
@pytest.mark.parametrize("fp8", [False, True])
def test_offloaded_models_make_the_same(tiny: Checkpoint, offload: Any, fp8: bool) -> None:
    expected = results(tiny)
    before = {name: weight.data_ptr() for name, weight in tiny.vae.named_parameters()}
    apply_plan(tiny, MemoryPlan(offload=offload, fp8=fp8))
    count, tolerance = (2, 0.2) if fp8 else (4, 1e-6)  # a VAE of random weights enlarges small differences
    assert are_close(results(tiny)[:count], expected[:count], tolerance)
    tiny.park()
    assert {name: weight.data_ptr() for name, weight in tiny.vae.named_parameters()} == before
    assert are_close(results(tiny)[:count], expected[:count], tolerance)
    if fp8:
        sizes = {weight.dtype.itemsize for weight in tiny.unet.parameters() if weight.ndim > 1}
        assert sizes == {1, 4}  # all but the first and last layer
        return
    apply_plan(tiny, MemoryPlan())
    assert all(torch.equal(one, other) for one, other in zip(results(tiny), expected, strict=True))
    assert not any(module._forward_pre_hooks for module in tiny.vae.modules())


@pytest.mark.parametrize("offload", ["models", "layers"])
def test_only_what_runs_is_fetched(tiny: Checkpoint, offload: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = 0
    plain_lend, plain_take = Borrowed.lend, Borrowed.take_back
    highest: dict[str, int] = {}

    def size(borrowed: Borrowed) -> int:
        return sum(weight.nbytes for weight in borrowed._tensors) if not borrowed._kept else 0

    def lend(self: Borrowed) -> None:
        nonlocal fetched
        fetched += size(self)
        highest["all"] = max(highest.get("all", 0), fetched)
        plain_lend(self)

    def take_back(self: Borrowed) -> None:
        nonlocal fetched
        had = bool(self._kept)
        plain_take(self)
        fetched -= size(self) if had else 0

    monkeypatch.setattr(Borrowed, "lend", lend)
    monkeypatch.setattr(Borrowed, "take_back", take_back)
    apply_plan(tiny, MemoryPlan(offload=offload))
    results(tiny)
    models = [tiny.unet, tiny.vae, tiny.text_encoder]
    sizes = [sum(weight.nbytes for weight in model.parameters()) for model in models]
    assert highest["all"] == max(sizes)
    tiny.hooks.rest()
    assert fetched == 0


def test_what_is_put_in_place_of_borrowed_weights_stays(tiny: Checkpoint) -> None:
    apply_plan(tiny, MemoryPlan(offload="models"))
    results(tiny)
    weight = tiny.vae.decoder.conv_in.weight
    weight.data = weight.data + 1
    changed = weight.data.clone()
    tiny.park()
    assert torch.equal(weight.data, changed)


@torch.inference_mode()
def test_a_vae_in_slices_makes_the_same_and_in_tiles_nearly(tiny: Checkpoint) -> None:
    latents = torch.randn(2, 4, 24, 16, generator=torch.Generator().manual_seed(1))
    whole = tiny.decode(latents)
    apply_plan(tiny, MemoryPlan(vae="slices"))
    assert torch.allclose(tiny.decode(latents), whole, atol=1e-5)
    apply_plan(tiny, MemoryPlan(vae="tiles"))
    tiny.vae.tile_sample_min_size, tiny.vae.tile_latent_min_size = 64, 8
    tiles = tiny.decode(latents)
    assert tiles.shape == whole.shape
    assert not torch.equal(tiles, whole)


def test_each_plan_needs_less_than_the_one_before() -> None:
    plan, plans = MemoryPlan(), []
    while (lower := plan.lower(GPU)) is not None:
        plan = lower
        plans.append(str(plan))
    assert plans == [
        "sub-quadratic attention, VAE in tiles",
        "one model at a time, sub-quadratic attention, VAE in tiles",
        "one layer at a time, sub-quadratic attention, VAE in tiles",
    ]
    assert plan.lower(GPU) is None
    assert MemoryPlan(attention="Sliced", vae="tiles").lower(CPU) is None
    settings = SdSettings(offload="layers", vae_mode="tiles")
    assert MemoryPlan.chosen(settings, GPU) == MemoryPlan(offload="layers", vae="tiles")
    assert MemoryPlan.chosen(settings, CPU).offload == "nothing"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("MPS backend out of memory")]
)
def test_when_memory_runs_out_it_is_tried_again_with_less(tiny: Checkpoint, error: Exception) -> None:
    notes: list[str] = []

    def run() -> str:
        if tiny.plan.vae != "tiles":
            raise error
        return "made"

    assert with_less_memory(tiny, run, notes.append) == "made"
    assert notes == ["Memory ran out; done again with less: sub-quadratic attention, VAE in tiles"]


def run_out_of_memory(checkpoint: Checkpoint, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a part of a checkpoint fail until it runs in a way that needs less."""
    model = {"unet": checkpoint.unet, "vae": checkpoint.vae.decoder}[part]
    plain = model.forward

    def forward(*arguments: Any, **named: Any) -> Any:
        if checkpoint.plan.vae == "whole":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(*arguments, **named)

    monkeypatch.setattr(model, "forward", forward)


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_a_run_without_enough_memory_is_made_with_less_and_says_so(
    tiny_models: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unload()
    knobs = {"checkpoint": "tiny", "steps": 3, "seed": 1, "preview": False, "width": 32, "height": 32}  # one tile
    (expected,) = txt2img(Text("a red circle"), Txt2ImgParams(**knobs), Progress())
    checkpoint = open_checkpoint("tiny", "Automatic", SdSettings())
    run_out_of_memory(checkpoint, part, monkeypatch)
    (made,) = txt2img(Text("a red circle"), Txt2ImgParams(**knobs), Progress())
    assert made.info["notes"] == ["Memory ran out; done again with less: sub-quadratic attention, VAE in tiles"]
    difference = torch.tensor(list(made.tobytes())) - torch.tensor(list(expected.tobytes()))
    assert difference.abs().max() <= 2
    monkeypatch.setattr(plugin, "settings", SdSettings(retry_with_less=False))
    with pytest.raises(torch.OutOfMemoryError):
        list(txt2img(Text("a red circle"), Txt2ImgParams(**knobs), Progress()))


def test_other_errors_and_the_last_try_are_not_hidden(tiny: Checkpoint) -> None:
    def run(error: Exception) -> Any:
        raise error

    with pytest.raises(RuntimeError, match="shapes"):
        with_less_memory(tiny, lambda: run(RuntimeError("shapes do not fit")), str)
    assert tiny.plan == MemoryPlan()
    with pytest.raises(torch.OutOfMemoryError):
        with_less_memory(tiny, lambda: run(torch.OutOfMemoryError("out of memory")), str)
    assert not is_out_of_memory(ValueError("no"))


def test_the_settings_choose_the_plan(tiny_models: Path) -> None:
    unload()
    first = open_checkpoint("tiny", "None", SdSettings(attention="Sliced", vae_mode="slices"))
    assert first.plan == MemoryPlan(attention="Sliced", vae="slices")
    assert open_checkpoint("tiny", "None", SdSettings()) is first
    assert first.plan == MemoryPlan()
    assert open_checkpoint("tiny", "None", SdSettings(storage="fp8")) is not first


@torch.inference_mode()
def test_odd_sizes_meet_skip_connections_as_in_the_original(tiny: Checkpoint) -> None:
    upsampler: Any = tiny.unet.up_blocks[0].upsamplers[0]
    seen: dict[str, torch.Tensor] = {}
    upsampler.register_forward_pre_hook(lambda _, given: seen.update(given=given[0]))
    upsampler.register_forward_hook(lambda _, given, made: seen.update(made=made))
    for height, width in ((7, 5), (8, 3), (1, 1)):
        output = tiny.unet(torch.randn(1, 4, height, width), 5, encoder_hidden_states=torch.randn(1, 77, 32)).sample
        assert output.shape == (1, 4, height, width)
        doubled = functional.interpolate(seen["given"], scale_factor=2.0, mode="nearest")
        expected = functional.interpolate(upsampler.conv(doubled), size=(height, width), mode="nearest")
        assert torch.equal(seen["made"], expected)


def weight_types(name: str, storage: str) -> set[torch.dtype]:
    checkpoint = open_checkpoint(name, "None", SdSettings(storage=storage))
    return {one.weight.dtype for one in checkpoint.unet.modules() if isinstance(one, torch.nn.Linear)}


def test_weights_are_kept_in_8_bits_in_all_kinds_or_in_xl_alone(tiny_models: Path) -> None:
    tiny_kinds.write_configs(tiny_models / "configs")
    tiny_kinds.write_folder(tiny_models / "checkpoints" / "large", "sdxl", tiny_kinds.make_models("sdxl"))
    whole, small = {torch.float32}, {torch.float8_e4m3fn}
    kept = {storage: (weight_types("tiny", storage), weight_types("large", storage)) for storage in get_args(Storage)}
    assert kept == {"full": (whole, whole), "fp8 for XL": (whole, small), "fp8": (small, small)}


@pytest.mark.parametrize("storage", ["full", "fp8"])
def test_a_run_may_want_8_bits_whatever_the_settings_say(
    tiny_models: Path, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "settings", SdSettings(storage=storage))
    made = {fp8: draw(fp8=fp8)[0] for fp8 in ("As set", "Disable", "Enable for SDXL", "Enable")}
    assert difference(made["Disable"], made["Enable for SDXL"]) == 0
    assert difference(made["Disable"], made["Enable"]) > 0
    assert difference(made["As set"], made["Disable" if storage == "full" else "Enable"]) == 0
    assert "FP8" not in made["Disable"].info["parameters"]
    assert Txt2ImgParams(**restore_run(made["Enable"].info["parameters"])["params"]).fp8 == "Enable"
