"""LoRA files: which one a prompt means, what it holds beside weights, and what is told about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from loras import ATTENTION, RESNET, TinyCheckpoint, changed, names_of, random
from stable_core.sdk import InvalidParams
from stable_core_sd.networks import lora_file
from stable_core_sd.networks.lora import LoraCall, apply_loras, read_call
from stable_core_sd.networks.weight_patch import WeightPatch


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


def test_a_pickled_lora_is_read_and_one_with_code_is_refused(loras: Path) -> None:
    names = names_of(f"{ATTENTION}.to_q")["first"]
    torch.save(dict(zip(names, (random(32, 2), random(2, 32)), strict=True)), loras / "old.bin")
    assert len(changed(TinyCheckpoint(), LoraCall("old"))[0]) == 1
    torch.save({"x": Path("code")}, loras / "evil.pt")
    difference, [note] = changed(TinyCheckpoint(), LoraCall("evil"), LoraCall("old"))
    assert "evil.pt" in note
    assert len(difference) == 1


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
