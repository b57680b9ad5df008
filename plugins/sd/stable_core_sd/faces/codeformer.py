"""CodeFormer: the network that restores an aligned face by looking up its parts in a book. It detects none.

Source: Zhou et al., Towards Robust Blind Face Restoration with Codebook Lookup Transformer,
https://arxiv.org/abs/2206.11253; the autoencoder is that of Esser et al., Taming Transformers,
https://arxiv.org/abs/2012.09841. Layers are called as in the authors' `codeformer.pth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (1, 2, 2, 4, 4, 8)
"""The channels of each level, from fine to coarse, as multiples of the finest one's; each is half as large."""

BLOCKS = 2
"""Residual blocks of each level."""

HEADS = 8
"""Heads of attention in the transformer."""

FINEST = 512
"""The side of the picture at the finest level. Layers are called by the side at their level."""


@dataclass(frozen=True)
class Sizes:
    """What differs between files.

    Attributes:
        width: channels of the finest level.
        code: numbers of an entry of the book, of which there are `codes`.
        places: the coarsest level has so many pixels, each with an entry of its own.
        embedding: channels of the transformer, which has `layers` layers.
        fused: the levels where what was seen of the given face is mixed in, by their side.
    """

    width: int = 64
    code: int = 256
    codes: int = 1024
    places: int = 256
    embedding: int = 512
    layers: int = 9
    fused: tuple[int, ...] = (32, 64, 128, 256)


def norm(channels: int) -> nn.GroupNorm:
    """Return the normalisation of the autoencoder: 32 groups, or single channels where there are fewer."""
    return nn.GroupNorm(min(32, channels), channels, eps=1e-6)


class Residual(nn.Module):
    """Two convolutions whose result is added to what went in."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(before), nn.Conv2d(before, after, 3, padding=1)
        self.norm2, self.conv2 = norm(after), nn.Conv2d(after, after, 3, padding=1)
        self.conv_out = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same size."""
        made = self.conv1(functional.silu(self.norm1(x)))
        return self.conv2(functional.silu(self.norm2(made))) + self.conv_out(x)


class Attention(nn.Module):
    """Each pixel looks at all others, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        seen = self.norm(x)
        q, k, v = (part(seen).flatten(2).transpose(1, 2) for part in (self.q, self.k, self.v))
        found = functional.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(found.transpose(1, 2).reshape(x.shape))


class Halve(nn.Module):
    """A convolution that halves the size, over one more row and column of zeros at the far edges."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of half the size."""
        return self.conv(functional.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    """A convolution at twice the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of twice the size."""
        return self.conv(functional.interpolate(x, scale_factor=2))


class Chain(nn.Module):
    """Blocks one after the other, some of which are marked by the level they belong to.

    Attributes:
        marks: the side of the level by the number of the block where it is looked at or changed.
    """

    def __init__(self, blocks: list[nn.Module], marks: dict[int, int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.marks = marks


def middle(channels: int) -> list[nn.Module]:
    """Return the blocks of the coarsest level that encoder and generator share."""
    return [Residual(channels, channels), Attention(channels), Residual(channels, channels)]


def encoder(sizes: Sizes) -> Chain:
    """Return what sees the face, from fine to coarse. A level is looked at before it is halved."""
    channels = sizes.width
    blocks: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1)]
    marks = {}
    for level, factor in enumerate(WIDTHS):
        is_coarsest = level == len(WIDTHS) - 1
        for _ in range(BLOCKS):
            blocks.append(Residual(channels, sizes.width * factor))
            channels = sizes.width * factor
            blocks += [Attention(channels)] if is_coarsest else []
        if not is_coarsest:
            marks[len(blocks) - 1] = FINEST >> level
            blocks.append(Halve(channels))
    blocks += [*middle(channels), norm(channels), nn.Conv2d(channels, sizes.code, 3, padding=1)]
    return Chain(blocks, marks)


def generator(sizes: Sizes) -> Chain:
    """Return what draws the face, from coarse to fine. A level is changed after its first block."""
    channels = sizes.width * WIDTHS[-1]
    blocks: list[nn.Module] = [nn.Conv2d(sizes.code, channels, 3, padding=1), *middle(channels)]
    marks = {}
    for level, factor in reversed(list(enumerate(WIDTHS))):
        is_coarsest = level == len(WIDTHS) - 1
        for index in range(BLOCKS):
            blocks.append(Residual(channels, sizes.width * factor))
            channels = sizes.width * factor
            blocks += [Attention(channels)] if is_coarsest else []
            if index == 0 and not is_coarsest:
                marks[len(blocks) - 1] = FINEST >> level
        blocks += [Double(channels)] if level else []
    blocks += [norm(channels), nn.Conv2d(channels, 3, 3, padding=1)]
    return Chain(blocks, marks)


class Layer(nn.Module):
    """A layer of the transformer that is told again where each place is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(channels, HEADS)
        self.linear1, self.linear2 = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """Return features of the same shape (places, batch, channels)."""
        seen = self.norm1(x)
        placed = seen + position
        x = x + self.self_attn(placed, placed, seen, need_weights=False)[0]
        return x + self.linear2(functional.gelu(self.linear1(self.norm2(x))))


class Fuse(nn.Module):
    """Mixes in what was seen of the given face at one level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encode_enc = Residual(2 * channels, channels)
        self.scale, self.shift = self._layers(channels), self._layers(channels)

    @staticmethod
    def _layers(channels: int) -> nn.Sequential:
        first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        return nn.Sequential(first, nn.LeakyReLU(0.2), second)

    def forward(self, seen: Tensor, drawn: Tensor, weight: float) -> Tensor:
        """Return `drawn`, changed by `weight` of what was seen."""
        both = self.encode_enc(torch.cat([seen, drawn], dim=1))
        return drawn + weight * (drawn * self.scale(both) + self.shift(both))


class CodeFormer(nn.Module):
    """The whole network.

    Attributes:
        quantize: holds the book, `embedding`; so it is called in the file.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder, self.generator = encoder(sizes), generator(sizes)
        self.quantize = nn.Module()
        self.quantize.embedding = nn.Embedding(sizes.codes, sizes.code)
        self.position_emb = nn.Parameter(torch.zeros(sizes.places, sizes.embedding))
        self.feat_emb = nn.Linear(sizes.code, sizes.embedding)
        self.ft_layers = nn.ModuleList(Layer(sizes.embedding) for _ in range(sizes.layers))
        self.idx_pred_layer = nn.Sequential(
            nn.LayerNorm(sizes.embedding), nn.Linear(sizes.embedding, sizes.codes, bias=False)
        )
        channels = {FINEST >> level: sizes.width * factor for level, factor in enumerate(WIDTHS)}
        self.fuse_convs_dict = nn.ModuleDict({str(side): Fuse(channels[side]) for side in sizes.fused})

    @property
    def side(self) -> int:
        """Return the side of the faces it takes: 512, unless it is made for tests."""
        return isqrt(len(self.position_emb)) << (len(WIDTHS) - 1)

    def forward(self, face: Tensor, weight: float = 0.5) -> Tensor:
        """Return the restored faces, about -1..1.

        Args:
            face: in -1..1, of shape (batch, 3, 512, 512).
            weight: how much of the given face is mixed in, 0 to 1.
        """
        seen: dict[int, Tensor] = {}
        x = face
        for index, block in enumerate(self.encoder.blocks):
            x = block(x)
            if index in self.encoder.marks:
                seen[self.encoder.marks[index]] = x
        x = with_statistics(self.looked_up(x), x)
        for index, block in enumerate(self.generator.blocks):
            x = block(x)
            side = self.generator.marks.get(index, 0)
            if weight > 0 and str(side) in self.fuse_convs_dict:
                x = self.fuse_convs_dict[str(side)](seen[side], x, weight)
        return x

    def looked_up(self, seen: Tensor) -> Tensor:
        """Return the likeliest entry of the book for each place, of the shape of `seen`."""
        x = self.feat_emb(seen.flatten(2).permute(2, 0, 1))
        for layer in self.ft_layers:
            x = layer(x, self.position_emb[:, None])
        found = self.idx_pred_layer(x).argmax(dim=-1)
        return self.quantize.embedding(found).permute(1, 2, 0).reshape(seen.shape)


def with_statistics(x: Tensor, wanted: Tensor) -> Tensor:
    """Return features with the mean and deviation of each channel of `wanted`; both (batch, channels, height, width).

    Source: Huang and Belongie, adaptive instance normalisation, https://arxiv.org/abs/1703.06868.
    """

    def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
        variance, mean = torch.var_mean(features, dim=(2, 3), keepdim=True)
        return mean, (variance + 1e-5).sqrt()

    (mean, deviation), (goal, spread) = statistics(x), statistics(wanted)
    return (x - mean) / deviation * spread + goal
