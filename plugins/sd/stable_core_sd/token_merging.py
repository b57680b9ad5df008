"""Token merging: a UNet attends to fewer tokens, which is faster and changes pictures a little. No knob is read here.

Source: Bolya and Hoffman 2023, https://arxiv.org/abs/2303.17604; as A1111 1.10 sets it up: the target of each 2 x 2
tokens is the first one, and only self-attention at the full size of the latents is shortened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stable_core_sd.model_classes import BasicTransformerBlock


@contextmanager
def merged_tokens(unet: Any, ratio: float) -> Iterator[bool]:
    """Let a UNet of diffusers merge this share of its tokens, 0 to 0.75 counting, until the end; 0 changes nothing.

    Yields whether it has any attention that this can shorten; that of Stable Diffusion XL begins at half the size.
    """
    shortener = _Shortener(ratio)
    handles = []
    if is_possible := "CrossAttn" in unet.config.down_block_types[0]:
        handles = shortener.attach(unet) if ratio else []
    try:
        yield is_possible
    finally:
        for handle in handles:
            handle.remove()


class _Shortener:
    """The hooks in one UNet: they know the size of the latents, and per block how its tokens are merged."""

    def __init__(self, ratio: float) -> None:
        self.ratio, self.size = ratio, (0, 0)

    def attach(self, unet: nn.Module) -> list[Any]:
        """Put the hooks in and return their handles."""
        handles = [unet.register_forward_pre_hook(self.look_at_latents)]
        for block in unet.modules():
            if isinstance(block, BasicTransformerBlock):
                merging = _BlockMerging(self)
                handles += [
                    block.register_forward_pre_hook(merging.match),
                    block.attn1.register_forward_pre_hook(merging.shorten),
                    block.attn1.register_forward_hook(merging.lengthen),
                ]
        return handles

    def look_at_latents(self, unet: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Keep the height and the width of what the UNet is given."""
        self.size = (inputs[0].shape[-2], inputs[0].shape[-1])


class _BlockMerging:
    """What the hooks of one transformer block tell each other."""

    def __init__(self, shortener: _Shortener) -> None:
        self.shortener = shortener
        self.matching: Matching | None = None

    def match(self, block: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Find the tokens to merge by what goes into the block."""
        tokens, (height, width) = inputs[0], self.shortener.size
        is_full_size = tokens.shape[1] == height * width and min(height, width) > 1
        self.matching = match_tokens(tokens, height, width, self.shortener.ratio) if is_full_size else None

    def shorten(self, attention: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Let self-attention see the merged tokens."""
        return inputs if self.matching is None else (self.matching.merge(inputs[0]), *inputs[1:])

    def lengthen(self, attention: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """Give every token what attention made of the one it was merged into."""
        return output if self.matching is None else self.matching.unmerge(output)


@dataclass(frozen=True)
class Matching:
    """Which tokens of each picture are merged into which.

    Attributes:
        targets: the places of the tokens that others are merged into, (targets,).
        sources: the places of all others, (sources,).
        merged, kept: which of the sources are merged and which stay, (batch, merged) and (batch, kept).
        into: the number of the target of each merged one, (batch, merged).
    """

    targets: Tensor
    sources: Tensor
    merged: Tensor
    kept: Tensor
    into: Tensor

    def merge(self, x: Tensor) -> Tensor:
        """Return (batch, kept + targets, width) of tokens (batch, tokens, width): the kept ones, and means."""
        others, targets = x[:, self.sources], x[:, self.targets]
        means = targets.scatter_reduce(1, _wide(self.into, x), others.gather(1, _wide(self.merged, x)), reduce="mean")
        return torch.cat([others.gather(1, _wide(self.kept, x)), means], 1)

    def unmerge(self, x: Tensor) -> Tensor:
        """Return one token for each that there was, (batch, tokens, width); merged ones get that of their target."""
        kept, targets = x.split([self.kept.shape[1], len(self.targets)], 1)
        others = x.new_empty(len(x), len(self.sources), x.shape[2])
        others.scatter_(1, _wide(self.kept, x), kept)
        others.scatter_(1, _wide(self.merged, x), targets.gather(1, _wide(self.into, x)))
        made = x.new_empty(len(x), len(self.sources) + len(self.targets), x.shape[2])
        made[:, self.sources], made[:, self.targets] = others, targets
        return made


def match_tokens(x: Tensor, height: int, width: int, ratio: float) -> Matching:
    """Return how to merge the share `ratio` of tokens, (batch, height * width, width of one), in rows.

    The sources that are most like a target are merged into the one that is most like them; targets always stay.
    """
    is_target = torch.zeros(height, width, dtype=torch.bool, device=x.device)
    is_target[: height // 2 * 2 : 2, : width // 2 * 2 : 2] = True
    targets, sources = is_target.flatten().nonzero()[:, 0], (~is_target).flatten().nonzero()[:, 0]
    directions = x / x.norm(dim=-1, keepdim=True)
    likeness, target = (directions[:, sources] @ directions[:, targets].transpose(1, 2)).max(-1)
    order = likeness.argsort(-1, descending=True)
    count = min(len(sources), int(x.shape[1] * ratio))
    merged, kept = order[:, :count], order[:, count:]
    return Matching(targets, sources, merged, kept, target.gather(1, merged))


def _wide(index: Tensor, x: Tensor) -> Tensor:
    """Return an index of tokens, (batch, some), for whole tokens of the width of `x`."""
    return index[..., None].expand(-1, -1, x.shape[2])
