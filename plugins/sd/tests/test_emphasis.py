"""Weights on embeddings where the reference cases do not look: texts that count several times."""

from __future__ import annotations

import torch

from stable_core_sd.emphasis import apply_weights


def test_a_text_may_count_several_times() -> None:
    generator = torch.Generator().manual_seed(1)
    two, weights = torch.randn(2, 5, 3, generator=generator), torch.rand(2, 5, generator=generator) + 0.5
    repeated = apply_weights(two[[0, 1, 1]], weights[[0, 1, 1]])
    counted = apply_weights(two, weights, counts=torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(counted[[0, 1, 1]], repeated)


def test_weights_of_one_change_nothing() -> None:
    embedded = torch.randn(1, 77, 8, generator=torch.Generator().manual_seed(2))
    for mode in ("Original", "No norm", "Ignore", "None"):
        assert torch.equal(apply_weights(embedded, torch.ones(1, 77), mode), embedded)


def test_a_mean_of_zero_does_no_harm() -> None:
    embedded = torch.tensor([[[1.0], [-1.0]]])
    for weights in ([1.0, 1.0], [2.0, 2.0]):
        assert apply_weights(embedded, torch.tensor([weights])).isfinite().all()
