"""LoRAs: every kind of file, named in every way, changes a checkpoint by exactly what it says and comes out again."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from stable_core.sdk import InvalidParams
from stable_core_sd import ldm_keys
from stable_core_sd.model_kinds import SD1, SDXL
from stable_core_sd.networks import lora_file
from stable_core_sd.networks.lora import LoraCall, apply_loras, read_call
from stable_core_sd.networks.lora_changes import change
from stable_core_sd.networks.lora_names import LayerIndex, split_name
from stable_core_sd.networks.weight_patch import WeightPatch

ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
RESNET = "down_blocks.1.resnets.0.conv1"


class TinyCheckpoint:
    """The models that LoRAs change."""

    def __init__(self, seed: int = 0) -> None:
        import tiny

        models = tiny.make_models(seed)
        self.unet, self.text_encoder = models["unet"], models["text_encoder"]
        self.text_encoders = [SimpleNamespace(model=self.text_encoder, rule=SD1.texts[0])]

    def weights(self) -> dict[str, Tensor]:
        parts = {"unet": self.unet, "text_encoder": self.text_encoder}
        return {
            f"{part}.{name}": value.clone()
            for part, model in parts.items()
            for name, value in model.state_dict().items()
        }


@pytest.fixture
def loras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    (tmp_path / "loras").mkdir()
    return tmp_path / "loras"


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))) / 4


def changed(checkpoint: TinyCheckpoint, *calls: LoraCall) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights that differ with LoRAs, by how much, and the notes; the checkpoint is left as it was."""
    before, patch = checkpoint.weights(), WeightPatch()
    notes = apply_loras(checkpoint, calls, patch).notes
    during = checkpoint.weights()
    patch.undo()
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.weights().items())
    return {name: during[name] - before[name] for name in before if not torch.equal(during[name], before[name])}, notes


def names_of(layer: str) -> dict[str, tuple[str, str]]:
    """Return the names that files of each family give the two tensors of a LoRA of one UNet layer."""
    flat, dotted = layer.replace(".", "_"), f"unet.{layer}"
    single = ldm_keys.unet_key(f"{layer}.weight", {"layers_per_block": 1, "up_block_types": []})
    single = single.removeprefix(ldm_keys.UNET).removesuffix(".weight").replace(".", "_")
    found = {
        "kohya": (f"lora_unet_{flat}.lora_up.weight", f"lora_unet_{flat}.lora_down.weight"),
        "single file": (f"lora_unet_{single}.lora_up.weight", f"lora_unet_{single}.lora_down.weight"),
        "peft": (f"{dotted}.lora_B.weight", f"{dotted}.lora_A.weight"),
        "peft, default": (
            f"base_model.model.{layer}.lora_B.default.weight",
            f"base_model.model.{layer}.lora_A.default.weight",
        ),
        "diffusers": (f"{dotted}.lora.up.weight", f"{dotted}.lora.down.weight"),
        "dotted": (f"diffusion_model.{layer}.lora_up.weight", f"diffusion_model.{layer}.lora_down.weight"),
    }
    parent, _, last = layer.rpartition(".")
    if parent.endswith("attn1"):
        found["processor"] = (
            f"unet.{parent}.processor.{last}_lora.up.weight",
            f"unet.{parent}.processor.{last}_lora.down.weight",
        )
        found["first"] = found["processor"][0].removeprefix("unet."), found["processor"][1].removeprefix("unet.")
    return found


@pytest.mark.parametrize(
    "layer", [f"{ATTENTION}.to_q", "mid_block.attentions.0.proj_in", RESNET, "time_embedding.linear_1"]
)
def test_a_lora_is_found_under_every_name_and_adds_its_product(loras: Path, layer: str) -> None:
    checkpoint = TinyCheckpoint()
    weight = checkpoint.unet.get_parameter(f"{layer}.weight")
    up, down = random(weight.shape[0], 3), random(3, *weight.shape[1:])
    up = up[:, :, None, None] if weight.ndim == 4 else up
    for family, (up_name, down_name) in names_of(layer).items():
        save_file({up_name: up, down_name: down}, loras / f"{family}.safetensors")
        difference, notes = changed(checkpoint, LoraCall(family, unet_multiplier=0.5))
        assert (notes, list(difference)) == ([], [f"unet.{layer}.weight"]), family
        expected = 0.5 * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        assert torch.allclose(difference[f"unet.{layer}.weight"], expected, atol=1e-6), family


@pytest.mark.parametrize(
    ("up_name", "layer"),
    [
        ("lora_te_text_model_encoder_layers_1_mlp_fc1.lora_up.weight", "encoder.layers.1.mlp.fc1"),
        ("lora_te1_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight", "encoder.layers.0.self_attn.q_proj"),
        (
            "text_encoder.text_model.encoder.layers.0.self_attn.v_proj.lora_linear_layer.up.weight",
            "encoder.layers.0.self_attn.v_proj",
        ),
        (
            "text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.up.weight",
            "encoder.layers.0.self_attn.out_proj",
        ),
        (
            "text_encoder.text_model.encoder.layers.0.self_attn.k_proj.lora_B.weight",
            "encoder.layers.0.self_attn.k_proj",
        ),
    ],
)
def test_the_text_encoder_is_found_under_every_name(loras: Path, up_name: str, layer: str) -> None:
    checkpoint = TinyCheckpoint()
    weight = checkpoint.text_encoder.get_parameter(f"{layer}.weight")
    up, down = random(weight.shape[0], 2), random(2, weight.shape[1])
    down_name = up_name.replace("up.weight", "down.weight").replace("lora_B", "lora_A")
    save_file({up_name: up, down_name: down}, loras / "one.safetensors")
    difference, notes = changed(checkpoint, LoraCall("one", text_multiplier=2.0, unet_multiplier=0.0))
    assert (notes, list(difference)) == ([], [f"text_encoder.{layer}.weight"])
    assert torch.allclose(difference[f"text_encoder.{layer}.weight"], 2 * up @ down, atol=1e-5)


def test_a_second_text_encoder_has_names_of_its_own(loras: Path) -> None:
    checkpoint: Any = TinyCheckpoint()
    large = TinyCheckpoint(seed=1).text_encoder
    checkpoint.text_encoders.append(SimpleNamespace(model=large, rule=SDXL.texts[1]))
    save_file(
        {
            "lora_te2_text_model_encoder_layers_0_mlp_fc2.lora_up.weight": random(32, 2),
            "lora_te2_text_model_encoder_layers_0_mlp_fc2.lora_down.weight": random(2, 64),
        },
        loras / "xl.safetensors",
    )
    second = large.get_parameter("encoder.layers.0.mlp.fc2.weight")
    before, patch = second.clone(), WeightPatch()
    apply_loras(checkpoint, [LoraCall("xl")], patch)
    assert len(patch) == 1
    assert not torch.equal(second, before)
    patch.undo()
    assert torch.equal(second, before)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        (
            "input_blocks_4_1_transformer_blocks_1_attn1_to_k",
            "down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_k",
        ),
        ("input_blocks_8_1_proj_in", "down_blocks.2.attentions.1.proj_in"),
        ("input_blocks_3_0_op", "down_blocks.0.downsamplers.0.conv"),
        ("input_blocks_5_0_in_layers_2", "down_blocks.1.resnets.1.conv1"),
        ("middle_block_1_transformer_blocks_9_ff_net_2", "mid_block.attentions.0.transformer_blocks.9.ff.net.2"),
        ("output_blocks_2_1_proj_out", "up_blocks.0.attentions.2.proj_out"),
        ("output_blocks_2_2_conv", "up_blocks.0.upsamplers.0.conv"),
        ("output_blocks_8_0_skip_connection", "up_blocks.2.resnets.2.conv_shortcut"),
        ("time_embed_2", "time_embedding.linear_2"),
        ("label_emb_0_0", "add_embedding.linear_1"),
        ("out_2", "conv_out"),
    ],
)
def test_stable_diffusion_xl_has_the_names_of_single_files(name: str, layer: str) -> None:
    config = json.loads((Path(ldm_keys.__file__).parent / "configs" / "sdxl" / "unet" / "config.json").read_text())
    index = LayerIndex({"unet": [layer]}, config)
    assert index.find(f"lora_unet_{name}") == index.find(f"unet.{layer}") == ("unet", layer)


def test_the_changed_model_computes_what_the_two_small_layers_beside_it_would(loras: Path) -> None:
    checkpoint = TinyCheckpoint()
    layer = checkpoint.unet.get_submodule(f"{ATTENTION}.to_q")
    up, down, x = random(32, 4), random(4, 32), random(2, 5, 32)
    save_file(dict(zip(names_of(f"{ATTENTION}.to_q")["kohya"], (up, down), strict=True)), loras / "one.safetensors")
    latents, text = random(1, 4, 8, 8), random(1, 77, 32)

    def run() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return layer(x), checkpoint.unet(latents, torch.tensor([5]), text).sample

    patch = WeightPatch()
    apply_loras(checkpoint, [LoraCall("one", unet_multiplier=0.7)], patch)
    merged = run()
    patch.undo()
    hook = layer.register_forward_hook(lambda _, args, output: output + 0.7 * (args[0] @ down.T @ up.T))
    hooked = run()
    hook.remove()
    for first, second in zip(merged, hooked, strict=True):
        assert torch.allclose(first, second, atol=1e-4)
    assert not torch.allclose(run()[1], merged[1], atol=1e-4)


def test_a_multiplier_of_0_changes_no_bit(loras: Path) -> None:
    save_file(
        dict(zip(names_of(RESNET)["kohya"], (random(64, 2, 1, 1), random(2, 32, 3, 3)), strict=True)),
        loras / "a.safetensors",
    )
    assert changed(TinyCheckpoint(), LoraCall("a", 0.0, 0.0)) == ({}, [])


def test_several_loras_add_up_and_the_last_one_out_leaves_nothing(loras: Path) -> None:
    checkpoint = TinyCheckpoint()
    for seed, name in enumerate(("a", "b")):
        tensors = random(32, 2, seed=seed), random(2, 32, seed=seed)
        save_file(
            dict(zip(names_of(f"{ATTENTION}.to_k")["kohya"], tensors, strict=True)), loras / f"{name}.safetensors"
        )
    name = f"unet.{ATTENTION}.to_k.weight"
    one, other, both = (
        changed(checkpoint, *calls)[0][name]
        for calls in ([LoraCall("a")], [LoraCall("b", 1.0, -0.5)], [LoraCall("a"), LoraCall("b", 1.0, -0.5)])
    )
    assert torch.allclose(both, one + other, atol=1e-6)


def test_alpha_and_the_rank_limit(loras: Path) -> None:
    checkpoint = TinyCheckpoint()
    up, down = random(32, 4), random(4, 32)
    names = names_of(f"{ATTENTION}.to_v")["kohya"]
    alpha = names[0].replace("lora_up.weight", "alpha")
    save_file({names[0]: up, names[1]: down, alpha: torch.tensor(2.0)}, loras / "a.safetensors")
    [whole] = changed(checkpoint, LoraCall("a"))[0].values()
    assert torch.allclose(whole, 0.5 * up @ down, atol=1e-6)
    [limited] = changed(checkpoint, LoraCall("a", rank_limit=2))[0].values()
    assert torch.allclose(limited, 0.5 * up[:, :2] @ down[:2], atol=1e-6)


@pytest.mark.parametrize(
    ("record", "strength"),
    [
        ({}, 1.0),
        ({"unet.lora_alpha": 8, "unet.r": 4}, 2.0),
        ({"unet.lora_alpha": 8, "unet.use_rslora": True}, 4.0),
        ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"attn1.to_v": 1, "to_k": 3}}, 0.25),
        ({"text_encoder.lora_alpha": 8}, 1.0),
    ],
)
def test_the_strength_that_diffusers_records_for_peft(loras: Path, record: dict[str, Any], strength: float) -> None:
    up, down = random(32, 4), random(4, 32)
    tensors = dict(zip(names_of(f"{ATTENTION}.to_v")["peft"], (up, down), strict=True))
    save_file(tensors, loras / "a.safetensors", {"lora_adapter_metadata": json.dumps(record)})
    [difference] = changed(TinyCheckpoint(), LoraCall("a"))[0].values()
    assert torch.allclose(difference, strength * up @ down, atol=1e-5)


def kron(a: Tensor, b: Tensor) -> Tensor:
    """Write the Kronecker product out."""
    return (a[:, None, :, None] * b[None, :, None, :]).reshape(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])


A, B = random(6, 4, seed=1), random(4, 8, seed=2)
C, D = random(6, 4, seed=3), random(4, 8, seed=4)
WEIGHT = random(6, 8, seed=5)
CONVOLUTION = random(6, 8, 3, 3, seed=6)
CORE = random(4, 4, 3, 3, seed=7)


@pytest.mark.parametrize(
    ("tensors", "weight", "expected"),
    [
        ({"up": A, "down": B}, WEIGHT, A @ B),
        ({"up": A, "down": B, "alpha": torch.tensor(1.0)}, WEIGHT, A @ B / 4),
        ({"up": A, "down": B, "scale": torch.tensor(3.0)}, WEIGHT, A @ B * 3),
        ({"up": A, "down": B, "mid": CORE}, CONVOLUTION, torch.einsum("or,rskl,si->oikl", A, CORE, B)),
        (
            {"hada_w1_a": A, "hada_w1_b": B, "hada_w2_a": C, "hada_w2_b": D, "alpha": torch.tensor(2.0)},
            WEIGHT,
            (A @ B) * (C @ D) / 2,
        ),
        (
            {"hada_w1_a": A.T, "hada_w1_b": B, "hada_w2_a": C.T, "hada_w2_b": D, "hada_t1": CORE, "hada_t2": CORE},
            CONVOLUTION,
            torch.einsum("or,rskl,si->oikl", A, CORE, B) * torch.einsum("or,rskl,si->oikl", C, CORE, D),
        ),
        ({"lokr_w1": A[:3, :2], "lokr_w2": B[:2, :4], "alpha": torch.tensor(7.0)}, WEIGHT, kron(A[:3, :2], B[:2, :4])),
        (
            {"lokr_w1": A[:3, :2], "lokr_w2_a": C[:2, :2], "lokr_w2_b": D[:2, :4], "alpha": torch.tensor(1.0)},
            WEIGHT,
            kron(A[:3, :2], C[:2, :2] @ D[:2, :4]) / 2,
        ),
        (
            {"lokr_w1_a": A[:3, :1], "lokr_w1_b": B[:1, :2], "lokr_w2_a": C[:2, :1], "lokr_w2_b": D[:1, :4]},
            WEIGHT,
            kron(A[:3, :1] @ B[:1, :2], C[:2, :1] @ D[:1, :4]),
        ),
        (
            {"lokr_w1": A[:3, :2], "lokr_w2": CONVOLUTION[:2, :4]},
            CONVOLUTION,
            torch.stack(
                [torch.stack([kron(A[:3, :2], CONVOLUTION[:2, :4, y, x]) for x in range(3)], -1) for y in range(3)], 2
            ),
        ),
        ({"diff": WEIGHT * 2}, WEIGHT, WEIGHT * 2),
        ({"weight": B[0], "on_input": torch.tensor(True)}, WEIGHT, WEIGHT * B[0]),
        ({"weight": A[:, :1], "on_input": torch.tensor(False)}, WEIGHT, WEIGHT * A[:, :1]),
        ({"w_norm": B[0], "b_norm": D[0]}, random(8), B[0]),
    ],
)
def test_each_kind_adds_what_its_paper_says(tensors: dict[str, Tensor], weight: Tensor, expected: Tensor) -> None:
    added = change(tensors, weight, 0.5)
    assert added is not None
    assert added.weight is not None
    assert torch.allclose(added.weight, expected * 0.5, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("weight", [WEIGHT, CONVOLUTION])
def test_dora_gives_each_output_or_input_a_length_of_its_own(weight: Tensor, axis: int) -> None:
    down = B if weight.ndim == 2 else random(4, 8, 3, 3)
    lengths = random(weight.shape[axis]).abs() + 1
    shape = [1] * weight.ndim
    shape[axis] = -1
    tensors = {"up": A, "down": down, "dora_scale": lengths.reshape(shape)}
    added = change(tensors, weight, 1.0)
    assert added is not None
    result = weight + added.weight
    assert torch.allclose(result.transpose(0, axis).flatten(1).norm(dim=1), lengths, atol=1e-5)
    plain = weight + (A @ down.flatten(1)).reshape(weight.shape)
    direction = torch.nn.functional.cosine_similarity(
        result.transpose(0, axis).flatten(1), plain.transpose(0, axis).flatten(1)
    )
    assert torch.allclose(direction, torch.ones_like(direction), atol=1e-5)


def test_dora_of_peft_has_its_lengths_per_output(loras: Path) -> None:
    lengths = random(6).abs() + 1
    added = change({"up": A, "down": B, "magnitude": lengths}, WEIGHT, 1.0)
    assert added is not None
    assert torch.allclose((WEIGHT + added.weight).norm(dim=1), lengths, atol=1e-5)


def test_a_bias_is_added_even_where_the_layer_has_none(loras: Path) -> None:
    checkpoint = TinyCheckpoint()
    layer = checkpoint.unet.get_submodule(f"{ATTENTION}.to_q")
    assert layer.bias is None
    flat = f"lora_unet_{ATTENTION.replace('.', '_')}_to_q"
    save_file({f"{flat}.diff": random(32, 32), f"{flat}.diff_b": random(32)}, loras / "full.safetensors")
    patch = WeightPatch()
    apply_loras(checkpoint, [LoraCall("full", unet_multiplier=0.5)], patch)
    assert torch.allclose(layer.bias, random(32) * 0.5)
    patch.undo()
    assert layer.bias is None


def test_four_channels_fit_an_inpainting_model() -> None:
    weight = random(6, 9, 3, 3)
    added = change({"diff": random(6, 4, 3, 3)}, weight, 1.0)
    assert added is not None
    assert added.weight is not None
    assert torch.equal(added.weight[:, :4], random(6, 4, 3, 3))
    assert not added.weight[:, 4:].any()


def test_a_lora_for_another_model_is_noted_and_changes_nothing(loras: Path) -> None:
    names = names_of(f"{ATTENTION}.to_q")["kohya"]
    save_file(dict(zip(names, (random(320, 4), random(4, 320)), strict=True)), loras / "sd15.safetensors")
    difference, notes = changed(TinyCheckpoint(), LoraCall("sd15"))
    assert difference == {}
    assert "another kind of model" in notes[0]


def test_layers_that_do_not_fit_are_counted(loras: Path) -> None:
    good, unknown = names_of(f"{ATTENTION}.to_q")["kohya"], names_of("up_blocks.9.resnets.0.conv1")["kohya"]
    tensors = {good[0]: random(32, 2), good[1]: random(2, 32), unknown[0]: random(32, 2), unknown[1]: random(2, 32)}
    save_file(tensors, loras / "half.safetensors")
    difference, notes = changed(TinyCheckpoint(), LoraCall("half"))
    assert len(difference) == 1
    assert notes == ["half: 1 of 2 layers do not fit this model"]


def test_unknown_names_are_noted_together_and_the_run_goes_on(loras: Path) -> None:
    assert changed(TinyCheckpoint(), LoraCall("x"), LoraCall("y")) == ({}, ["Networks not found: x, y"])


def test_a_lora_is_found_by_its_file_its_folder_or_the_name_its_trainer_gave_it(loras: Path) -> None:
    (loras / "people").mkdir()
    tensors = dict(zip(names_of(RESNET)["kohya"], (random(64, 2, 1, 1), random(2, 32, 3, 3)), strict=True))
    save_file(tensors, loras / "people" / "ann-v2.safetensors", {"ss_output_name": "ann"})
    found = [lora_file.find_lora(name) for name in ("people/ann-v2", "ann-v2", "ann-v2.safetensors", "ann")]
    assert {lora.name for lora in found if lora} == {"ann-v2"}
    assert None not in found
    save_file(tensors, loras / "other.safetensors", {"ss_output_name": "ann"})
    assert lora_file.find_lora("ann") is None  # two have that alias


def test_the_hash_is_that_of_the_weights_and_not_of_the_metadata(loras: Path) -> None:
    tensors = {"lora_unet_x.lora_up.weight": random(4, 4)}
    for name, metadata in (("a", {}), ("b", {"ss_output_name": "b"}), ("c", {"sshs_model_hash": "0123456789abcdef"})):
        save_file(tensors, loras / f"{name}.safetensors", metadata)
    a, b, c = lora_file.list_loras()
    assert a.short_hash == b.short_hash
    assert len(a.short_hash) == 12
    assert c.short_hash == "0123456789ab"


def test_a_pickled_lora_is_read_and_one_with_code_is_refused(loras: Path) -> None:
    names = names_of(f"{ATTENTION}.to_q")["first"]
    torch.save(dict(zip(names, (random(32, 2), random(2, 32)), strict=True)), loras / "old.bin")
    assert len(changed(TinyCheckpoint(), LoraCall("old"))[0]) == 1
    torch.save({"x": Path("code")}, loras / "evil.pt")
    difference, [note] = changed(TinyCheckpoint(), LoraCall("evil"), LoraCall("old"))
    assert "evil.pt" in note
    assert len(difference) == 1


@pytest.mark.parametrize(
    ("positional", "named", "expected"),
    [
        (["x"], {}, LoraCall("x", 1.0, 1.0)),
        (["x", "0.5"], {}, LoraCall("x", 0.5, 0.5)),
        (["x", "0.5", "0.2"], {}, LoraCall("x", 0.5, 0.2)),
        (["x", "0.5", "0.2", "8"], {}, LoraCall("x", 0.5, 0.2, 8)),
        (["x"], {"te": "0.3"}, LoraCall("x", 0.3, 0.3)),
        (["x", "0.5"], {"unet": "0"}, LoraCall("x", 0.5, 0.0)),
        (["x", "1", "1"], {"te": "0", "dyn": "4"}, LoraCall("x", 0.0, 1.0, 4)),
    ],
)
def test_a_call_has_numbers_by_place_or_by_name(
    positional: list[str], named: dict[str, str], expected: LoraCall
) -> None:
    assert read_call(positional, named) == expected


def test_a_multiplier_that_is_no_number_is_an_error() -> None:
    with pytest.raises(InvalidParams, match="strong"):
        read_call(["x", "strong"], {})


def test_other_tensors_are_no_part_of_a_lora() -> None:
    assert split_name("lora_unet_x.something_new") is None
    assert split_name("bundle_emb.cat.string_to_param.*") is None
    assert split_name("logit_scale") is None


def test_a_lora_can_bring_embeddings(loras: Path) -> None:
    names = names_of(f"{ATTENTION}.to_q")["kohya"]
    tensors = dict(zip(names, (random(32, 2), random(2, 32)), strict=True))
    tensors |= {"bundle_emb.cat.string_to_param.*": random(3, 32), "bundle_emb.dog.clip_l": random(1, 32)}
    tensors |= {"bundle_emb.dog.clip_g": random(1, 48)}
    save_file(tensors, loras / "a.safetensors")
    patch = WeightPatch()
    applied = apply_loras(TinyCheckpoint(), [LoraCall("a")], patch)
    assert applied.notes == []
    assert {name: list(one.vectors) for name, one in applied.embeddings.items()} == {"cat": [32], "dog": [32, 48]}
    assert torch.equal(applied.embeddings["cat"].vectors[32], random(3, 32))


def test_a_description_has_the_most_frequent_tags(loras: Path) -> None:
    metadata = {
        "ss_tag_frequency": '{"1_ann": {"ann": 9, "hat": 2}, "2_ann": {"hat": 20}}',
        "ss_base_model_version": "sd_v1",
    }
    save_file({"lora_unet_x.lora_up.weight": random(4, 4)}, loras / "ann.safetensors", metadata)
    save_file(
        {"lora_unet_x.lora_up.weight": random(4, 4)}, loras / "plain.safetensors", {"ss_tag_frequency": "no JSON"}
    )
    ann, plain = (lora.describe() for lora in lora_file.list_loras())
    assert (ann["tags"], ann["base_model"], plain["tags"]) == (["hat", "ann"], "sd_v1", [])


def test_a_16_bit_weight_is_rounded_once_and_comes_back(loras: Path) -> None:
    checkpoint = TinyCheckpoint()
    checkpoint.unet.half()
    names = names_of(f"{ATTENTION}.to_q")["kohya"]
    for name in ("a", "b"):
        save_file(
            dict(zip(names, (random(32, 2).half(), random(2, 32).half()), strict=True)), loras / f"{name}.safetensors"
        )
    [difference] = changed(checkpoint, LoraCall("a"))[0].values()
    assert difference.dtype == torch.float16


def test_weights_put_in_during_inference_can_be_trained_afterwards(loras: Path) -> None:
    checkpoint = TinyCheckpoint()
    names = names_of(f"{ATTENTION}.to_q")["kohya"]
    save_file(dict(zip(names, (random(32, 2), random(2, 32)), strict=True)), loras / "a.safetensors")
    patch, layer = WeightPatch(), checkpoint.unet.get_submodule(f"{ATTENTION}.to_q")
    with torch.inference_mode():
        apply_loras(checkpoint, [LoraCall("a")], patch)
    x = random(1, 32).requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
