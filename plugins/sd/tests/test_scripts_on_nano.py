"""Plots and other runs made of several, on the built-in model, judged by what the pictures show."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stable_core_sd
from graphs import run
from stable_core.sdk import Progress
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.params_scripts import (
    AlternativeParams,
    LoopbackParams,
    OutpaintParams,
    PlotParams,
    PoorOutpaintParams,
    PromptMatrixParams,
    TiledUpscaleParams,
)
from stable_core_sd.picture_scripts import loopback, outpaint, poor_mans_outpaint, upscale_tiled
from stable_core_sd.plugin import img2img_alternative, txt2img
from stable_core_sd.ports import Picture
from stable_core_sd.scripts import prompt_matrix, xyz_plot

WEIGHTS = Path(stable_core_sd.__file__).parent / "models" / "nano" / "unet" / "diffusion_pytorch_model.safetensors"

pytestmark = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the weights of the built-in model are not there")

SIDE = 128
COLOURS = {
    "red": (220, 30, 35),
    "green": (35, 165, 70),
    "blue": (30, 80, 220),
    "white": (245, 245, 245),
    "brown": (124, 72, 40),
}


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
    grid = np.asarray(run(xyz_plot("a red circle on a white background", None, None, params))[0])
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
    _, plain, circle, on_blue, both = run(prompt_matrix("red|circle|blue background", None, None, params))
    assert middle_of(np.asarray(circle)) == "red" != corner_of(np.asarray(circle))
    assert corner_of(np.asarray(on_blue)) == "blue"
    assert (middle_of(np.asarray(both)), corner_of(np.asarray(both))) == ("red", "blue")
    assert corner_of(np.asarray(plain)) != "blue"


def draw(prompt: str, **knobs: Any) -> Image.Image:
    params = Txt2ImgParams(**{"seed": 3, "preview": False, **knobs})
    return next(iter(txt2img(prompt, params, Progress())))


def change(first: Image.Image, second: Image.Image) -> float:
    """Return the mean difference of two pictures, 0 to 255."""
    return float(np.abs(np.asarray(first, float) - np.asarray(second, float)).mean())


def test_a_loop_changes_less_and_less_as_its_curve_says() -> None:
    start = draw("a blue square on a white background")
    knobs = {"seed": 5, "steps": 20, "loops": 4, "denoising_strength": 0.8, "final_denoising_strength": 0.05}
    changes = {}
    for curve in ("Aggressive", "Lazy"):
        params = LoopbackParams(**knobs, curve=curve, preview=False)
        grid, *passes = run(loopback(start, "a red circle on a white background", None, params))
        assert grid.size == (4 * SIDE, SIDE)
        assert middle_of(np.asarray(passes[-1])) == "red"
        changes[curve] = [change(*pair) for pair in itertools.pairwise([start, *passes])]
        assert changes[curve][0] > 2 * changes[curve][-1]
    assert changes["Lazy"][2] > 1.5 * changes["Aggressive"][2]


def test_an_enlarged_picture_has_no_seams() -> None:
    start = draw("a red circle on a blue background")
    params = TiledUpscaleParams(seed=5, steps=20, denoising_strength=0.3, overlap=48, preview=False)
    (large,) = run(upscale_tiled(start, "a red circle on a blue background", params))
    assert large.size == (2 * SIDE, 2 * SIDE)
    pixels = np.asarray(large, float)
    assert change(large.resize((SIDE, SIDE), Image.Resampling.BOX), start) < 12
    background = pixels[:24]
    steps = np.abs(np.diff(background, axis=1)).mean(axis=(0, 2))
    assert steps.max() < 6 * max(steps.mean(), 1)
    assert "SD upscale overlap: 48" in large.info["parameters"]


@pytest.mark.parametrize("kind", ["outpaint", "poor_mans_outpaint"])
def test_a_picture_is_continued_and_what_was_there_stays(kind: str) -> None:
    start = draw("a red circle on a blue background")
    knobs = {"seed": 5, "steps": 20, "denoising_strength": 0.8, "pixels": 64, "preview": False, "blur": 4}
    if kind == "outpaint":
        params = OutpaintParams(**knobs, sampler="Euler a", up=False, down=False)
        (wide,) = run(outpaint(start, "a blue background", params))
    else:
        poor = PoorOutpaintParams(**knobs, up=False, down=False, inpaint={"fill": "fill"})
        (wide,) = run(poor_mans_outpaint(start, "a blue background", poor))
    assert wide.size == (2 * SIDE, SIDE)
    left = (wide.width - start.width) // 2
    kept = np.asarray(wide)[:, left + 48 : left + SIDE - 48]
    assert np.array_equal(kept, np.asarray(start)[:, 48 : SIDE - 48])
    new = np.concatenate([np.asarray(wide)[:, :left], np.asarray(wide)[:, left + SIDE :]], axis=1)
    assert np.abs(new - np.asarray(start)[4, 4].astype(int)).mean() < 8


def test_noise_of_a_picture_gives_it_back_and_changes_it_where_the_prompt_does() -> None:
    original = "a red circle on a blue background"
    start = draw(original)
    knobs = {"seed": 5, "steps": 30, "decode_steps": 30, "original_prompt": original, "cfg_scale": 1, "preview": False}
    adjusted = AlternativeParams(**knobs, sigma_adjustment=True)
    (same,) = run(img2img_alternative.job(Picture(start, original), adjusted))
    assert change(same, start) < 4
    told = "a green circle on a blue background"
    (other,) = run(img2img_alternative.job(Picture(start, told), AlternativeParams(**{**knobs, "cfg_scale": 3})))
    assert (middle_of(np.asarray(other)), corner_of(np.asarray(other))) == ("green", "blue")
    assert "Decode steps: 30" in other.info["parameters"]


def test_a_plot_can_start_from_a_picture() -> None:
    start = draw("a red circle on a white background")
    params = PlotParams(
        seed=5, steps=15, x_axis="Denoising", x_values="0.1,0.95", lone_images=True, legend=False, preview=False
    )
    _, little, much = run(xyz_plot("a blue circle on a white background", start, None, params))
    assert (middle_of(np.asarray(little)), middle_of(np.asarray(much))) == ("red", "blue")
