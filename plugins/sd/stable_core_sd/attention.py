"""Ways to compute attention that need less memory or time; all give the same numbers up to noise. It loads no model."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stable_core.sdk import InvalidParams
from stable_core_sd.model_classes import Attention

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes queries, keys and values of shape (batch, heads, tokens, width of a head); returns one value per query."""

_SCORES_AT_ONCE = 2**25
_QUERIES_AT_ONCE, _KEYS_AT_ONCE = 1024, 4096


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend with PyTorch's own function, which chooses the fastest way that the device has."""
    return functional.scaled_dot_product_attention(query, key, value)


def sliced(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend for a few heads at a time, so that never more than some scores are kept."""
    q, k, v = (part.flatten(0, 1) for part in (query, key, value))  # (batch * heads, tokens, width)
    rows = max(_SCORES_AT_ONCE // (q.shape[1] * k.shape[1]), 1)
    scale = 1 / math.sqrt(q.shape[-1])
    made = [
        torch.softmax((q[first : first + rows] * scale) @ k[first : first + rows].transpose(1, 2), -1)
        @ v[first : first + rows]
        for first in range(0, len(q), rows)
    ]
    return torch.cat(made).unflatten(0, query.shape[:2])


def sub_quadratic(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend for some queries and keys at a time; what is kept grows with the tokens, not with their square.

    Source: Rabe and Staats 2021, https://arxiv.org/abs/2112.05682.
    """
    scale = 1 / math.sqrt(query.shape[-1])
    return torch.cat([_for_queries(part * scale, key, value) for part in query.split(_QUERIES_AT_ONCE, 2)], 2)


def _for_queries(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Go through the keys in parts; sums so far are rescaled whenever a larger score comes up."""
    highest = torch.full((*query.shape[:3], 1), -torch.inf, device=query.device, dtype=torch.float32)
    weights = torch.zeros_like(highest)
    summed = torch.zeros(*query.shape[:3], value.shape[-1], device=query.device, dtype=torch.float32)
    for some_keys, some_values in zip(key.split(_KEYS_AT_ONCE, 2), value.split(_KEYS_AT_ONCE, 2), strict=True):
        scores = (query @ some_keys.transpose(2, 3)).float()
        now_highest = torch.maximum(highest, scores.amax(-1, keepdim=True))
        correction, scores = (highest - now_highest).exp(), (scores - now_highest).exp()
        weights = weights * correction + scores.sum(-1, keepdim=True)
        summed = summed * correction + (scores.to(value.dtype) @ some_values).float()
        highest = now_highest
    return (summed / weights).to(value.dtype)


def xformers(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend with the package xformers."""
    import xformers.ops

    q, k, v = (part.transpose(1, 2).contiguous() for part in (query, key, value))
    made: Tensor = xformers.ops.memory_efficient_attention(q, k, v)
    return made.transpose(1, 2)


WAYS: dict[str, Attend] = {"SDPA": plain, "Sliced": sliced, "Sub-quadratic": sub_quadratic, "xformers": xformers}


class AttentionProcessor:
    """Does in diffusers' attention layers what theirs do, with any way to attend."""

    def __init__(self, attend: Attend) -> None:
        self.attend = attend

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Return the layer's output for x of shape (batch, tokens, width), or (batch, width, height, width) in VAEs."""
        x, is_picture = hidden_states, hidden_states.ndim == 4
        if is_picture:
            x = x.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            x = attn.group_norm(x.transpose(1, 2)).transpose(1, 2)
        context = x if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            part(given).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for part, given in ((attn.to_q, x), (attn.to_k, context), (attn.to_v, context))
        )
        made = attn.to_out[0](self.attend(query, key, value).transpose(1, 2).flatten(2))
        if is_picture:
            made = made.transpose(1, 2).reshape(hidden_states.shape)
        if attn.residual_connection:
            made = made + hidden_states
        output: Tensor = made / attn.rescale_output_factor
        return output


def use_attention(name: str, *models: nn.Module) -> None:
    """Let all attention layers of diffusers' models attend in the way of that name.

    Raises:
        InvalidParams: xformers is asked for and not installed.
    """
    if name == "xformers" and importlib.util.find_spec("xformers") is None:
        raise InvalidParams(
            "xformers is not installed in the environment of the sd plugin.",
            "Choose another attention in the settings.",
        )
    processor = AttentionProcessor(WAYS[name])
    for model in models:
        for layer in model.modules():
            if isinstance(layer, Attention):
                layer.set_processor(processor)
