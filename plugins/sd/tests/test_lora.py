"""LoRAs: they change a checkpoint by exactly what they say, together and alone, and come out again."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from loras import ATTENTION, RESNET, TinyCheckpoint, changed, names_of, random
from stable_core_sd.networks.lora import LoraCall, apply_loras
from stable_core_sd.networks.weight_patch import WeightPatch


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


def test_a_lora_for_another_model_is_noted_and_changes_nothing(loras: Path) -> None:
    names = names_of(f"{ATTENTION}.to_q")["kohya"]
    save_file(dict(zip(names, (random(320, 4), random(4, 320)), strict=True)), loras / "sd15.safetensors")
    difference, notes = changed(TinyCheckpoint(), LoraCall("sd15"))
    assert difference == {}
    assert "another kind of model" in notes[0]


def test_a_file_of_unknown_tensors_is_noted(loras: Path) -> None:
    save_file({"unet.conv_in.boft_R": random(4, 4)}, loras / "new.safetensors")
    assert changed(TinyCheckpoint(), LoraCall("new")) == ({}, ["new has no effect: it holds nothing that is known"])


def test_layers_that_do_not_fit_are_counted(loras: Path) -> None:
    good, unknown = names_of(f"{ATTENTION}.to_q")["kohya"], names_of("up_blocks.9.resnets.0.conv1")["kohya"]
    tensors = {good[0]: random(32, 2), good[1]: random(2, 32), unknown[0]: random(32, 2), unknown[1]: random(2, 32)}
    save_file(tensors, loras / "half.safetensors")
    difference, notes = changed(TinyCheckpoint(), LoraCall("half"))
    assert len(difference) == 1
    assert notes == ["half: 1 of 2 layers do not fit this model"]


def test_unknown_names_are_noted_together_and_the_run_goes_on(loras: Path) -> None:
    assert changed(TinyCheckpoint(), LoraCall("x"), LoraCall("y")) == ({}, ["Networks not found: x, y"])


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


def put_in(loras: Path) -> tuple[WeightPatch, torch.nn.Module]:
    """Return a patch that has put a LoRA in during a picture, and the layer that it changed."""
    checkpoint = TinyCheckpoint()
    names = names_of(f"{ATTENTION}.to_q")["kohya"]
    save_file(dict(zip(names, (random(32, 2), random(2, 32)), strict=True)), loras / "a.safetensors")
    patch, layer = WeightPatch(), checkpoint.unet.get_submodule(f"{ATTENTION}.to_q")
    with torch.inference_mode():
        apply_loras(checkpoint, [LoraCall("a")], patch)
    return patch, layer


def test_weights_put_in_during_inference_can_be_trained_afterwards(loras: Path) -> None:
    _, layer = put_in(loras)
    x = random(1, 32).requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None


def test_weights_that_come_back_from_main_memory_can_be_trained_afterwards(loras: Path) -> None:
    patch, layer = put_in(loras)
    layer.to("meta")  # stands for a GPU: the first weights are copied to where the layer is
    with torch.inference_mode():
        patch.undo()
    assert layer.weight.is_meta
    assert not layer.weight.is_inference()
