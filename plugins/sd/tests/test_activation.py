"""What a prompt names is active inside, gone outside, and told about."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from stable_core_sd.model_kinds import SD1
from stable_core_sd.networks.activation import activated
from stable_core_sd.networks.hypernetwork import HypernetworkModule, Structure
from stable_core_sd.networks.hypernetwork_file import Hypernetwork, write_hypernetwork
from stable_core_sd.prompt.extra_networks import NetworkCall, take_networks

LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a tiny checkpoint beside a LoRA `style`, a hypernetwork `cat`, and one of another width, `other`."""
    import tiny

    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))
    torch.manual_seed(0)
    for folder in ("loras", "hypernetworks"):
        (tmp_path / folder).mkdir()
    save_file(
        {f"{LAYER}.lora_up.weight": torch.randn(32, 2), f"{LAYER}.lora_down.weight": torch.randn(2, 32)},
        tmp_path / "loras" / "style.safetensors",
    )
    for name, width in (("cat", 32), ("other", 768)):
        pair = HypernetworkModule(width, Structure()), HypernetworkModule(width, Structure())
        write_hypernetwork(Hypernetwork(name, Structure(), {width: pair}), tmp_path / "hypernetworks" / f"{name}.pt")
    (tmp_path / "hypernetworks" / "broken.pt").write_bytes(b"nothing")
    models = tiny.make_models()
    text_encoders = [SimpleNamespace(model=models["text_encoder"], rule=SD1.texts[0])]
    return SimpleNamespace(
        unet=models["unet"], text_encoders=text_encoders, device=torch.device("cpu"), text_widths=[32]
    )


def run(checkpoint: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    latents, text = torch.randn(1, 4, 8, 8, generator=generator), torch.randn(1, 77, 32, generator=generator)
    with torch.no_grad():
        return checkpoint.unet(
            latents.to(checkpoint.unet.dtype), torch.tensor([5]), text.to(checkpoint.unet.dtype)
        ).sample


def calls(prompt: str) -> list[NetworkCall]:
    return take_networks(prompt)[1]


@pytest.mark.parametrize(
    "prompt", ["<lora:style:0.5>", "<lyco:style>", "<hypernet:cat:0.3>", "<hypernet:cat><lora:style>"]
)
def test_networks_act_inside_and_leave_no_trace(checkpoint: Any, prompt: str) -> None:
    before = run(checkpoint)
    with activated(checkpoint, calls(prompt)) as active:
        assert not torch.equal(run(checkpoint), before)
        assert active.notes == []
        assert list(active.lora_hashes) == (["style"] if "style" in prompt else [])
    assert torch.equal(run(checkpoint), before)


def test_they_are_taken_out_after_an_error(checkpoint: Any) -> None:
    before = run(checkpoint)
    with pytest.raises(KeyError), activated(checkpoint, calls("<lora:style><hypernet:cat>")):
        raise KeyError
    assert torch.equal(run(checkpoint), before)


def test_half_precision(checkpoint: Any) -> None:
    checkpoint.unet.bfloat16()
    before = run(checkpoint)
    with activated(checkpoint, calls("<lora:style><hypernet:cat>")):
        assert run(checkpoint).dtype == torch.bfloat16
    assert torch.equal(run(checkpoint), before)


@pytest.mark.parametrize(
    ("prompt", "note"),
    [
        ("<lora:a:1><lora:b:1>", "Networks not found: a, b"),
        ("<lora:style:strong>", "strong"),
        ("<hypernet:dog>", "Hypernetworks not found: dog"),
        ("<hypernet:cat:much>", "much"),
        ("<hypernet:broken>", "broken.pt"),
        ("<hypernet:other>", "another kind of model"),
        ("<lycos:x><lycos:y>", "'lycos'"),
        ("<lora:=>", "Networks not found"),
        ("<hypernet:a=b>", "Hypernetworks not found"),
    ],
)
def test_what_cannot_be_used_is_noted_and_the_rest_goes_on(checkpoint: Any, prompt: str, note: str) -> None:
    before = run(checkpoint)
    with activated(checkpoint, calls(f"{prompt}<lora:style>")) as active:
        assert not torch.equal(run(checkpoint), before)
    assert len(active.notes) == 1
    assert note in active.notes[0]


def test_the_generation_data_name_loras_with_their_hash(checkpoint: Any) -> None:
    with activated(checkpoint, calls("<lora:style>")) as active:
        assert active.infotext == {"Lora hashes": f"style: {active.lora_hashes['style']}"}
    with activated(checkpoint, []) as active:
        assert active.infotext == {}
