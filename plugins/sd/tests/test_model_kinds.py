"""Stable Diffusion 2.x and XL: names and shapes of the true models, and loading and running tiny ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import tiny_kinds
from stable_core.sdk import Progress, Text
from stable_core_sd import checkpoint, ldm_keys, model_classes, single_file
from stable_core_sd.clip import ClipTextModel, Placed
from stable_core_sd.diffusers_folder import read_json
from stable_core_sd.model_kinds import REFINER, SD2, SDXL
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.plugin import txt2img
from stable_core_sd.size_conditions import SizeConditions, added_conditions
from stable_core_sd.text_encoding import zero_padded

KINDS = ("sd21", "sdxl", "sdxl_refiner")
CONFIGS = single_file.CONFIGS
START, END = 49406, 49407


def config(kind: str, part: str) -> dict[str, Any]:
    return read_json(CONFIGS / kind / part / "config.json")


def count(kind: str, part: str) -> int:
    make = {"unet": model_classes.UNet2DConditionModel.from_config, "vae": model_classes.AutoencoderKL.from_config}
    with torch.device("meta"):
        model = make.get(part, ClipTextModel)(config(kind, part))
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("kind", "part", "weights"),
    [
        ("sd21", "unet", 865_910_724),
        ("sd21", "text_encoder", 340_387_840),
        ("sdxl", "unet", 2_567_463_684),
        ("sdxl", "vae", 83_653_863),
        ("sdxl", "text_encoder", 123_060_480),
        ("sdxl", "text_encoder_2", 694_659_840),
    ],
)
def test_models_have_the_known_number_of_weights(kind: str, part: str, weights: int) -> None:
    assert count(kind, part) == weights


@pytest.mark.parametrize("kind", KINDS)
def test_unet_names_equal_those_of_diffusers_own_conversion(kind: str) -> None:
    utils = pytest.importorskip("diffusers.loaders.single_file_utils")
    with torch.device("meta"):
        names = list(model_classes.UNet2DConditionModel.from_config(config(kind, "unet")).state_dict())
    unet = config(kind, "unet")
    stored = {ldm_keys.unet_key(name, unet): torch.full((1,), index) for index, name in enumerate(names)}
    assert len(stored) == len(names)
    converted = utils.convert_ldm_unet_checkpoint(dict(stored), config=unet)
    assert {name: int(converted[name]) for name in names} == {name: index for index, name in enumerate(names)}


@pytest.fixture
def tiny_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(single_file, "CONFIGS", tiny_kinds.write_configs(tmp_path / "configs"))
    return tmp_path


def load(path: Path) -> checkpoint.Checkpoint:
    return checkpoint.load_checkpoint(path, torch.device("cpu"), torch.float32)


def states(loaded: checkpoint.Checkpoint) -> dict[str, dict[str, torch.Tensor]]:
    models = {"unet": loaded.unet, "vae": loaded.vae}
    models |= {encoder.rule.part: encoder.model for encoder in loaded.text_encoders}
    return {part: model.state_dict() for part, model in models.items()}


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
@pytest.mark.parametrize("kind", KINDS)
def test_single_files_and_folders_hold_the_same_weights(tiny_configs: Path, kind: str, suffix: str) -> None:
    models = tiny_kinds.make_models(kind)
    tensors, path = tiny_kinds.single_file_tensors(kind, models), tiny_configs / f"{kind}.{suffix}"
    torch.save({"state_dict": tensors}, path) if suffix == "ckpt" else save_file(tensors, path)
    folder = tiny_kinds.write_folder(tiny_configs / "folder", kind, models)
    for loaded in (load(path), load(folder)):
        assert loaded.kind is {"sd21": SD2, "sdxl": SDXL, "sdxl_refiner": REFINER}[kind]
        assert loaded.task == "text"
        found = states(loaded)
        assert found.keys() == models.keys()
        for part, model in models.items():
            assert all(torch.equal(found[part][name], value) for name, value in model.state_dict().items())


def made(tiny_configs: Path, kind: str) -> checkpoint.Checkpoint:
    return load(tiny_kinds.write_folder(tiny_configs / kind, kind, tiny_kinds.make_models(kind)))


ROWS = [[START, 320, 1125, 539, *[END] * 73], [START, 2368, *[END] * 75]]


@pytest.mark.parametrize(("kind", "widths"), [("sd21", [32]), ("sdxl", [32, 24]), ("sdxl_refiner", [24])])
@torch.inference_mode()
def test_a_unet_runs_on_what_the_text_encoders_made(tiny_configs: Path, kind: str, widths: list[int]) -> None:
    loaded = made(tiny_configs, kind)
    encoded = loaded.encode_tokens(ROWS)
    assert [tuple(state.shape) for state in encoded.hidden] == [(2, 77, width) for width in widths]
    added = added_conditions(loaded.kind, encoded.pooled, SizeConditions(64, 48))
    assert bool(added) == (kind != "sd21")
    output = loaded.unet(
        torch.randn(2, 4, 6, 8), 500, encoder_hidden_states=torch.cat(encoded.hidden, -1), added_cond_kwargs=added
    )
    assert output.sample.shape == (2, 4, 6, 8)


@torch.inference_mode()
def test_xl_takes_the_last_layer_but_one_without_its_norm_and_pools_at_the_end_token(tiny_configs: Path) -> None:
    loaded = made(tiny_configs, "sdxl")
    encoded = loaded.encode_tokens(ROWS, clip_skip=2)
    small, large = (encoder.model for encoder in loaded.text_encoders)
    tokens = torch.tensor(ROWS)
    expected = small.encoder["layers"][0](small.embed(tokens))
    assert torch.allclose(encoded.hidden[0], expected, atol=1e-5)
    padded = torch.tensor([zero_padded(row, END) for row in ROWS])
    assert padded[0, 3:7].tolist() == [539, END, 0, 0]
    x = large.encoder["layers"][0](large.embed(padded))
    assert torch.allclose(encoded.hidden[1], x, atol=1e-5)
    last = large.final_layer_norm(large.encoder["layers"][1](x))
    assert encoded.pooled is not None
    assert torch.allclose(encoded.pooled, large.text_projection(last[[0, 1], [4, 2]]), atol=1e-5)


@torch.inference_mode()
def test_clip_skip_counts_for_the_first_kind_only(tiny_configs: Path, tiny_models: Path, models_folder: Path) -> None:
    oldest = load(models_folder / "checkpoints" / "tiny")
    first, second, deepest = (oldest.encode_tokens(ROWS, skip).hidden[0] for skip in (1, 2, 12))
    model = oldest.text_encoder
    expected = model.final_layer_norm(model.encoder["layers"][0](model.embed(torch.tensor(ROWS))))
    assert torch.allclose(second, expected, atol=1e-5)
    assert not torch.allclose(first, second, atol=1e-2)
    assert torch.equal(second, deepest)  # at least one layer always runs
    newer = made(tiny_configs, "sd21")
    assert torch.equal(newer.encode_tokens(ROWS, 1).hidden[0], newer.encode_tokens(ROWS, 2).hidden[0])


@torch.inference_mode()
def test_vectors_of_an_embedding_take_the_place_of_tokens(tiny_configs: Path) -> None:
    loaded = made(tiny_configs, "sdxl")
    tables = [encoder.model.embeddings["token_embedding"].weight for encoder in loaded.text_encoders]
    vectors = {table.shape[1]: table[[320, 1125]].clone() for table in tables}
    blank = [[START, 0, 0, 539, *[END] * 73], ROWS[1]]
    found = loaded.encode_tokens(blank, placed=[Placed(0, 1, vectors)])
    expected = loaded.encode_tokens(ROWS)
    for one, other in zip((*found.hidden, found.pooled), (*expected.hidden, expected.pooled), strict=True):
        assert torch.allclose(one, other, atol=1e-5)  # type: ignore[arg-type]


def test_sizes_are_told_in_the_order_of_the_models() -> None:
    sizes, pooled = SizeConditions(640, 512, crop_left=8, crop_top=16), torch.zeros(2, 16)
    base = added_conditions(SDXL, pooled, sizes)["time_ids"]
    assert base.tolist() == [[512, 640, 16, 8, 512, 640]] * 2
    assert added_conditions(REFINER, pooled, sizes)["time_ids"][0].tolist() == [512, 640, 16, 8, 6]
    assert added_conditions(REFINER, pooled, sizes, is_negative=True)["time_ids"][0].tolist() == [512, 640, 16, 8, 2.5]


@pytest.mark.parametrize(
    ("written", "added", "metadata", "expected"),
    [
        ('model:\n  params:\n    parameterization: "v"\n', {}, {}, "v_prediction"),
        ("model:\n  params:\n    parameterization: eps\n", {}, {"modelspec.prediction_type": "v"}, "epsilon"),
        ("model: {}\n", {}, {}, "epsilon"),
        ("", {}, {"modelspec.prediction_type": "v"}, "v_prediction"),
        ("", {"v_pred": torch.zeros(0)}, {}, "v_prediction"),
        ("", {}, {"global_step": "875000"}, "epsilon"),
    ],
)
def test_what_a_model_predicts_is_read(
    tiny_configs: Path, written: str, added: Any, metadata: Any, expected: str
) -> None:
    tensors = tiny_kinds.single_file_tensors("sd21", tiny_kinds.make_models("sd21"))
    path = tiny_configs / "model.safetensors"
    save_file({**tensors, **added}, path, metadata=metadata)
    if written:
        path.with_suffix(".yaml").write_text(written)
    loaded = load(path)
    assert loaded.prediction_type == expected
    assert loaded.native_size == (96 * 8 if expected == "v_prediction" else 64)


def test_an_inpainting_model_of_the_second_kind_predicts_noise(tiny_configs: Path) -> None:
    tensors = tiny_kinds.single_file_tensors("sd21", tiny_kinds.make_models("sd21"))
    path = tiny_configs / "inpainting.safetensors"
    save_file({**tensors, single_file.FIRST_WEIGHT: torch.zeros(32, 9, 3, 3)}, path)
    loaded = load(path)
    assert (loaded.task, loaded.prediction_type) == ("inpainting", "epsilon")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_file", [True, False])
def test_a_whole_run_follows_seed_and_prompt(
    tiny_configs: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_file: bool
) -> None:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tiny_configs))
    monkeypatch.setenv("STABLE_CORE_DEVICE", "cpu")
    models, folder = tiny_kinds.make_models(kind), tiny_configs / "checkpoints"
    folder.mkdir()
    if is_file:
        save_file(tiny_kinds.single_file_tensors(kind, models), folder / "model.safetensors")
    else:
        tiny_kinds.write_folder(folder / "model", kind, models)

    def picture(prompt: str, **knobs: Any) -> bytes:
        params = Txt2ImgParams(checkpoint="model", steps=2, width=64, height=48, **{"seed": 1, **knobs})
        (made,) = txt2img(Text(prompt), params, Progress())
        assert made.size == (64, 48)
        return made.tobytes()

    first = picture("a red circle")
    assert picture("a red circle") == first
    others = [picture("a blue square"), picture("a red circle", seed=2), picture("a red circle", negative_prompt="sun")]
    assert len({first, *others}) == 4


@pytest.mark.parametrize(("bias", "expected"), [(0.4, "epsilon"), (-2.0, "v_prediction")])
def test_what_a_model_predicts_is_tried(tiny_configs: Path, bias: float, expected: str) -> None:
    models = tiny_kinds.make_models("sd21")
    last: Any = models["unet"].conv_out
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, bias)
    path = tiny_configs / "model.safetensors"
    save_file(tiny_kinds.single_file_tensors("sd21", models), path)
    assert load(path).prediction_type == expected


def test_the_vae_of_xl_runs_in_32_bits_where_16_are_too_few(tiny_configs: Path) -> None:
    folder = tiny_kinds.write_folder(tiny_configs / "xl", "sdxl", tiny_kinds.make_models("sdxl"))
    loaded = checkpoint.load_checkpoint(folder, torch.device("cpu"), torch.float16)
    assert loaded.unet.dtype == torch.float16
    assert loaded.vae.dtype == torch.float32


@torch.inference_mode()
def test_pixels_become_latents_and_pixels_again(tiny_models: Path, models_folder: Path) -> None:
    loaded = load(models_folder / "checkpoints" / "tiny")
    pixels = torch.rand(2, 3, 32, 24) * 2 - 1
    likeliest = loaded.encode(pixels)
    assert likeliest.shape == (2, 4, 4, 3)
    assert torch.equal(likeliest, loaded.encode(pixels))
    sampled = loaded.encode(pixels, torch.Generator().manual_seed(1))
    assert not torch.equal(sampled, likeliest)
    assert loaded.decode(likeliest).shape == pixels.shape
