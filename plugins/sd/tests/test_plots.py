"""Plots and matrices: planned right, drawn right, and one failed cell does not spoil the others."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from graphs import run
from stable_core.sdk import InvalidParams, JobCancelled, Progress
from stable_core_sd.infotext_reader import read_infotext
from stable_core_sd.invocations.axes import find_axis, knobs_of
from stable_core_sd.invocations.axis_list import AXES
from stable_core_sd.invocations.plots import plan_plot
from stable_core_sd.params_scripts import AnyRunParams, PlotParams, PromptMatrixParams
from stable_core_sd.scripts import prompt_matrix, xyz_plot

pytestmark = pytest.mark.usefixtures("tiny_models")
TINY = {"checkpoint": "tiny", "steps": 2, "seed": 7, "width": 64, "height": 64, "preview": False}


def plot_params(**knobs: Any) -> PlotParams:
    return PlotParams(**{**TINY, **knobs})


def cells_of(**knobs: Any) -> list[Any]:
    return plan_plot("a red circle", plot_params(**knobs), from_image=False).cells


def test_every_cell_of_a_plot_is_what_a_run_alone_makes() -> None:
    params = plot_params(x_axis="Steps", x_values="1-3", y_axis="CFG Scale", y_values="1.5,5", lone_images=True)
    grid, *cells = run(xyz_plot("a red circle", None, None, params))
    assert len(cells) == 6
    alone = run(xyz_plot("a red circle", None, None, plot_params(steps=3, cfg_scale=5, legend=False)))[0]
    assert cells[5].tobytes() == alone.tobytes()
    left, top = grid.width - 3 * 64, grid.height - 2 * 64
    assert left == 48
    assert 0 < top < 64
    for number, cell in enumerate(cells):
        x, y = left + number % 3 * 64, top + number // 3 * 64
        assert grid.crop((x, y, x + 64, y + 64)).tobytes() == cell.tobytes()


def test_labels_are_written_where_they_belong() -> None:
    params = plot_params(x_axis="Steps", x_values="1,2", y_axis="Seed", y_values="1,2")
    grid = run(xyz_plot("a red circle", None, None, params))[0]
    left, top = grid.width - 128, grid.height - 128

    def is_inked(box: tuple[int, int, int, int]) -> bool:
        return grid.crop(box).convert("L").getextrema()[0] < 100

    assert is_inked((left, 0, left + 64, top))
    assert is_inked((left + 64, 0, left + 128, top))
    assert is_inked((0, top, left, top + 64))
    assert is_inked((0, top + 64, left, top + 128))
    assert not is_inked((0, 0, left, top))


def test_a_plot_carries_the_data_of_its_first_cell_and_its_axes() -> None:
    params = plot_params(x_axis="Steps", x_values="1-2", y_axis="Seed", y_values="5,-1")
    pairs = read_infotext(run(xyz_plot("a red circle", None, None, params))[0].info["parameters"])
    assert (pairs["Prompt"], pairs["Steps"], pairs["Seed"], pairs["Size-1"]) == ("a red circle", "1", "5", "64")
    assert (pairs["Script"], pairs["X Type"], pairs["X Values"]) == ("X/Y/Z plot", "Steps", "1-2")
    assert pairs["Y Values"] == "5,-1"
    first, second = pairs["Fixed Y Values"].split(", ")
    assert first == "5"
    assert int(second) >= 0


def test_several_values_of_z_are_grids_side_by_side() -> None:
    params = plot_params(x_axis="Seed", x_values="1,2", z_axis="Steps", z_values="1,2,3", sub_grids=True, legend=False)
    whole, *grids = run(xyz_plot("a red circle", None, None, params))
    assert len(grids) == 3
    assert [grid.size for grid in grids] == [(128, 64)] * 3
    assert whole.width == 3 * 128
    assert "Z Type" in whole.info["parameters"]
    assert "Z Type" not in grids[0].info["parameters"]


def test_the_costliest_axis_changes_least_often_and_the_grid_is_in_order_all_the_same() -> None:
    knobs = {"x_axis": "Checkpoint name", "x_values": "tiny,tiny_file", "y_axis": "Seed", "y_values": "1,2"}
    plot = plan_plot("a red circle", plot_params(**knobs), from_image=False)
    assert [cell.params.checkpoint for cell in plot.cells] == ["tiny", "tiny", "tiny_file", "tiny_file"]
    assert plot.drawings(plot_params(**knobs))[0][1].places == [0, 2, 1, 3]


def test_seeds_vary_along_the_chosen_axes() -> None:
    axes = {"x_axis": "Steps", "x_values": "1,2", "y_axis": "CFG Scale", "y_values": "1,2,3"}
    both = cells_of(**axes, vary_seed_x=True, vary_seed_y=True)
    assert [cell.params.seed for cell in both] == [7, 8, 9, 10, 11, 12]
    assert [cell.params.seed for cell in cells_of(**axes, vary_seed_y=True)] == [7, 7, 8, 8, 9, 9]


@pytest.mark.parametrize(
    ("axis", "values", "expected"),
    [
        ("Prompt S/R", "red,blue", ["a red circle", "a blue circle"]),
        ("Prompt order", "red,circle", ["a red circle", "a circle red"]),
    ],
)
def test_prompts_are_changed(axis: str, values: str, expected: list[str]) -> None:
    assert [cell.prompt for cell in cells_of(x_axis=axis, x_values=values)] == expected


@pytest.mark.parametrize(
    ("axis", "values", "found"),
    [
        ("Sampler", "euler a,DPM++ 2M Karras", ["Euler a", "DPM++ 2M"]),
        ("Size", "64x128, 128 x 64", [64, 128]),
        ("Denoising", "0.2,0.4", [0.2, 0.4]),
        ("Extra noise", "0,0.1", [0, 0.1]),
        ("noise.s_noise", "0.5,1", [0.5, 1]),
        ("tiling", "true,no", [True, False]),
        ("var. seed", "3,4", [3, 4]),
    ],
)
def test_axes_turn_the_right_knob(axis: str, values: str, found: list[Any]) -> None:
    places = {
        "Sampler": lambda params: params.sampler,
        "Size": lambda params: params.width,
        "Denoising": lambda params: params.hires.denoising_strength,
        "Extra noise": lambda params: params.hires.extra_noise,
        "noise.s_noise": lambda params: params.noise.s_noise,
        "tiling": lambda params: params.tiling,
        "var. seed": lambda params: params.variation.seed,
    }
    assert [places[axis](cell.params) for cell in cells_of(x_axis=axis, x_values=values)] == found


def test_extra_noise_goes_on_the_picture_of_a_run_from_one() -> None:
    cells = plan_plot("p", plot_params(x_axis="Extra noise", x_values="0.1"), from_image=True).cells
    assert [(cell.params.extra_noise, cell.params.hires.extra_noise) for cell in cells] == [(0.1, 0)]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_every_axis_names_a_knob_that_there_is(axis: Any) -> None:
    from_image = axis.side == "image"
    assert find_axis(axis.name.upper(), from_image) == axis
    assert not axis.knob or axis.knob in knobs_of(AnyRunParams())


@pytest.mark.parametrize("side", ["x", "y", "z"])
def test_forms_offer_the_names_of_all_axes_and_any_name_may_be_typed(side: str) -> None:
    knob = PlotParams.model_json_schema()["properties"][f"{side}_axis"]
    assert knob["examples"] == [axis.name for axis in AXES]
    assert knob["default"] in knob["examples"]
    assert (knob["type"], "enum" in knob) == ("string", False)
    assert knob["x-ui"]["group"] == f"{side.upper()} axis"


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"x_axis": "Colour", "x_values": "1"}, "no axis 'Colour'"),
        ({"x_axis": "Steps"}, "has no values"),
        ({"x_axis": "Steps", "x_values": "ten"}, "Steps"),
        ({"x_axis": "Steps", "x_values": "10,1000"}, "Steps: 1000"),
        ({"x_axis": "Sampler", "x_values": "Euler,Oiler"}, "Oiler"),
        ({"x_axis": "Prompt S/R", "x_values": "green,blue"}, "green"),
        ({"x_axis": "Size", "x_values": "big"}, "no size"),
        ({"x_axis": "Checkpoint name", "x_values": "tiny,none"}, "none"),
        ({"x_axis": "Refiner checkpoint", "x_values": "tiny,none"}, "none"),
        ({"x_axis": "VAE", "x_values": "Automatic,sharp"}, "no VAE 'sharp'"),
        ({"x_axis": "Hires upscaler", "x_values": "Latent,None,sharp"}, "no model 'sharp'"),
        ({"x_axis": "Image CFG Scale", "x_values": "1"}, "picture"),
        ({"x_axis": "Seed", "x_values": "1-500", "y_axis": "Steps", "y_values": "1-100"}, "cells"),
        ({"x_axis": "Seed", "x_values": "1-1000", "width": 1024, "height": 1024}, "megapixels"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParams, match=message):
        xyz_plot("a red circle", None, None, plot_params(**knobs))


def test_a_cell_of_several_pictures_is_one_sheet_of_them() -> None:
    params = plot_params(x_axis="Steps", x_values="1", batch_size=2, grid=True, lone_images=True)
    assert run(xyz_plot("a red circle", None, None, params))[-1].size == (128, 64)


def test_a_cell_that_fails_is_blank_and_the_others_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from stable_core_sd import scripts

    def sometimes(prompt: str, params: Any, progress: Progress) -> Any:
        if params.steps == 2:
            raise ValueError("out of luck")
        return [Image.new("RGB", (64, 64), "red")]

    monkeypatch.setattr(scripts, "txt2img", sometimes)
    params = plot_params(x_axis="Steps", x_values="1-3", lone_images=True, legend=False)
    _, *cells = run(xyz_plot("a red circle", None, None, params))
    assert [cell.getpixel((0, 0)) for cell in cells] == [(255, 0, 0), (0, 0, 0), (255, 0, 0)]


def test_a_cancelled_cell_is_cancelled_not_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    from stable_core_sd import scripts

    def cancelled(*_: Any) -> Any:
        raise JobCancelled

    monkeypatch.setattr(scripts, "txt2img", cancelled)
    with pytest.raises(JobCancelled):
        run(xyz_plot("a red circle", None, None, plot_params()))


def test_a_prompt_matrix_has_every_combination_and_says_which() -> None:
    params = PromptMatrixParams(**TINY, margin=10)
    grid, *cells = run(prompt_matrix("a circle|red|on blue|big", None, None, params))
    assert len(cells) == 8
    assert len({cell.tobytes() for cell in cells}) == 8
    assert (grid.width, grid.height) > (4 * 64 + 30, 2 * 64 + 10)
    assert "Script: Prompt matrix" in grid.info["parameters"]
    assert "Prompt: " not in grid.info["parameters"]


def test_a_matrix_of_the_negative_prompt_keeps_the_prompt() -> None:
    params = PromptMatrixParams(**TINY, negative_prompt="a|b", combine="negative_prompt", different_seeds=True)
    _, *cells = prompt_matrix("p", None, None, params)
    assert [cell.inputs["prompt"] for cell in cells] == ["p", "p"]
    assert [cell.params.negative_prompt for cell in cells] == ["a", "a, b"]
    assert [cell.params.seed for cell in cells] == [7, 8]


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(InvalidParams, match="at most"):
        prompt_matrix("|".join("abcdefghijklmnop"), None, None, PromptMatrixParams(**TINY))
