"""Odd sizes inside a UNet, as A1111 handles them. It runs nothing by itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional


def resize_after_upsampling(unet: Any) -> None:
    """Let a UNet of diffusers meet its skip connections as the original does where a side is odd.

    diffusers enlarges to the size of the skip connection and convolves then; the original enlarges by two, convolves
    and picks the nearest pixels. Even sizes are not touched by either.
    """
    for block in unet.up_blocks:
        for upsampler in block.upsamplers or ():
            upsampler.register_forward_pre_hook(_double)
            upsampler.register_forward_hook(_fit)


def _double(upsampler: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Keep the wanted size for `_fit` and enlarge by two."""
    upsampler.wanted_size = arguments[1] if len(arguments) > 1 else None
    return arguments[:1]


def _fit(upsampler: Any, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
    wanted = upsampler.wanted_size
    if wanted is None or output.shape[2:] == wanted:
        return output
    return functional.interpolate(output, size=wanted, mode="nearest")
