"""Reading checkpoints: names of weights as diffusers converts them, and clear errors for files that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from stable_core.sdk import InvalidParams
from stable_core_sd import checkpoint, ldm_keys, model_classes, single_file
from stable_core_sd.clip import ClipTextModel

CPU = torch.device("cpu")
SD15 = Path(checkpoint.__file__).parent / "configs" / "sd15"


def load(path: Path) -> checkpoint.Checkpoint:
    return checkpoint.load_checkpoint(path, CPU, torch.float32)


def config(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SD15 / part / "config.json").read_text())
    return found


def sd15_on_meta() -> dict[str, torch.nn.Module]:
    with torch.device("meta"):
        return {
            "unet": model_classes.UNet2DConditionModel.from_config(config("unet")),
            "vae": model_classes.AutoencoderKL.from_config(config("vae")),
            "text_encoder": ClipTextModel(config("text_encoder")),
        }


def test_sd15_has_the_known_number_of_weights() -> None:
    counts = {part: sum(weight.numel() for weight in model.parameters()) for part, model in sd15_on_meta().items()}
    assert counts == {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}


def test_sd15_names_equal_those_of_diffusers_own_conversion() -> None:
    utils = pytest.importorskip("diffusers.loaders.single_file_utils")
    models = sd15_on_meta()
    for part, key, convert in (
        ("unet", ldm_keys.unet_key, utils.convert_ldm_unet_checkpoint),
        ("vae", ldm_keys.vae_key, utils.convert_ldm_vae_checkpoint),
    ):
        names = list(models[part].state_dict())
        stored = {key(name, config(part)): torch.full((1,), index) for index, name in enumerate(names)}
        assert len(stored) == len(names)
        converted = convert(dict(stored), config=config(part))
        assert {name: int(converted[name]) for name in names} == {name: index for index, name in enumerate(names)}


@pytest.mark.parametrize(
    ("key", "name", "expected"),
    [
        (
            ldm_keys.unet_key,
            "down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_k.weight",
            "input_blocks.8.1.transformer_blocks.0.attn2.to_k.weight",
        ),
        (ldm_keys.unet_key, "down_blocks.0.downsamplers.0.conv.bias", "input_blocks.3.0.op.bias"),
        (ldm_keys.unet_key, "up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        (ldm_keys.unet_key, "up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
        (ldm_keys.unet_key, "mid_block.resnets.1.time_emb_proj.bias", "middle_block.2.emb_layers.1.bias"),
        (ldm_keys.vae_key, "decoder.up_blocks.0.resnets.2.conv1.weight", "decoder.up.3.block.2.conv1.weight"),
        (ldm_keys.vae_key, "encoder.mid_block.attentions.0.to_out.0.bias", "encoder.mid.attn_1.proj_out.bias"),
        (ldm_keys.text_encoder_key, "encoder.layers.11.mlp.fc1.bias", "text_model.encoder.layers.11.mlp.fc1.bias"),
    ],
)
def test_names_of_weights(key: Any, name: str, expected: str) -> None:
    part = "vae" if key is ldm_keys.vae_key else "unet"
    assert key(name, config(part)).endswith("." + expected)


@pytest.fixture
def single(tiny_models: Path, models_folder: Path) -> Path:
    return models_folder / "checkpoints" / "tiny_file.safetensors"


def rewritten(path: Path, source: Path, change: Any) -> Path:
    """Return a copy of a single file whose tensors went through `change`."""
    save_file(change(load_file(source)), path)
    return path


def test_old_text_encoder_names_and_fp16_files_are_read(single: Path, tmp_path: Path) -> None:
    old = rewritten(
        tmp_path / "old.safetensors",
        single,
        lambda tensors: {
            name.replace("transformer.text_model.", "transformer."): tensor.half() for name, tensor in tensors.items()
        },
    )
    loaded, expected = load(old), load(single)
    assert loaded.unet.dtype == torch.float32
    for part in ("unet", "vae", "text_encoder"):
        found, wanted = getattr(loaded, part).state_dict(), getattr(expected, part).state_dict()
        assert all(torch.equal(found[name], wanted[name].half().float()) for name in wanted)


@pytest.mark.parametrize(
    ("added", "kind"),
    [
        ("lora_unet_down_blocks_0.lora_down.weight", "LoRA"),
        ("model.diffusion_model.double_blocks.0.img_attn.norm.weight", "Flux"),
        ("emb_params", "textual inversion"),
    ],
)
def test_other_kinds_of_models_are_named(single: Path, tmp_path: Path, added: str, kind: str) -> None:
    path = tmp_path / "other.safetensors"
    save_file({added: torch.zeros(1)}, path)
    with pytest.raises(InvalidParams, match=f"other.safetensors is a {kind}") as raised:
        load(path)
    assert raised.value.hint


def with_channels(path: Path, source: Path, channels: int) -> Path:
    first = single_file.FIRST_WEIGHT
    return rewritten(path, source, lambda tensors: {**tensors, first: torch.zeros(32, channels, 3, 3)})


@pytest.mark.parametrize(("channels", "task"), [(4, "text"), (9, "inpainting"), (8, "instruct-pix2pix")])
def test_the_channels_tell_what_a_checkpoint_is_for(single: Path, tmp_path: Path, channels: int, task: str) -> None:
    loaded = load(with_channels(tmp_path / "task.safetensors", single, channels))
    assert loaded.task == task
    assert loaded.latent_channels == 4


def test_a_checkpoint_for_something_else_is_refused(single: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidParams, match="a 5-channel checkpoint"):
        load(with_channels(tmp_path / "depth.safetensors", single, 5))


def test_a_checkpoint_without_a_text_encoder_says_so(single: Path, tmp_path: Path) -> None:
    path = rewritten(
        tmp_path / "part.safetensors",
        single,
        lambda tensors: {name: t for name, t in tensors.items() if not name.startswith(ldm_keys.TEXT_ENCODER)},
    )
    with pytest.raises(InvalidParams, match="holds no text encoder"):
        load(path)


def test_a_missing_weight_and_a_wrong_shape_are_named(single: Path, tmp_path: Path) -> None:
    gone = ldm_keys.UNET + "middle_block.1.proj_in.bias"
    path = rewritten(
        tmp_path / "gone.safetensors", single, lambda tensors: {name: t for name, t in tensors.items() if name != gone}
    )
    with pytest.raises(InvalidParams, match=f"{gone} is missing"):
        load(path)
    path = rewritten(tmp_path / "shape.safetensors", single, lambda tensors: {**tensors, gone: torch.zeros(3)})
    with pytest.raises(InvalidParams, match=rf"{gone} has shape \[3\]"):
        load(path)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_file_that_is_cut_off_says_so(single: Path, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(single.read_bytes()[: int(single.stat().st_size * kept)])
    with pytest.raises(InvalidParams, match=r"cut\.safetensors cannot be read") as raised:
        load(path)
    assert "cut off" in raised.value.hint


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin"])
def test_pickled_checkpoints_are_read(single: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    torch.save({"state_dict": load_file(single), "global_step": 470000, "loss": 0.5}, path)
    loaded, expected = load(path), load(single)
    for part in ("unet", "vae", "text_encoder"):
        found, wanted = getattr(loaded, part).state_dict(), getattr(expected, part).state_dict()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_pickled_checkpoint_with_code_in_it_is_refused(tmp_path: Path) -> None:
    class Exploit:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "touched",)

    path = tmp_path / "bad.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(1)}, "bomb": Exploit()}, path)
    with pytest.raises(InvalidParams, match=r"bad\.ckpt was refused"):
        load(path)
    assert not (tmp_path / "touched").exists()


def test_a_file_of_another_format_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not even a pickle")
    with pytest.raises(InvalidParams, match=r"model\.onnx is no checkpoint"):
        load(path)


def folder(path: Path) -> Path:
    return tiny.write_folder(path / "folder", tiny.make_models())


def test_a_folder_of_another_pipeline_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "model_index.json").write_text(
        json.dumps({"_class_name": "StableDiffusion3Pipeline", "text_encoder_2": ["transformers", "x"]})
    )
    with pytest.raises(InvalidParams, match="StableDiffusion3Pipeline"):
        load(path)


@pytest.mark.parametrize(
    "missing",
    [
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "model_index.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_folder_that_lacks_a_file_says_which(tmp_path: Path, missing: str) -> None:
    path = folder(tmp_path)
    (path / missing).unlink()
    with pytest.raises(InvalidParams, match=missing.split("/")[0].split(".")[0]):
        load(path)


def test_a_folder_with_pickled_weights_is_read(tmp_path: Path) -> None:
    path = folder(tmp_path)
    expected = load(path).vae.state_dict()
    weights = path / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    found = load(path).vae.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_parts_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "text_encoder" / "config.json").write_text(json.dumps({**tiny.TEXT, "hidden_size": 64}))
    with pytest.raises(InvalidParams, match="does not fit"):
        load(path)


def test_old_vae_names_variants_and_shards_are_read(tmp_path: Path) -> None:
    path = folder(tmp_path)
    expected = load(path)
    vae = path / "vae" / "diffusion_pytorch_model.safetensors"
    old = {
        name.replace(".to_q.", ".query.").replace(".to_out.0.", ".proj_attn."): tensor
        for name, tensor in load_file(vae).items()
    }
    vae.unlink()
    save_file(old, vae.with_suffix(".fp16.safetensors"))
    unet = path / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = list(load_file(unet).items())
    unet.unlink()
    for index, part in enumerate((tensors[:50], tensors[50:])):
        save_file(dict(part), unet.with_name(f"diffusion_pytorch_model-0000{index + 1}-of-00002.safetensors"))
    loaded = load(path)
    for part in ("unet", "vae"):
        found, wanted = getattr(loaded, part).state_dict(), getattr(expected, part).state_dict()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_model_that_is_not_there_is_refused_with_those_that_are(tiny_models: Path) -> None:
    from stable_core.sdk import Progress, Text
    from stable_core_sd.plugin import Txt2ImgParams, txt2img

    with pytest.raises(InvalidParams) as raised:
        list(txt2img(Text("x"), Txt2ImgParams(checkpoint="nowhere"), Progress()))
    assert "tiny_file" in raised.value.hint


def test_the_noise_schedule_comes_from_the_checkpoint(tmp_path: Path) -> None:
    path = folder(tmp_path)
    assert load(path).sigma_table.sigma_max == pytest.approx(14.6146, rel=1e-5)
    scheduler = path / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps({**tiny.SCHEDULER, "beta_schedule": "linear", "prediction_type": "v_prediction"}))
    loaded = load(path)
    assert loaded.sigma_table.sigma_max > 15
    assert loaded.prediction_type == "v_prediction"
    scheduler.write_text(json.dumps({**tiny.SCHEDULER, "beta_schedule": "squaredcos_cap_v2"}))
    with pytest.raises(InvalidParams, match="squaredcos"):
        load(path)
