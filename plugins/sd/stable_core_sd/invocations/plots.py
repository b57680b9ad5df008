"""Plots: what stands in which cell of an X/Y/Z plot, in which order they are made, and the labels. It draws nothing.

Source of the rules: A1111 1.10, X/Y/Z plot.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stable_core.sdk import InvalidParams, find_model_file
from stable_core.sdk.params import MAX_SEED
from stable_core_sd.checkpoint_list import find_checkpoint, find_vae
from stable_core_sd.faces.files import check_files
from stable_core_sd.invocations.axes import (
    Run,
    apply_value,
    find_axis,
    knobs_of,
    params_of,
    read_axis,
)
from stable_core_sd.invocations.axis_list import Axis
from stable_core_sd.invocations.axis_values import Value, format_value
from stable_core_sd.params import LATENT_UPSCALERS, UPSCALERS_WITHOUT_FILE
from stable_core_sd.params_scripts import AnyRunParams, DrawPlotParams, Label, PlotParams, told_of

MAX_CELLS = 10_000
MAX_MEGAPIXELS = 200
"""The largest plot, in millions of pixels."""

SIDES = ("x", "y", "z")
SEED_AXES = ("Seed", "Var. seed")


class Place(NamedTuple):
    """The column, row and grid of a cell."""

    x: int
    y: int
    z: int


@dataclass(frozen=True)
class Cell:
    """One cell: its place, its prompt and its params."""

    place: Place
    prompt: str
    params: AnyRunParams


@dataclass(frozen=True)
class Plot:
    """A plot before anything is made: its axes with their values and labels, and its cells in the order of making."""

    axes: tuple[Axis, Axis, Axis]
    values: tuple[list[Value], list[Value], list[Value]]
    cells: list[Cell]
    from_image: bool

    def labels(self, side: int) -> list[str]:
        """Return the labels along x (0), y (1) or z (2)."""
        return [self.axes[side].label(value) for value in self.values[side]]

    def drawings(self, params: PlotParams) -> list[tuple[list[int], DrawPlotParams]]:
        """Return each grid as the numbers of its cells and how it is drawn: all cells together first.

        Those of the single values of z follow, if there are several and they were asked for.
        """
        grids = len(self.values[2])
        drawings = [self._drawing(params, list(range(len(self.cells))), 3 if grids > 1 else 2)]
        for z in range(grids if grids > 1 and params.sub_grids else 0):
            chosen = [number for number, cell in enumerate(self.cells) if cell.place.z == z]
            drawings.append(self._drawing(params, chosen, 2))
        return drawings

    def _drawing(self, params: PlotParams, chosen: list[int], sides: int) -> tuple[list[int], DrawPlotParams]:
        columns, rows, _ = map(len, self.values)
        places = [self.cells[number].place for number in chosen]
        first = self.cells[min(chosen, key=lambda number: self.cells[number].place[::-1])]
        lines = [[[Label(text=text)] for text in self.labels(side)] if params.legend else [] for side in (0, 1)]
        drawn = DrawPlotParams(
            columns=columns,
            places=[x + y * columns + (z * columns * rows if sides == len(SIDES) else 0) for x, y, z in places],
            column_labels=lines[0],
            row_labels=lines[1],
            titles=self.labels(2) if sides == len(SIDES) else [],
            margin=params.margin,
            told=told_of(first.prompt, first.params, self.from_image, self._facts(params, sides)),
        )
        return chosen, drawn

    def _facts(self, params: PlotParams, sides: int) -> dict[str, str]:
        """Return the pairs that the infotext of a grid has besides those of its first cell."""
        pairs: dict[str, str] = {"Script": "X/Y/Z plot"}
        for side, axis, values in list(zip(SIDES, self.axes, self.values, strict=True))[:sides]:
            if axis.type == "nothing":
                continue
            pairs[f"{side.upper()} Type"] = axis.name
            pairs[f"{side.upper()} Values"] = getattr(params, f"{side}_values")
            if axis.name in SEED_AXES and not params.random_seeds:
                pairs[f"Fixed {side.upper()} Values"] = ", ".join(map(format_value, values))
        return pairs


def plan_plot(prompt: str, params: PlotParams, from_image: bool) -> Plot:
    """Return the plot that the params ask for, every cell checked.

    Raises:
        InvalidParams: an axis or a value is wrong, or the plot would be too large.
    """
    axes = tuple(find_axis(getattr(params, f"{side}_axis"), from_image) for side in SIDES)
    values = tuple(read_axis(axis, getattr(params, f"{side}_values")) for axis, side in zip(axes, SIDES, strict=True))
    if not params.random_seeds:
        values = tuple(_fix_seeds(axis, found) for axis, found in zip(axes, values, strict=True))
    counts = [len(found) for found in values]
    if counts[0] * counts[1] * counts[2] > MAX_CELLS:
        raise InvalidParams(f"The plot would have more than {MAX_CELLS:,} cells.", "Give an axis fewer values.")
    base = Run(prompt, params.negative_prompt, knobs_of(params))
    if params.variation.seed == -1 and not params.random_seeds:
        base = base.but(variation__seed=_random_seed())
    cells = []
    for place in _places(axes, counts):
        run, label = base, []
        for axis, found, index in zip(axes, values, place, strict=True):
            run = apply_value(run, axis, found[index], found, from_image)
            label.append(axis.label(found[index]))
        cell = params_of(run, ", ".join(filter(None, label)) or "The plot")
        cells.append(Cell(place, run.prompt, _vary_seed(cell, place, counts, params)))
    _check_models(axes, values)
    for model in {cell.params.faces.model for cell in cells if cell.params.restore_faces}:
        check_files(model)
    _check_size(cells, counts)
    return Plot(axes, values, cells, from_image)  # type: ignore[arg-type]


def _places(axes: tuple[Axis, ...], counts: list[int]) -> Iterator[Place]:
    """Yield the places in the order of making: the costliest axis changes least often, else z, then y, then x."""
    slow_first = sorted(range(3), key=lambda side: (-axes[side].cost, -side))
    for indices in itertools.product(*(range(counts[side]) for side in slow_first)):
        found = dict(zip(slow_first, indices, strict=True))
        yield Place(found[0], found[1], found[2])


def _vary_seed(cell: AnyRunParams, place: Place, counts: list[int], params: PlotParams) -> AnyRunParams:
    step, more = 1, 0
    for index, count, side in zip(place, counts, SIDES, strict=True):
        if getattr(params, f"vary_seed_{side}"):
            more += index * step
            step *= count
    return cell.model_copy(update={"seed": min(cell.seed + more, MAX_SEED)}) if more and cell.seed != -1 else cell


def _fix_seeds(axis: Axis, values: list[Value]) -> list[Value]:
    if axis.name not in SEED_AXES:
        return values
    return [_random_seed() if value == -1 else value for value in values]


def _random_seed() -> int:
    return random.SystemRandom().randint(0, MAX_SEED)


def _check_models(axes: tuple[Axis, ...], values: tuple[list[Value], ...]) -> None:
    for axis, found in zip(axes, values, strict=True):
        if axis.knob in MODELS:
            for name in filter(None, map(str, found)):
                MODELS[axis.knob](name)


def _find_upscaler(name: str) -> None:
    if name not in (*LATENT_UPSCALERS, *UPSCALERS_WITHOUT_FILE):
        find_model_file("upscale_models", name)


MODELS: Mapping[str, Callable[[str], object]] = {
    "checkpoint": find_checkpoint,
    "hires.checkpoint": find_checkpoint,
    "refiner.checkpoint": find_checkpoint,
    "vae": partial(find_vae, checkpoint=Path()),
    "hires.upscaler": _find_upscaler,
    "upscaler": _find_upscaler,
}
"""The knobs that name models, and what raises InvalidParams where there is none of a name."""


def _check_size(cells: list[Cell], counts: list[int]) -> None:
    width, height = max(cell.params.width for cell in cells), max(cell.params.height for cell in cells)
    scale = max(cell.params.hires.scale if cell.params.hires.enabled else 1 for cell in cells)
    megapixels = width * height * scale**2 * counts[0] * counts[1] * counts[2] / 1e6
    if megapixels > MAX_MEGAPIXELS:
        message = f"The plot would have {megapixels:,.0f} megapixels."
        raise InvalidParams(
            message, f"Give an axis fewer values or make the pictures smaller: {MAX_MEGAPIXELS} at most."
        )
