"""ParseNet: the network that tells skin, eyes, hair and the like apart on an aligned face. What is kept is in masks.

Source: Chen et al., Progressive Semantic-Aware Style Transformation for Blind Face Restoration,
https://arxiv.org/abs/2009.08709. Layers are called as in facexlib's `parsing_parsenet.pth`.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from stable_core_sd.faces.frozen_norm import FrozenNorm

KINDS = 19
"""What a pixel can be: 0 is the background, and so on as in CelebAMask-HQ, https://arxiv.org/abs/1907.11922."""

DEPTH = 10
"""Blocks in the middle."""

WIDTHS = (1, 2, 4, 4, 4)
"""The channels of each level, as multiples of the first one's; the picture is halved between two of them."""


class Convolution(nn.Module):
    """A convolution with mirrored edges, halving or doubling the size or not."""

    def __init__(self, before: int, after: int, *, change: str = "", is_normed: bool = False) -> None:
        super().__init__()
        self.change = change
        self.conv2d = nn.Conv2d(before, after, 3, 2 if change == "halve" else 1, bias=not is_normed)
        self.norm = nn.Module()
        if is_normed:
            self.norm.norm = FrozenNorm(after)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of half, the same or twice the size."""
        if self.change == "double":
            x = functional.interpolate(x, scale_factor=2)
        x = self.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"))
        return self.norm.norm(x) if hasattr(self.norm, "norm") else x


class Residual(nn.Module):
    """Two convolutions whose result is added to what went in."""

    def __init__(self, before: int, after: int, change: str = "") -> None:
        super().__init__()
        first, second = ("", "halve") if change == "halve" else (change, "")
        self.conv1 = Convolution(before, after, change=first, is_normed=True)
        self.conv2 = Convolution(after, after, change=second, is_normed=True)
        has_other_shape = bool(change) or before != after
        self.shortcut_func = Convolution(before, after, change=change) if has_other_shape else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return features of half, the same or twice the size."""
        return self.shortcut_func(x) + self.conv2(functional.leaky_relu(self.conv1(x), 0.2))


class ParseNet(nn.Module):
    """The whole network.

    Attributes:
        out_img_conv: draws the face again; it is in the file, and nothing here uses it.
    """

    def __init__(self, width: int = 64) -> None:
        """Take the channels of the first layer."""
        super().__init__()
        down = [width * factor for factor in WIDTHS]
        up = down[::-1]
        self.encoder = nn.Sequential(
            Convolution(3, width),
            *(Residual(before, after, "halve") for before, after in pairwise(down)),
        )
        self.body = nn.Sequential(*(Residual(down[-1], down[-1]) for _ in range(DEPTH)))
        self.decoder = nn.Sequential(*(Residual(before, after, "double") for before, after in pairwise(up)))
        self.out_img_conv = Convolution(up[-1], 3)
        self.out_mask_conv = Convolution(up[-1], KINDS)

    def forward(self, x: Tensor) -> Tensor:
        """Return how likely each pixel is of each kind, as logits of shape (batch, 19, height, width).

        Args:
            x: faces in -1..1 of shape (batch, 3, height, width), both multiples of 16.
        """
        seen = self.encoder(x)
        return self.out_mask_conv(self.decoder(seen + self.body(seen)))
