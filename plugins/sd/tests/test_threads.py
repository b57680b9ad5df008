"""How many threads a pass computes with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from stable_core_sd.threads import SMALL_STEP, fitting_threads


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("pictures", "expected"), [(1, 1), (64, 3)])
def test_only_little_work_is_done_on_one_thread(pictures: int, expected: int) -> None:
    weights = int(SMALL_STEP / (2 * 16 * 16))
    model = torch.nn.Linear(weights, 1, bias=False, device="meta")
    with fitting_threads(model, torch.zeros(pictures, 4, 16, 16)):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 3


def test_the_threads_come_back_after_an_error() -> None:
    with pytest.raises(KeyError), fitting_threads(torch.nn.Linear(1, 1), torch.zeros(1, 4, 2, 2)):
        raise KeyError
    assert torch.get_num_threads() == 3
