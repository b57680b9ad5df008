"""The values on an axis of a plot, read from text: lists, ranges, permutations. What they change is in axes.

Source of the syntax: A1111 1.10, X/Y/Z plot.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Literal

Value = int | float | str | tuple[str, ...]
AxisType = Literal["nothing", "int", "float", "str", "permutations"]

MAX_VALUES = 1000
"""The most values on one axis."""

WHOLE = r"[+-]?\s*\d+"
DECIMAL = r"[+-]?\s*\d+(?:\.\d*)?"
ENDS = {"int": rf"\s*({WHOLE})\s*-\s*({WHOLE})\s*", "float": rf"\s*({DECIMAL})\s*-\s*({DECIMAL})\s*"}
STEP = {"int": r"(?:\(([+-]\d+)\s*\))?\s*", "float": r"(?:\(([+-]\d+(?:\.\d*)?)\s*\))?\s*"}
COUNT = r"\[(\d+)\s*\]\s*"


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
        number = int if axis_type == "int" else float
        for item in filter(None, items):
            values.extend(_read_range(axis_type, item) if _is_range(axis_type, item) else [number(item)])
    if len(values) > MAX_VALUES:
        raise ValueError(f"An axis has at most {MAX_VALUES:,} values")
    return values


def _is_range(axis_type: str, item: str) -> bool:
    return re.match(ENDS[axis_type], item) is not None and not _is_number(item)


def _is_number(item: str) -> bool:
    try:
        float(item)
    except ValueError:
        return False
    return True


def _read_range(axis_type: str, item: str) -> Iterator[int | float]:
    number = int if axis_type == "int" else float
    if stepped := re.fullmatch(ENDS[axis_type] + STEP[axis_type], item):
        start, end, step = number(stepped[1]), number(stepped[2]), number(stepped[3] or 1)
        if step == 0:
            raise ValueError(f"The step of {item} is 0")
        return _steps(start, end, step)
    if counted := re.fullmatch(ENDS[axis_type] + COUNT, item):
        start, end, count = number(counted[1]), number(counted[2]), int(counted[3])
        return (number(value) for value in spread(start, end, min(count, MAX_VALUES + 1)))
    raise ValueError(f"{item} is no range; ranges are 1-5, 1-10(+3) and 1-10[4]")


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
