"""Run reference cases and count what agrees. What a case means is known to the topic modules beside this one.

A vector file is JSON: `{"header": {...}, "cases": [{"id", "input", "expected", "quirk"?}]}`. A topic module holds
`CHECKS`, which maps the stem of a file, or `stem:op` for the cases whose input names an `op`, to a `Check`.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

TOPICS = ("prompts", "sampling", "pictures", "scripts", "models", "networks")
"""The modules of this package that hold checks; each is imported when the first file is run."""


@dataclass(frozen=True)
class Check:
    """How one kind of case is judged.

    Attributes:
        run: takes the case's input and the file's header; returns what the plugin makes of it, in the shape of the
            case's `expected`. An exception stands for `{"error": …}`.
        agrees: takes what was expected and what was returned.
        declined: takes the whole case and returns why the plugin knowingly differs, or "". It is asked only about
            cases that carry a `quirk`, a known bug or accident of the original.
    """

    run: Callable[[Any, Mapping[str, Any]], Any]
    agrees: Callable[[Any, Any], bool] = lambda expected, got: bool(expected == got)
    declined: Callable[[Mapping[str, Any]], str] = lambda case: ""


def close(absolute: float = 0.0, relative: float = 0.0) -> Callable[[Any, Any], bool]:
    """Return a judge that compares numbers within a tolerance, at any depth, and everything else exactly."""

    def agrees(expected: Any, got: Any) -> bool:
        if isinstance(expected, dict) and isinstance(got, dict):
            return expected.keys() == got.keys() and all(agrees(expected[key], got[key]) for key in expected)
        if isinstance(expected, list) and isinstance(got, list | tuple):
            return len(expected) == len(got) and all(map(agrees, expected, got))
        if isinstance(expected, int | float) and isinstance(got, int | float) and not isinstance(expected, bool):
            return math.isclose(expected, got, rel_tol=relative, abs_tol=absolute)
        return bool(expected == got)

    return agrees


@dataclass
class Tally:
    """What became of the cases of one file."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    declined: dict[str, int] = field(default_factory=dict)


@cache
def checks() -> dict[str, Check]:
    """Return the checks of all topics by file stem or `stem:op`."""
    found: dict[str, Check] = {}
    for topic in TOPICS:
        found |= importlib.import_module(f"{__package__}.{topic}").CHECKS
    return found


def run_case(check: Check, case: Mapping[str, Any], header: Mapping[str, Any]) -> tuple[bool, Any]:
    """Return whether the plugin agrees with one case, and what it returned; any error meets any expected error."""
    try:
        got = check.run(case["input"], header)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the outcome of the case
        got = {"error": f"{type(error).__name__}: {error}"}
    expected = case["expected"]
    if is_error(expected) or is_error(got):
        return is_error(expected) and is_error(got), got
    return check.agrees(expected, got), got


def is_error(value: Any) -> bool:
    """Tell whether a result stands for an error."""
    return isinstance(value, dict) and value.keys() == {"error"}


def run_file(path: Path) -> Tally:
    """Run the cases of one vector file."""
    content = json.loads(path.read_text("utf-8"))
    tally = Tally()
    for case in content["cases"]:
        op = case["input"].get("op", "") if isinstance(case["input"], dict) else ""
        check = checks().get(f"{path.stem}:{op}") or checks().get(path.stem)
        if check is None:
            tally.failed.append(f"{case['id']}: nothing here runs {path.stem}:{op}")
            continue
        passed, got = run_case(check, case, content["header"])
        reason = check.declined(case) if not passed and "quirk" in case else ""
        if passed:
            tally.passed += 1
        elif reason:
            tally.declined[reason] = tally.declined.get(reason, 0) + 1
        else:
            tally.failed.append(
                f"{case['id']}: {_short(case['input'])}\n    {_short(case['expected'])}\n    {_short(got)}"
            )
    return tally


def _short(value: Any, length: int = 400) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= length else text[: length - 1] + "…"
