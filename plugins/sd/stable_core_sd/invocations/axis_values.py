"""The values on an axis of a plot, read from text: lists, ranges, permutations. What they change is in axes.

Source of the syntax: A1111 1.10, X/Y/Z plot.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

Value = int | float | str | tuple[str, ...]
AxisType = Literal["nothing", "int", "float", "str", "permutations"]

MAX_VALUES = 1000
"""The most values on one axis."""

DIGITS = {"int": r"\d+", "float": r"\d+(?:.\d*)?"}
"""A number without its sign, in a range. As A1111 reads it, any one character may stand where the point does: `1e2` is
such a number, and `5--3` is read as from `5-` to 3, which is no range."""

RANGE = {kind: rf"\s*([+-]?\s*{digits})\s*-\s*([+-]?\s*{digits})\s*" for kind, digits in DIGITS.items()}
STEPPED = {kind: rf"{RANGE[kind]}(?:\(([+-]{digits})\s*\)\s*)?" for kind, digits in DIGITS.items()}
COUNTED = {kind: rf"{RANGE[kind]}\[({digits})\s*\]\s*" for kind, digits in DIGITS.items()}


def read_values(axis_type: AxisType, text: str) -> list[Value]:
    """Return the values of a text of comma-separated items, over one or more lines; `"a, b"` is one item.

    An item of numbers may be a range: `1-5`, `1-10(+3)` with a step, `1-10[4]` with a number of values; both ends
    belong to it. Unlike A1111's, a range never goes past its end, whatever the sign of its step and its rounding, and
    `1e-3` is a number.

    Raises:
        ValueError: an item is no number of that type, or there are more than `MAX_VALUES` values.
    """
    if axis_type == "nothing":
        return [0]
    items = [
        item.strip() for item in itertools.chain.from_iterable(csv.reader(io.StringIO(text), skipinitialspace=True))
    ]
    values: list[Value] = []
    if axis_type == "permutations":
        values.extend(itertools.islice(itertools.permutations(items), MAX_VALUES + 1))
    elif axis_type == "str":
        values.extend(items)
    else:
        for item in filter(None, items):
            values.extend(_read_numbers(axis_type, item))
    if len(values) > MAX_VALUES:
        raise ValueError(f"An axis has at most {MAX_VALUES:,} values")
    return values


def _read_numbers(axis_type: str, item: str) -> Iterable[int | float]:
    number = int if axis_type == "int" else float
    with contextlib.suppress(ValueError):
        return [number(item)]
    try:
        if stepped := re.fullmatch(STEPPED[axis_type], item):
            start, end, step = number(stepped[1]), number(stepped[2]), number(stepped[3] or 1)
            if step:
                return _steps(start, end, step)
        if counted := re.fullmatch(COUNTED[axis_type], item):
            start, end, count = number(counted[1]), number(counted[2]), int(counted[3])
            return (number(value) for value in spread(start, end, min(count, MAX_VALUES + 1)))
    except ValueError:
        pass
    raise ValueError(f"{item} is no number and no range; ranges are 1-5, 1-10(+3), 1-10[4] and 5.0--3.0")


def _steps(start: int | float, end: int | float, step: int | float) -> Iterator[int | float]:
    count = math.floor((end - start) / step * (1 + 1e-12) + 1e-9) + 1  # 0.3 / 0.1 is a little less than 3
    return (start + index * step for index in range(min(count, MAX_VALUES + 1)))


def spread(start: float, end: float, count: int) -> list[float]:
    """Return `count` numbers from `start` to `end` in even steps, both ends included; one number is the start."""
    if count < 2:
        return [start] * count
    step = (end - start) / (count - 1)
    return [*(start + index * step for index in range(count - 1)), end]


def format_value(value: Value) -> str:
    """Return a value as a legend shows it: floats with at most 8 decimals, lists joined by commas."""
    if isinstance(value, float):
        return str(round(value, 8))
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def replace_prompt(prompts: Sequence[str], searched: str, replacement: str) -> list[str]:
    """Return prompt and negative prompt with the first value of a Prompt S/R axis replaced by another.

    Raises:
        ValueError: neither of them has it.
    """
    if not any(searched in prompt for prompt in prompts):
        raise ValueError(f"Prompt S/R looks for {searched!r}, which is in neither prompt")
    return [prompt.replace(searched, replacement) for prompt in prompts]


def reorder_prompt(prompt: str, order: Sequence[str]) -> str:
    """Return the prompt with the texts of `order` put, in that order, into the places where they stand in it.

    Raises:
        ValueError: one of them is not in the prompt, or only inside another one.
    """
    parts: list[str] = []
    for text in sorted(order, key=prompt.find):
        before, found, prompt_after = (parts.pop() if parts else prompt).partition(text)
        if not found:
            raise ValueError(f"Prompt order looks for {text!r}, which is not in the prompt")
        parts += [before, prompt_after]
    if not parts:
        return prompt
    return "".join(itertools.chain.from_iterable(zip(parts, order, strict=False))) + parts[-1]


def read_size(text: str) -> tuple[int, int] | None:
    """Return the width and height of a text such as `512x768`, or None if it is none."""
    width, _, height = text.partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        return None
