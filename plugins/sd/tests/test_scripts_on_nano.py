"""Plots and other runs made of several, on the built-in model, judged by what the pictures show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stable_core_sd
from graphs import run
from stable_core_sd.params_scripts import PlotParams, PromptMatrixParams
from stable_core_sd.scripts import prompt_matrix, xyz_plot

WEIGHTS = Path(stable_core_sd.__file__).parent / "models" / "nano" / "unet" / "diffusion_pytorch_model.safetensors"

pytestmark = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the weights of the built-in model are not there")

SIDE = 128
COLOURS = {"red": (220, 30, 35), "green": (35, 165, 70), "blue": (30, 80, 220), "white": (245, 245, 245)}


def colour_of(pixels: Any) -> str:
    """Return the name of the colour that most pixels of an array of shape (height, width, 3) are nearest to."""
    distances = np.abs(pixels.reshape(-1, 1, 3).astype(int) - np.array(list(COLOURS.values()))).sum(axis=2)
    return list(COLOURS)[int(np.bincount(distances.argmin(axis=1)).argmax())]


def middle_of(cell: Any) -> str:
    return colour_of(cell[SIDE // 2 - 8 : SIDE // 2 + 8, SIDE // 2 - 8 : SIDE // 2 + 8])


def corner_of(cell: Any) -> str:
    return colour_of(cell[4:20, 4:20])


def test_a_plot_of_three_by_three_shows_what_its_labels_say() -> None:
    params = PlotParams(
        seed=3,
        steps=10,
        x_axis="Prompt S/R",
        x_values="red,green,blue",
        y_axis="Sampler",
        y_values="DPM++ 2M,Euler,Heun",
        preview=False,
    )
    grid = np.asarray(run(xyz_plot("a red circle on a white background", params))[0])
    top, left = grid.shape[0] - 3 * SIDE, grid.shape[1] - 3 * SIDE
    assert left == SIDE * 3 // 4
    for row in range(3):
        for column, colour in enumerate(["red", "green", "blue"]):
            y, x = top + row * SIDE, left + column * SIDE
            cell = grid[y : y + SIDE, x : x + SIDE]
            assert (middle_of(cell), corner_of(cell)) == (colour, "white"), (row, colour)
            assert grid[:top, x : x + SIDE].min() < 60
            assert grid[y : y + SIDE, :left].min() < 60


def test_a_matrix_adds_the_parts_that_its_labels_name() -> None:
    params = PromptMatrixParams(seed=3, steps=10, preview=False)
    _, plain, red, on_blue, both = run(prompt_matrix("a circle|red|on a blue background", params))
    assert middle_of(np.asarray(red)) != corner_of(np.asarray(red))
    assert corner_of(np.asarray(on_blue)) == "blue"
    assert (middle_of(np.asarray(both)), corner_of(np.asarray(both))) == ("red", "blue")
    assert corner_of(np.asarray(plain)) != "blue"
