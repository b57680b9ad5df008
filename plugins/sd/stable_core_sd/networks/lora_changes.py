"""How the tensors of a LoRA file change one layer: the arithmetic of each kind. It knows neither names nor models.

Every kind is a function from a layer's tensors to what is added to its weight, in float32, before the multiplier.

| kind | source |
|---|---|
| LoRA | Hu et al. 2021, https://arxiv.org/abs/2106.09685 |
| LoCon, LoHa, LoKr, IA3, full, norm | Yeh et al. 2023, https://arxiv.org/abs/2309.14859, and the LyCORIS file format |
| GLoRA | Chavan et al. 2023, https://arxiv.org/abs/2306.07967 |
| OFT | Qiu et al. 2023, https://arxiv.org/abs/2306.07280 |
| BOFT | Liu et al. 2023, https://arxiv.org/abs/2311.06243 |
| DoRA | Liu et al. 2024, https://arxiv.org/abs/2402.09353 |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
"""The tensors of one layer by their name in `lora_names`."""


@dataclass(frozen=True)
class Change:
    """What is added to a layer, in float32 and of the layer's own shapes; None where nothing is."""

    weight: Tensor | None = None
    bias: Tensor | None = None


def change(tensors: Tensors, weight: Tensor, multiplier: float, rank_limit: int | None = None) -> Change | None:
    """Return what a LoRA adds to a layer whose weight is `weight` (float32), or None when its kind is unknown.

    Args:
        tensors: float32 and on the weight's device.
        rank_limit: how many ranks of a plain LoRA count; None is all.

    Raises:
        ValueError: the LoRA does not fit the weight's shape.
    """
    kind = next((make for needed, make in _KINDS.items() if needed <= tensors.keys()), None)
    bias = next((tensors[name].flatten() * multiplier for name in ("diff_b", "b_norm") if name in tensors), None)
    if kind is None:
        return Change(None, bias) if bias is not None else None
    try:
        added = kind(tensors, weight, rank_limit) * _scale(tensors)
        added = _fit(added, weight)
        if "dora_scale" in tensors or "magnitude" in tensors:
            added = _decomposed(added, weight, tensors)
    except RuntimeError as error:
        raise ValueError(str(error).splitlines()[0]) from None
    return Change(added * multiplier, bias)


def _fit(added: Tensor, weight: Tensor) -> Tensor:
    """Give `added` the weight's shape; a convolution of an inpainting model has more inputs, which stay as they are."""
    if added.numel() == weight.numel():
        return added.reshape(weight.shape)
    if added.ndim == 4 and weight.ndim == 4 and added.shape[1] == 4 < weight.shape[1]:
        grown = torch.zeros_like(weight)
        grown[:, :4] = added
        return grown
    raise ValueError(f"it has the shape {list(added.shape)}, the layer {list(weight.shape)}")


def _scale(tensors: Tensors) -> float:
    """Return the file's own strength: `scale`, else alpha divided by the rank, else 1."""
    if "scale" in tensors:
        return float(tensors["scale"])
    if "alpha" in tensors and "a1" in tensors:
        return float(tensors["alpha"]) / min(tensors["a1"].shape[:2])
    first_of_rank = next((name for name in _HOLD_THE_RANK if name in tensors), None)
    if "alpha" not in tensors or first_of_rank is None:
        return 1.0
    return float(tensors["alpha"]) / tensors[first_of_rank].shape[0]


_HOLD_THE_RANK = ("down", "hada_w1_b", "lokr_w1_b", "lokr_w2_b")
"""The tensors whose first size is the rank. A LoKr of two whole factors has none, and its alpha counts for nothing."""


def _lora(tensors: Tensors, weight: Tensor, rank_limit: int | None) -> Tensor:
    up, down = tensors["up"].flatten(1)[:, :rank_limit], tensors["down"].flatten(1)[:rank_limit]
    if "mid" in tensors:  # (rank, rank, kernel, kernel): Tucker decomposition of a convolution
        return torch.einsum("or,rskl,si->oikl", up, tensors["mid"], down)
    product = up @ down
    kernel = tensors["down"].shape[2:]
    return product.reshape(up.shape[0], -1, *kernel)


def _loha(tensors: Tensors, weight: Tensor, rank_limit: int | None) -> Tensor:
    factors = []
    for one in ("1", "2"):
        a, b = tensors[f"hada_w{one}_a"], tensors[f"hada_w{one}_b"]
        core = tensors.get(f"hada_t{one}")
        factors.append(a @ b if core is None else _tucker(core, a, b))
    return factors[0] * factors[1]


def _lokr(tensors: Tensors, weight: Tensor, rank_limit: int | None) -> Tensor:
    first, second = _lokr_factor(tensors, "1"), _lokr_factor(tensors, "2")
    return torch.kron(first.reshape(*first.shape, *[1] * (second.ndim - 2)), second.contiguous())


def _lokr_factor(tensors: Tensors, one: str) -> Tensor:
    if (whole := tensors.get(f"lokr_w{one}")) is not None:
        return whole
    a, b = tensors[f"lokr_w{one}_a"], tensors[f"lokr_w{one}_b"]
    core = tensors.get("lokr_t2") if one == "2" else None
    return a @ b if core is None else _tucker(core, a, b)


def _tucker(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return LyCORIS' convolution from a core (rank, rank, kernel, kernel), `a` (rank, out) and `b` (rank, in)."""
    return torch.einsum("rskl,ro,si->oikl", core, a, b)


def _full(tensors: Tensors, weight: Tensor, rank_limit: int | None) -> Tensor:
    return tensors["diff"]


def _norm(tensors: Tensors, weight: Tensor, rank_limit: int | None) -> Tensor:
    return tensors["w_norm"]


def _ia3(tensors: Tensors, weight: Tensor, rank_limit: int | None) -> Tensor:
    factors, axis = tensors["weight"].flatten(), 1 if bool(tensors["on_input"]) else 0
    shape = [1] * weight.ndim
    shape[axis] = -1
    return weight * factors.reshape(shape)


def _glora(tensors: Tensors, weight: Tensor, rank_limit: int | None) -> Tensor:
    """Return W A + B with A and B of low rank. The two factors of each stood the other way round until LyCORIS 2."""
    a1, a2, b1, b2 = (tensors[name].flatten(1) for name in ("a1", "a2", "b1", "b2"))
    if a1.shape[0] != weight.shape[1]:
        a1, a2, b1, b2 = a2, a1, b2, b1
    return torch.einsum("oi...,ir,rj->oj...", weight, a1, a2) + (b1 @ b2).reshape(weight.shape)


def _oft(tensors: Tensors, weight: Tensor, rank_limit: int | None) -> Tensor:
    """Return what rotating the outputs adds, each block of them by its own matrix, then making each longer or shorter.

    The blocks have the shape (blocks, size, size), or (stages, blocks, size, size) for BOFT. Files of LyCORIS before 2
    hold the rotations themselves.
    """
    rotated = weight
    if "oft_diag" in tensors:
        rotated = _turn(tensors["oft_diag"].transpose(1, 2), weight)
    else:
        rotations = _rotations(tensors["oft_blocks"], float(tensors.get("alpha", 0)) * weight.shape[0])
        if rotations.ndim == 3:
            rotated = _turn(rotations.transpose(1, 2), weight)
        else:
            for stage, blocks in enumerate(rotations):
                rotated = _turn_butterfly(blocks, rotated, 2**stage)
    if "rescale" in tensors:
        rotated = rotated * tensors["rescale"].reshape(-1, *[1] * (weight.ndim - 1))
    return rotated - weight


def _rotations(blocks: Tensor, longest: float) -> Tensor:
    """Return orthogonal matrices by Cayley's transform of what is skew in `blocks`; 0 for `longest` is no limit."""
    skew = blocks - blocks.transpose(-1, -2)
    if longest > 0:
        skew = skew * (longest / torch.linalg.vector_norm(skew).clamp_min(longest))
    one = torch.eye(blocks.shape[-1], device=blocks.device)
    return torch.linalg.solve(one - skew, one + skew)


def _turn(rotations: Tensor, weight: Tensor) -> Tensor:
    """Return a weight whose outputs, taken in blocks, are mixed by the rows of one matrix each."""
    blocks = weight.unflatten(0, (len(rotations), -1))
    return torch.einsum("kmn,kn...->km...", rotations, blocks).flatten(0, 1)


def _turn_butterfly(rotations: Tensor, weight: Tensor, distance: int) -> Tensor:
    """Return a weight turned as by `_turn`, where each block takes its halves from places `distance` half blocks apart.

    Two neighbours in a block, such as its first two outputs, stand that far from each other in the weight.
    """
    apart = distance * (rotations.shape[-1] // 2)
    mixed = weight.unflatten(0, (-1, 2, apart)).transpose(1, 2)
    turned = _turn(rotations, mixed.flatten(0, 2))
    return turned.unflatten(0, (-1, apart, 2)).transpose(1, 2).flatten(0, 2)


def _decomposed(added: Tensor, weight: Tensor, tensors: Tensors) -> Tensor:
    """Return what DoRA adds: the direction of the changed weight with a magnitude of its own.

    The magnitude is per output or per input, which its shape tells; peft's is always per output.
    """
    magnitude = tensors["dora_scale"] if "dora_scale" in tensors else tensors["magnitude"].flatten()[:, None]
    axis = 0 if magnitude.shape[0] == weight.shape[0] else 1
    changed = weight + added
    norm = torch.linalg.vector_norm(changed, dim=[one for one in range(weight.ndim) if one != axis], keepdim=True)
    return changed * (magnitude.reshape(norm.shape) / norm) - weight


_KINDS: dict[frozenset[str], Callable[[Tensors, Tensor, int | None], Tensor]] = {
    frozenset({"up", "down"}): _lora,
    frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}): _loha,
    frozenset({"on_input", "weight"}): _ia3,
    frozenset({"lokr_w1", "lokr_w2"}): _lokr,
    frozenset({"lokr_w1", "lokr_w2_a", "lokr_w2_b"}): _lokr,
    frozenset({"lokr_w1_a", "lokr_w1_b", "lokr_w2"}): _lokr,
    frozenset({"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"}): _lokr,
    frozenset({"a1", "a2", "b1", "b2"}): _glora,
    frozenset({"oft_blocks"}): _oft,
    frozenset({"oft_diag"}): _oft,
    frozenset({"diff"}): _full,
    frozenset({"w_norm"}): _norm,
}
"""Which tensors make which kind; the first that is complete counts."""
