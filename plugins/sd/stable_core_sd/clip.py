"""CLIP's text encoder, with the weight names of transformers' CLIPTextModel. It reads no text, only tokens.

It is written out here because importing transformers for this one model takes longer than all the rest of a first run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Placed:
    """Vectors of a textual inversion embedding that stand where tokens would stand."""

    row: int
    start: int
    vectors: Mapping[int, Tensor]
    """Tensors of shape (vectors, width), by the width of the text encoder that they are for."""


class ClipTextModel(nn.Module):
    """A transformer over tokens where each sees only those before it.

    Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take a text encoder's `config.json` as diffusers folders have it."""
        super().__init__()
        width = config["hidden_size"]
        self.embeddings = nn.ModuleDict(
            {
                "token_embedding": empty_embedding(config["vocab_size"], width),
                "position_embedding": empty_embedding(config["max_position_embeddings"], width),
            }
        )
        self.encoder = nn.ModuleDict(
            {"layers": nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))}
        )
        self.final_layer_norm = nn.LayerNorm(width, config.get("layer_norm_eps", 1e-5))
        if "CLIPTextModelWithProjection" in config.get("architectures", ()):
            self.text_projection = nn.Linear(width, config["projection_dim"], bias=False)

    def forward(
        self, tokens: Tensor, skipped_layers: int = 0, is_normalized: bool = True, placed: Sequence[Placed] = ()
    ) -> Tensor:
        """Return the embeddings, of shape (rows, length, width), of tokens of shape (rows, length).

        Args:
            tokens: numbers of the vocabulary.
            skipped_layers: so many of the last layers are left out; at least one always runs.
            is_normalized: apply the last norm.
            placed: vectors to put in place of tokens.
        """
        layers = self.encoder["layers"]
        x = self.embed(tokens, placed)
        for layer in layers[: max(len(layers) - skipped_layers, 1)]:
            x = layer(x)
        return self.final_layer_norm(x) if is_normalized else x

    def forward_pooled(
        self, tokens: Tensor, skipped_layers: int, is_normalized: bool, placed: Sequence[Placed] = ()
    ) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, and one vector for each row, of shape (rows, projection_dim).

        That vector is read where the first end token stands, which has the highest number of the vocabulary.
        """
        layers = self.encoder["layers"]
        x = self.embed(tokens, placed)
        taken = x
        for index, layer in enumerate(layers):
            x = layer(x)
            taken = x if index == max(len(layers) - skipped_layers, 1) - 1 else taken
        ends = self.final_layer_norm(x)[torch.arange(len(x), device=x.device), tokens.argmax(-1)]
        return self.final_layer_norm(taken) if is_normalized else taken, self.text_projection(ends)

    def embed(self, tokens: Tensor, placed: Sequence[Placed] = ()) -> Tensor:
        """Return the vectors that the first layer reads, of shape (rows, length, width)."""
        x = self.embeddings["token_embedding"](tokens)
        for one in placed:
            vectors = one.vectors[x.shape[-1]][: x.shape[1] - one.start]
            x[one.row, one.start : one.start + len(vectors)] = vectors.to(x)
        return x + self.embeddings["position_embedding"].weight[: tokens.shape[1]]


class Layer(nn.Module):
    """One layer: attention to earlier tokens, then two linear maps, each added to its input."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, inner, epsilon = config["hidden_size"], config["intermediate_size"], config.get("layer_norm_eps", 1e-5)
        self.layer_norm1 = nn.LayerNorm(width, epsilon)
        self.self_attn = Attention(width, config["num_attention_heads"])
        self.layer_norm2 = nn.LayerNorm(width, epsilon)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})
        self.activation = {"quick_gelu": quick_gelu, "gelu": functional.gelu}[config.get("hidden_act", "quick_gelu")]

    def forward(self, x: Tensor) -> Tensor:
        """Return the next embeddings, of the same shape (rows, length, width)."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp["fc2"](self.activation(self.mlp["fc1"](self.layer_norm2(x))))


class Attention(nn.Module):
    """Self-attention in several heads that looks back only."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Return what each token takes from itself and those before it, of the same shape (rows, length, width)."""
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)  # (rows, heads, length, width / heads)
        return self.out_proj(seen.transpose(1, 2).flatten(2))


def empty_embedding(count: int, width: int) -> nn.Embedding:
    """Return a table without first values: random ones on the meta device would import all of torch.compile."""
    return nn.Embedding(count, width, _weight=torch.empty(count, width))


def quick_gelu(x: Tensor) -> Tensor:
    """Return the approximation of GELU that CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)
