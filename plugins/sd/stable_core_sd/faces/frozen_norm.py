"""Batch normalisation of a network that is not trained any more. It counts nothing, as old files do not either."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class FrozenNorm(nn.Module):
    """Moves and scales each channel by what was seen in training. Source: https://arxiv.org/abs/1502.03167.

    Attributes:
        weight, bias, running_mean, running_var: called as in `torch.nn.BatchNorm2d`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)
