"""No step makes the host wait for the GPU, for which the meta device stands in: that computes nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import tiny
import tiny_kinds
from stable_core.sdk import Progress
from stable_core_sd import brownian, model_classes, model_kinds, noise
from stable_core_sd.batches import Batch
from stable_core_sd.checkpoint import Checkpoint, bundled_tokenizer, read_sigma_table
from stable_core_sd.clip import ClipTextModel
from stable_core_sd.names import SAMPLERS
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.passes import Pass, draw
from stable_core_sd.report import StepReport
from stable_core_sd.text_encoding import TextEncoder

FAR = torch.device("meta")
KINDS = {
    "sd15": (model_kinds.SD1, {"vae": tiny.VAE, "text_encoder": tiny.TEXT}),
    "sdxl": (model_kinds.SDXL, tiny_kinds.CONFIGS["sdxl"]),
}


class Waits(TorchDispatchMode):
    """Counts what waits for the far device: a value that is asked for, and copies to it or from it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, a composed one as its parts, and count it if it waits."""
        kwargs = kwargs or {}
        with self:
            made = func.decompose(*args, **kwargs)
        if made is not NotImplemented:
            return made
        places = {leaf.device for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        if func is torch.ops.aten._local_scalar_dense.default and FAR in places:
            self.count += 1
            return True
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default, torch.ops.aten.index.Tensor):
            target = torch.device(kwargs.get("device") or next(iter(places)))
            self.count += len({place.type for place in places | {target}}) > 1
        return func(*args, **kwargs)


class FarUNet(torch.nn.Module):
    """Stands for a UNet, which is diffusers' and waits for nothing: it predicts what it sees."""

    config = SimpleNamespace(in_channels=4, down_block_types=["CrossAttnDownBlock2D"])
    dtype = torch.float16

    def forward(self, seen: torch.Tensor, *others: Any, **more: Any) -> tuple[torch.Tensor]:
        """Return the prediction."""
        return (seen * 0.5,)


@pytest.fixture(scope="module", params=list(KINDS))
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    """Return a tiny checkpoint on the far device."""
    kind, configs = KINDS[request.param]
    with FAR:
        vae = model_classes.AutoencoderKL.from_config(configs["vae"])
        texts = tuple(TextEncoder(ClipTextModel(configs[rule.part]), rule) for rule in kind.texts)
    return Checkpoint(
        Path("far"), FarUNet(), vae, texts, bundled_tokenizer(), read_sigma_table({}), "epsilon", FAR, kind
    )


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Return the shapes of what is sent without a wait."""
    shapes: list[torch.Size] = []

    def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        shapes.append(tensor.shape)
        return torch.empty_like(tensor, device=device)

    for module in (noise, brownian):
        monkeypatch.setattr(module, "send", send)
    return shapes


def waits(checkpoint: Checkpoint, steps: int, prompt: str = "a circle", **knobs: Any) -> int:
    """Return how often a pass of two pictures waits once its texts are encoded."""
    params = Txt2ImgParams(**{"steps": steps, "preview": False, **knobs})
    batch = Batch([prompt] * 2, ["a tree"] * 2, [7, 8], [0, 0], (64, 64))
    for _ in range(2):  # the first one encodes
        with Waits() as counted:
            draw(Pass(checkpoint, params, StepReport(Progress(), steps)), batch)
    return counted.count


@pytest.mark.parametrize("sampler", [one for one in SAMPLERS if not one.is_adaptive], ids=lambda one: one.label)
def test_no_step_waits(checkpoint: Checkpoint, sent: list[torch.Size], sampler: Any) -> None:
    assert waits(checkpoint, 6, sampler=sampler.label) == 1  # for whether the result is finite
    before = len(sent)
    assert waits(checkpoint, 9, sampler=sampler.label) == 1
    assert len(sent) - before <= 2 * (2 * 9 + 1)  # of what is drawn, one tensor goes over for each use


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("knobs", [{"cfg_scale": 1.0}, {"guidance": {"skip_early": 0.5}}, {"sampler": "DDIM CFG++"}])
def test_no_step_with_several_parts_waits(checkpoint: Checkpoint, knobs: dict[str, Any]) -> None:
    prompt = "a circle AND a star:0.5"
    assert waits(checkpoint, 9, prompt, **knobs) == waits(checkpoint, 6, prompt, **knobs)


@pytest.mark.usefixtures("sent")
def test_a_wait_is_seen(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "send", torch.Tensor.to)
    assert waits(checkpoint, 6, sampler="Euler a") == 1 + 6
