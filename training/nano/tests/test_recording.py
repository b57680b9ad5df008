"""A repeated step trains, reads the rate it is given, and asks the host for nothing while it runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from training.nano.autoencoder import LATENTS, new_autoencoder
from training.nano.data import PICTURES
from training.nano.decoder import Drawings, decoder_step
from training.nano.denoiser import AVERAGE, CAPTIONS, CPU, STATE, Denoiser, Examples, denoiser_step
from training.nano.recording import new_optimizer, record, repeat, set_learning_rate

WORDS, SIDE = 7, 16


class NothingReadBack(TorchDispatchMode):
    """Refuses what makes the host wait for values of the device; no recording survives it."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        given = [item for item in tree_leaves((arguments, options)) if isinstance(item, torch.Tensor)]
        assert function not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        assert not ("index" in str(function) and any(item.dtype == torch.bool for item in given)), function
        return function(*arguments, **(options or {}))


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    rng = np.random.default_rng(0)
    np.save(tmp_path / LATENTS, rng.normal(size=(5, 4, SIDE, SIDE)).astype(np.float16))
    np.save(tmp_path / CAPTIONS, rng.integers(WORDS, size=(5, 2, 32), dtype=np.uint8))
    return Examples(tmp_path, CPU)


def test_a_repeated_step_changes_the_weights_by_the_rate_set_last() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = new_optimizer([weight], CPU, decay=0.0)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    repeated = record(step, CPU)
    assert repeat(repeated, 0.0) == (1, 2.0)
    assert weight.tolist() == [1.0, 1.0]
    set_learning_rate(optimizer, 0.25)
    repeat(repeated, 0.0)
    assert weight.tolist() == pytest.approx([0.75, 0.75], abs=1e-4)


def test_a_batch_is_captions_between_start_and_end(examples: Examples) -> None:
    chosen, latents, rows = examples.batch(200)
    assert latents.shape == (200, 4, SIDE, SIDE)
    assert torch.equal(latents, examples.latents[chosen].float())
    assert (rows[:, 0] == 1).all()
    assert (rows[:, 32:] == 2).all()
    assert 0.02 < (rows[:, 1:] == 2).all(1).float().mean() < 0.25


def test_a_denoiser_step_can_be_recorded(examples: Examples) -> None:
    model = Denoiser(WORDS)
    optimizer = new_optimizer(model.parameters(), CPU, decay=0.0)
    step = denoiser_step(model, optimizer, examples, 2)
    with NothingReadBack():
        step()


def test_a_decoder_step_can_be_recorded(tmp_path: Path, examples: Examples) -> None:
    np.save(tmp_path / PICTURES, np.zeros((5, 8 * SIDE, 8 * SIDE, 3), np.uint8))
    torch.save({AVERAGE: Denoiser(WORDS).state_dict()}, tmp_path / STATE)
    model = new_autoencoder()
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    optimizer = new_optimizer([weight for weight in model.parameters() if weight.requires_grad], CPU, decay=0.0)
    step = decoder_step(model, optimizer, Drawings(tmp_path, CPU), 2)
    with NothingReadBack():
        error = step()
    assert error.isfinite()


def test_a_denoiser_step_trains_every_weight(examples: Examples) -> None:
    torch.manual_seed(0)
    model = Denoiser(WORDS)
    optimizer = new_optimizer(model.parameters(), CPU, decay=0.0)
    set_learning_rate(optimizer, 1e-3)
    before = [parameter.clone() for parameter in model.parameters()]
    step = denoiser_step(model, optimizer, examples, 4)
    assert step().isfinite()
    step()
    names = [name for name, _ in model.named_parameters()]
    still = [
        name for name, old, new in zip(names, before, model.parameters(), strict=True) if torch.equal(old, new.data)
    ]
    assert still == []
