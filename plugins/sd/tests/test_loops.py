"""Loops over a run's own result."""

from __future__ import annotations

import pytest

from stable_core_sd.invocations.loops import plan_loops
from stable_core_sd.params_scripts import LoopbackParams


def test_strength_and_seed_change_from_pass_to_pass() -> None:
    params = LoopbackParams(loops=3, denoising_strength=0.2, final_denoising_strength=0.6, seed=7, batch_count=2)
    first, second = plan_loops(params)
    assert [run.denoising_strength for run in first] == pytest.approx([0.2, 0.4, 0.6])
    assert [run.seed for run in first + second] == [7, 8, 9, 10, 11, 12]
    assert {(run.batch_size, run.batch_count) for run in first} == {(1, 1)}
    assert first[0].more_parameters == {"Final denoising strength": "0.6", "Denoising curve": "Linear"}


def test_the_mask_is_filled_in_the_first_pass_only() -> None:
    (passes,) = plan_loops(LoopbackParams(loops=3, inpaint={"fill": "fill", "invert": True}))
    assert [run.inpaint.fill for run in passes] == ["fill", "original", "original"]
    assert all(run.inpaint.invert for run in passes)
