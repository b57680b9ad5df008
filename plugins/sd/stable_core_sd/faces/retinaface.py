"""RetinaFace: the network that looks for faces and their five landmarks. What its numbers mean is in detection.

Source: Deng et al., RetinaFace: Single-stage Dense Face Localisation in the Wild, https://arxiv.org/abs/1905.00641,
on a ResNet-50, https://arxiv.org/abs/1512.03385. Layers are called as in facexlib's `detection_Resnet50_Final.pth`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from stable_core_sd.faces.frozen_norm import FrozenNorm

ANCHORS = 2
"""The sizes of faces that each place is asked about."""

LEVELS = 3
"""The resolutions at which faces are looked for: an 8th, a 16th and a 32nd."""


class Guesses(NamedTuple):
    """What the network says about each anchor of a picture, all in the order of the anchors.

    Attributes:
        offsets: from the anchor to the face, of shape (anchors, 4).
        logits: for "no face" and "face", of shape (anchors, 2).
        landmarks: from the middle of the anchor to five points, of shape (anchors, 10).
    """

    offsets: Tensor
    logits: Tensor
    landmarks: Tensor


def convolution(before: int, after: int, kernel: int, *, is_active: bool = True) -> nn.Sequential:
    """Return a convolution that keeps the size, normalised, with or without a rectifier behind it."""
    layers = [nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False), FrozenNorm(after)]
    return nn.Sequential(*layers, *([nn.ReLU()] if is_active else []))


class Bottleneck(nn.Module):
    """A residual block: narrow, look around, widen by four."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(before, width, 1, bias=False), FrozenNorm(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False), FrozenNorm(width)
        self.conv3, self.bn3 = nn.Conv2d(width, after, 1, bias=False), FrozenNorm(after)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), FrozenNorm(after))

    def forward(self, x: Tensor) -> Tensor:
        """Return features that are `stride` times smaller."""
        narrow = functional.relu(self.bn1(self.conv1(x)))
        narrow = functional.relu(self.bn2(self.conv2(narrow)))
        return functional.relu(self.bn3(self.conv3(narrow)) + self.downsample(x))


class ResNet50(nn.Module):
    """A ResNet-50 without its classifier."""

    DEPTHS = (3, 4, 6, 3)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False), FrozenNorm(width)
        before = width
        for index, depth in enumerate(self.DEPTHS):
            narrow = width * 2**index
            blocks = [Bottleneck(before, narrow, 2 if index else 1)]
            blocks += [Bottleneck(4 * narrow, narrow, 1) for _ in range(depth - 1)]
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
            before = 4 * narrow

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return features of an 8th, a 16th and a 32nd of the picture's size."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        levels = []
        for index in range(len(self.DEPTHS)):
            x = self.get_submodule(f"layer{index + 1}")(x)
            levels.append(x)
        return levels[1:]


class FeaturePyramid(nn.Module):
    """Tells the finer levels what the coarser ones saw. Source: https://arxiv.org/abs/1612.03144."""

    def __init__(self, before: list[int], width: int) -> None:
        super().__init__()
        for index, channels in enumerate(before, 1):
            self.add_module(f"output{index}", convolution(channels, width, 1))
        self.merge1, self.merge2 = convolution(width, width, 3), convolution(width, width, 3)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Return the levels, from fine to coarse, with equally many channels."""
        fine, middle, coarse = (self.get_submodule(f"output{index}")(x) for index, x in enumerate(levels, 1))
        middle = self.merge2(middle + functional.interpolate(coarse, size=middle.shape[-2:]))
        fine = self.merge1(fine + functional.interpolate(middle, size=fine.shape[-2:]))
        return [fine, middle, coarse]


class Context(nn.Module):
    """Looks around near, farther and far. Source: SSH, https://arxiv.org/abs/1708.03979."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.conv3X3 = convolution(width, half, 3, is_active=False)
        self.conv5X5_1 = convolution(width, quarter, 3)
        self.conv5X5_2 = convolution(quarter, quarter, 3, is_active=False)
        self.conv7X7_2 = convolution(quarter, quarter, 3)
        self.conv7x7_3 = convolution(quarter, quarter, 3, is_active=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        wide = self.conv5X5_1(x)
        views = [self.conv3X3(x), self.conv5X5_2(wide), self.conv7x7_3(self.conv7X7_2(wide))]
        return functional.relu(torch.cat(views, dim=1))


class Head(nn.Module):
    """Reads `count` numbers for each anchor off the features of a level."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.conv1x1 = nn.Conv2d(width, ANCHORS * count, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return numbers of shape (height * width * anchors of a place, count)."""
        return self.conv1x1(x)[0].movedim(0, -1).reshape(-1, self.count)


class RetinaFace(nn.Module):
    """The whole network, for one picture at a time.

    Attributes:
        body, fpn, ssh1, ssh2, ssh3, ClassHead, BboxHead, LandmarkHead: called as in the file.
    """

    def __init__(self, body_width: int = 64, width: int = 256) -> None:
        """Take the channels of the body's first layer and those of the pyramid."""
        super().__init__()
        self.body = ResNet50(body_width)
        self.fpn = FeaturePyramid([body_width * factor for factor in (8, 16, 32)], width)
        self.ssh1, self.ssh2, self.ssh3 = Context(width), Context(width), Context(width)
        self.ClassHead = nn.ModuleList(Head(width, 2) for _ in range(LEVELS))
        self.BboxHead = nn.ModuleList(Head(width, 4) for _ in range(LEVELS))
        self.LandmarkHead = nn.ModuleList(Head(width, 10) for _ in range(LEVELS))

    def forward(self, x: Tensor) -> Guesses:
        """Return what is guessed of a picture of shape (1, 3, height, width), blue first, less the mean."""
        pyramid = self.fpn(self.body(x))
        seen = [context(level) for context, level in zip((self.ssh1, self.ssh2, self.ssh3), pyramid, strict=True)]

        def read(heads: nn.ModuleList) -> Tensor:
            return torch.cat([head(level) for head, level in zip(heads, seen, strict=True)])

        return Guesses(read(self.BboxHead), read(self.ClassHead), read(self.LandmarkHead))
