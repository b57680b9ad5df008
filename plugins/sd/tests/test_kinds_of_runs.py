"""Runs from pictures, with masks, in two passes and as tiles, on models of the newer kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tiny_kinds
from runs import box_mask, change, difference, draw, noisy, pixels

MASK = box_mask((64, 64), (16, 16, 48, 48))


@pytest.fixture(params=["sd21", "sdxl", "sdxl_refiner"])
def kind(request: pytest.FixtureRequest, tiny_models: Path) -> str:
    """Return the name of a tiny model of each kind, there as a folder."""
    name: str = request.param
    tiny_kinds.write_folder(tiny_models / "checkpoints" / name, name, tiny_kinds.make_models(name))
    return name


@pytest.mark.parametrize("sampler", ["Euler a", "DDIM"])
def test_every_kind_repaints_what_is_masked_and_a_batch_equals_single_runs(kind: str, sampler: str) -> None:
    knobs = {"checkpoint": kind, "sampler": sampler, "inpaint": {"mask_blur_x": 1, "mask_blur_y": 1}}
    batch = change(noisy(), mask=MASK, batch_size=2, **knobs)
    changed = np.abs(pixels(batch[0]) - pixels(noisy())).max(axis=-1)
    outside = np.asarray(box_mask((64, 64), (12, 12, 52, 52))) == 0
    assert changed[outside].max() == 0
    assert changed[20:44, 20:44].mean() > 5
    assert difference(batch[1], change(noisy(), mask=MASK, seed=8, **knobs)[0]) <= 1


def test_every_kind_draws_in_two_passes_and_tiles(kind: str) -> None:
    assert draw(checkpoint=kind, hires={"enabled": True, "scale": 1.5})[0].size == (96, 96)
    assert difference(draw(checkpoint=kind)[0], draw(checkpoint=kind, tiling=True)[0]) > 0
