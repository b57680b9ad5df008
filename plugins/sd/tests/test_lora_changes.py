"""LoRAs: each kind adds to a weight what its paper says, against other ways to compute it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from loras import random
from stable_core_sd.networks.lora_changes import change


def kron(a: Tensor, b: Tensor) -> Tensor:
    """Write the Kronecker product out."""
    return (a[:, None, :, None] * b[None, :, None, :]).reshape(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])


def each_pixel(make: Callable[[int, int], Tensor]) -> Tensor:
    """Return a convolution of 3 x 3, made of one matrix per pixel."""
    return torch.stack([torch.stack([make(y, x) for x in range(3)], -1) for y in range(3)], 2)


A, B = random(6, 4, seed=1), random(4, 8, seed=2)
C, D = random(6, 4, seed=3), random(4, 8, seed=4)
WEIGHT = random(6, 8, seed=5)
CONVOLUTION = random(6, 8, 3, 3, seed=6)
CORE = random(4, 4, 3, 3, seed=7)


@pytest.mark.parametrize(
    ("tensors", "weight", "expected"),
    [
        ({"up": A, "down": B}, WEIGHT, A @ B),
        ({"up": A, "down": B, "alpha": torch.tensor(1.0)}, WEIGHT, A @ B / 4),
        ({"up": A, "down": B, "scale": torch.tensor(3.0)}, WEIGHT, A @ B * 3),
        ({"up": A, "down": B, "mid": CORE}, CONVOLUTION, torch.einsum("or,rskl,si->oikl", A, CORE, B)),
        (
            {"hada_w1_a": A, "hada_w1_b": B, "hada_w2_a": C, "hada_w2_b": D, "alpha": torch.tensor(2.0)},
            WEIGHT,
            (A @ B) * (C @ D) / 2,
        ),
        (
            {"hada_w1_a": A.T, "hada_w1_b": B, "hada_w2_a": C.T, "hada_w2_b": D, "hada_t1": CORE, "hada_t2": CORE},
            CONVOLUTION,
            torch.einsum("or,rskl,si->oikl", A, CORE, B) * torch.einsum("or,rskl,si->oikl", C, CORE, D),
        ),
        ({"lokr_w1": A[:3, :2], "lokr_w2": B[:2, :4], "alpha": torch.tensor(7.0)}, WEIGHT, kron(A[:3, :2], B[:2, :4])),
        (
            {"lokr_w1": A[:3, :2], "lokr_w2_a": C[:2, :2], "lokr_w2_b": D[:2, :4], "alpha": torch.tensor(1.0)},
            WEIGHT,
            kron(A[:3, :2], C[:2, :2] @ D[:2, :4]) / 2,
        ),
        (
            {"lokr_w1_a": A[:3, :1], "lokr_w1_b": B[:1, :2], "lokr_w2_a": C[:2, :1], "lokr_w2_b": D[:1, :4]},
            WEIGHT,
            kron(A[:3, :1] @ B[:1, :2], C[:2, :1] @ D[:1, :4]),
        ),
        (
            {"lokr_w1": A[:3, :2], "lokr_w2": CONVOLUTION[:2, :4]},
            CONVOLUTION,
            each_pixel(lambda y, x: kron(A[:3, :2], CONVOLUTION[:2, :4, y, x])),
        ),
        (
            {"lokr_w1": A[:3, :2], "lokr_w2_a": C.T[:, :2], "lokr_w2_b": D[:, :4], "lokr_t2": CORE},
            CONVOLUTION,
            each_pixel(lambda y, x: kron(A[:3, :2], C[:2] @ CORE[..., y, x] @ D[:, :4])),
        ),
        (
            {"a1": random(8, 4), "a2": B, "b1": A, "b2": D, "alpha": torch.tensor(2.0)},
            WEIGHT,
            (WEIGHT @ random(8, 4) @ B + A @ D) / 2,
        ),
        (
            {"a1": random(4, 8), "a2": B.T, "b1": D, "b2": A, "alpha": torch.tensor(2.0)},  # before LyCORIS 2
            WEIGHT,
            (WEIGHT @ B.T @ random(4, 8) + A @ D) / 2,
        ),
        (
            {
                "a1": random(8, 4)[..., None, None],
                "a2": B[..., None, None],
                "b1": A[..., None, None],
                "b2": random(4, 8, 3, 3),
            },
            CONVOLUTION,
            each_pixel(lambda y, x: CONVOLUTION[..., y, x] @ random(8, 4) @ B + A @ random(4, 8, 3, 3)[..., y, x]),
        ),
        ({"diff": WEIGHT * 2}, WEIGHT, WEIGHT * 2),
        ({"weight": B[0], "on_input": torch.tensor(True)}, WEIGHT, WEIGHT * B[0]),
        ({"weight": A[:, :1], "on_input": torch.tensor(False)}, WEIGHT, WEIGHT * A[:, :1]),
        ({"w_norm": B[0], "b_norm": D[0]}, random(8), B[0]),
    ],
)
def test_each_kind_adds_what_its_paper_says(tensors: dict[str, Tensor], weight: Tensor, expected: Tensor) -> None:
    added = change(tensors, weight, 0.5)
    assert added is not None
    assert added.weight is not None
    assert torch.allclose(added.weight, expected * 0.5, atol=1e-6)


def cayley(block: Tensor) -> Tensor:
    """Return the rotation that a block means."""
    skew = block - block.T
    return (torch.eye(len(block)) + skew) @ torch.linalg.inv(torch.eye(len(block)) - skew)


def turned(weight: Tensor, rows: Sequence[Sequence[int]], rotations: Sequence[Tensor]) -> Tensor:
    """Return a weight whose rows are mixed, those of each group by a matrix of its own."""
    made = weight.clone()
    for group, rotation in zip(rows, rotations, strict=True):
        for number, row in enumerate(group):
            made[row] = sum((rotation[number, other] * weight[place] for other, place in enumerate(group)), 0 * made[0])
    return made


TALL, TALL_CONVOLUTION = random(8, 5), random(8, 2, 3, 3)


@pytest.mark.parametrize("weight", [TALL, TALL_CONVOLUTION])
def test_oft_turns_each_block_of_outputs(weight: Tensor) -> None:
    blocks, rescale = random(2, 4, 4), random(8) + 1
    rotations = [cayley(block).T for block in blocks]
    expected = turned(weight, [range(4), range(4, 8)], rotations)
    norms = expected.flatten(1).T[:, :4].norm(dim=1), weight.flatten(1).T[:, :4].norm(dim=1)
    assert torch.allclose(*norms, atol=1e-5)  # turning makes nothing longer
    lengths = rescale.reshape(-1, *[1] * (weight.ndim - 1))
    stored = torch.stack([cayley(block) for block in blocks])
    for tensors, made in (
        ({"oft_blocks": blocks, "alpha": torch.tensor(0.0)}, expected),
        ({"oft_blocks": blocks}, expected),
        ({"oft_diag": stored}, expected),
        ({"oft_blocks": blocks, "rescale": lengths}, expected * lengths),
        ({"oft_blocks": blocks, "rescale": rescale[:, None]}, expected * lengths),
    ):
        added = change(tensors, weight, 0.5)
        assert added is not None
        assert added.weight is not None
        assert torch.allclose(added.weight, (made - weight) * 0.5, atol=1e-5)


def test_oft_turns_no_further_than_its_limit() -> None:
    blocks = random(2, 4, 4)
    length = float((blocks - blocks.transpose(1, 2)).norm())
    for alpha, share in ((length / 8 / 2, 0.5), (length, 1.0)):
        added = change({"oft_blocks": blocks, "alpha": torch.tensor(alpha)}, TALL, 1.0)
        expected = turned(TALL, [range(4), range(4, 8)], [cayley(block * share).T for block in blocks])
        assert added is not None
        assert added.weight is not None
        assert torch.allclose(TALL + added.weight, expected, atol=1e-5)


@pytest.mark.parametrize("weight", [TALL, TALL_CONVOLUTION])
def test_boft_turns_outputs_that_stand_ever_further_apart(weight: Tensor) -> None:
    groups = [
        [[0, 1], [2, 3], [4, 5], [6, 7]],
        [[0, 2], [1, 3], [4, 6], [5, 7]],
        [[0, 4], [1, 5], [2, 6], [3, 7]],
    ]
    blocks, expected = random(3, 4, 2, 2), weight
    for rows, stage in zip(groups, blocks, strict=True):
        expected = turned(expected, rows, [cayley(block) for block in stage])
    added = change({"oft_blocks": blocks, "alpha": torch.tensor(0.0)}, weight, 1.0)
    assert added is not None
    assert added.weight is not None
    assert torch.allclose(weight + added.weight, expected, atol=1e-5)


def test_blocks_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match="size"):
        change({"oft_blocks": random(3, 4, 4)}, TALL, 1.0)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("weight", [WEIGHT, CONVOLUTION])
def test_dora_gives_each_output_or_input_a_length_of_its_own(weight: Tensor, axis: int) -> None:
    down = B if weight.ndim == 2 else random(4, 8, 3, 3)
    lengths = random(weight.shape[axis]).abs() + 1
    shape = [1] * weight.ndim
    shape[axis] = -1
    tensors = {"up": A, "down": down, "dora_scale": lengths.reshape(shape)}
    added = change(tensors, weight, 1.0)
    assert added is not None
    result = weight + added.weight
    assert torch.allclose(result.transpose(0, axis).flatten(1).norm(dim=1), lengths, atol=1e-5)
    plain = weight + (A @ down.flatten(1)).reshape(weight.shape)
    direction = torch.nn.functional.cosine_similarity(
        result.transpose(0, axis).flatten(1), plain.transpose(0, axis).flatten(1)
    )
    assert torch.allclose(direction, torch.ones_like(direction), atol=1e-5)


def test_dora_of_peft_has_its_lengths_per_output(loras: Path) -> None:
    lengths = random(6).abs() + 1
    added = change({"up": A, "down": B, "magnitude": lengths}, WEIGHT, 1.0)
    assert added is not None
    assert torch.allclose((WEIGHT + added.weight).norm(dim=1), lengths, atol=1e-5)


def test_four_channels_fit_an_inpainting_model() -> None:
    weight = random(6, 9, 3, 3)
    added = change({"diff": random(6, 4, 3, 3)}, weight, 1.0)
    assert added is not None
    assert added.weight is not None
    assert torch.equal(added.weight[:, :4], random(6, 4, 3, 3))
    assert not added.weight[:, 4:].any()
