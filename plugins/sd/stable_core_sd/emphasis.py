"""What weights do to the embeddings of a text. Where the weights come from is the prompt language's."""

from __future__ import annotations

import torch
from torch import Tensor


def apply_weights(embedded: Tensor, weights: Tensor, mode: str = "Original", counts: Tensor | None = None) -> Tensor:
    """Return embeddings of shape (texts, tokens, width) with weights of shape (texts, tokens).

    `Original` scales the result so that the mean over all texts stays; `counts`, of shape (texts,), says how often
    each text counts there. `No norm` only multiplies; `Ignore` and `None` do nothing.
    """
    if mode in ("Ignore", "None"):
        return embedded
    weighted = embedded * weights.unsqueeze(-1)
    if mode == "No norm":
        return weighted
    mean, new_mean = _mean(embedded, counts), _mean(weighted, counts)
    return weighted * torch.where(new_mean == 0, 1.0, mean / new_mean)


def _mean(embedded: Tensor, counts: Tensor | None) -> Tensor:
    if counts is None:
        return embedded.mean()
    return (embedded.mean(dim=(1, 2)) * counts).sum() / counts.sum()
