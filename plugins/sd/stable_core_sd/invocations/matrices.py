"""Matrices: the cells of a prompt matrix and its labels. How the parts are combined is in prompt_matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stable_core.sdk import InvalidParams
from stable_core.sdk.params import MAX_SEED
from stable_core_sd.invocations.prompt_matrix import combine
from stable_core_sd.params_scripts import (
    CellParams,
    DrawPlotParams,
    Label,
    PromptMatrixParams,
    part_of,
    told_of,
)


@dataclass(frozen=True)
class PlannedMatrix:
    """The prompt and params of every cell, row by row, and how the grid is drawn."""

    cells: list[tuple[str, CellParams]]
    drawing: DrawPlotParams


def plan_matrix(prompt: str, params: PromptMatrixParams, from_image: bool) -> PlannedMatrix:
    """Return the matrix of a prompt or of its negative prompt.

    Raises:
        InvalidParams: there are too many parts.
    """
    is_positive = params.combine == "prompt"
    try:
        matrix = combine(
            prompt if is_positive else params.negative_prompt,
            put_at_start=params.put_at_start,
            delimiter=params.delimiter,
        )
    except ValueError as error:
        raise InvalidParams(f"{error}.", "Each part doubles the number of pictures.") from None
    cells = []
    base = part_of(params, CellParams)
    for text, seed in zip(matrix.prompts, matrix.seeds(params.seed, params.different_seeds), strict=True):
        own = {"seed": min(seed, MAX_SEED)} if is_positive else {"seed": min(seed, MAX_SEED), "negative_prompt": text}
        cells.append((text if is_positive else prompt, base.model_copy(update=own)))
    drawing = DrawPlotParams(
        columns=matrix.columns,
        column_labels=_labels(matrix.across),
        row_labels=_labels(matrix.down),
        margin=params.margin,
        told=told_of(prompt, params, from_image, {"Script": "Prompt matrix"}),
    )
    return PlannedMatrix(cells, drawing)


def _labels(parts: Sequence[str]) -> list[list[Label]]:
    """Return the labels along one side: every part is named at each place, active where it is in the prompt."""
    return [
        [Label(text=part, active=bool(number & 1 << bit)) for bit, part in enumerate(parts)]
        for number in range(2 ** len(parts))
    ]
