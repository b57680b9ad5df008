"""How much memory a checkpoint may take while it runs, and what to do when that is too much. It loads no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from stable_core_sd import device
from stable_core_sd.attention import use_attention
from stable_core_sd.borrowed import weights_of
from stable_core_sd.settings import Attention, Offload, SdSettings, VaeMode

if TYPE_CHECKING:
    from stable_core_sd.checkpoint import Checkpoint

Made = TypeVar("Made")

_SMALL = torch.float8_e4m3fn
_WORDS_OF_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class MemoryPlan:
    """One way to run a checkpoint."""

    offload: Offload = "nothing"
    attention: Attention = "SDPA"
    vae: VaeMode = "whole"
    fp8: bool = False

    @classmethod
    def chosen(cls, settings: SdSettings, runs_on: torch.device) -> MemoryPlan:
        """Return what the settings ask for; on a CPU there is nowhere to move models to.

        Whether weights are kept in 8 bits depends on the checkpoint too, and is not said.
        """
        offload: Offload = "nothing" if runs_on.type == "cpu" else settings.offload
        return cls(offload, settings.attention, settings.vae_mode)

    def lower(self, runs_on: torch.device) -> MemoryPlan | None:
        """Return the plan that needs the next less memory, or None if there is none."""
        if self.attention == "SDPA" or self.vae != "tiles":
            attention: Attention = "Sub-quadratic" if self.attention == "SDPA" else self.attention
            return replace(self, attention=attention, vae="tiles")
        if runs_on.type == "cpu" or self.offload == "layers":
            return None
        return replace(self, offload="models" if self.offload == "nothing" else "layers")

    def __str__(self) -> str:
        """Say in words what is done to save memory."""
        words = [
            {"nothing": "", "models": "one model at a time", "layers": "one layer at a time"}[self.offload],
            "" if self.attention in {"SDPA", "xformers"} else f"{self.attention.lower()} attention",
            "" if self.vae == "whole" else f"VAE in {self.vae}",
            "fp8" if self.fp8 else "",
        ]
        return ", ".join(word for word in words if word) or "everything at once"


def apply_plan(checkpoint: Checkpoint, plan: MemoryPlan) -> None:
    """Let a checkpoint run in this way from now on; results stay the same up to noise, except with fp8."""
    if checkpoint.plan == plan:
        return
    checkpoint.hooks.remove()
    checkpoint.plan = plan
    use_attention(plan.attention, checkpoint.unet, checkpoint.vae)
    checkpoint.vae.use_slicing, checkpoint.vae.use_tiling = plan.vae == "slices", plan.vae == "tiles"
    if plan.offload == "nothing":
        checkpoint.unpark()
    else:
        checkpoint.park()
        device.free_memory(checkpoint.device)
        _offload(checkpoint, plan.offload)
    if plan.fp8:
        _shrink(checkpoint)


def with_less_memory(checkpoint: Checkpoint, run: Callable[[], Made], note: Callable[[str], None]) -> Made:
    """Return what `run` makes; when memory runs out, run again with the next lower plan until none is left.

    Args:
        checkpoint: keeps the plan that worked.
        run: must be able to start again.
        note: is told what was done, for the person who waits.
    """
    while True:
        try:
            return run()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            lower = checkpoint.plan.lower(checkpoint.device)
            if not is_out_of_memory(error) or lower is None or not checkpoint.retries:
                raise
        device.free_memory(checkpoint.device)
        apply_plan(checkpoint, lower)
        note(f"Memory ran out; done again with less: {lower}")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on any device."""
    text = str(error).lower()
    is_named = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return is_named or any(words in text for words in _WORDS_OF_NO_MEMORY)


def _offload(checkpoint: Checkpoint, offload: Offload) -> None:
    """Bring models, or parts of the UNet, to the device when they run."""
    fetch = partial(_fetched, device=checkpoint.device)
    for encoder in checkpoint.text_encoders:
        parts = list(encoder.model.modules())[1:]
        checkpoint.hooks.one_at_a_time(parts, weights_of(encoder.model), fetch)
    checkpoint.hooks.one_at_a_time(checkpoint.vae.children(), weights_of(checkpoint.vae), fetch)
    if offload == "models":
        checkpoint.hooks.one_at_a_time([checkpoint.unet], weights_of(checkpoint.unet), fetch)
        return
    checkpoint.hooks.one_at_a_time([checkpoint.unet], [], fetch)  # sends the others away
    for block in _blocks(checkpoint.unet):
        checkpoint.hooks.while_running(block, weights_of(block), fetch)


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the parts of a UNet that run one after the other: the items of its lists, two levels deep, and the rest."""
    for child in model.children():
        lists = [child] if isinstance(child, nn.ModuleList) else []
        blocks = [block for one in lists for block in one] or [child]
        for block in blocks:
            inner = [one for part in block.children() if isinstance(part, nn.ModuleList) for one in part]
            yield from inner or [block]


def _fetched(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.to(device, copy=True)


def _shrink(checkpoint: Checkpoint) -> None:
    """Keep the weights of the UNet's layers in 8 bits, those of the first and the last excepted."""
    unet: Any = checkpoint.unet
    for layer in unet.modules():
        is_large = isinstance(layer, (nn.Linear, nn.Conv2d)) and layer not in {unet.conv_in, unet.conv_out}
        if is_large:
            layer.weight.data = layer.weight.data.to(_SMALL)
            checkpoint.hooks.while_running(layer, [layer.weight], partial(Tensor.to, dtype=unet.dtype))
