"""The parity command: every file of reference cases agrees, knowingly differs, or fails here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stable_core_sd.parity import runner
from stable_core_sd.parity.runner import Check, checks, close, run_file

VECTORS = Path(__file__).parent / "vectors"
FILES = sorted(VECTORS.glob("*.json"))


def has_checks(path: Path) -> bool:
    return any(name.split(":")[0] == path.stem for name in checks())


@pytest.mark.parametrize("path", [path for path in FILES if has_checks(path)], ids=lambda path: path.stem)
def test_the_plugin_agrees_with_the_original(path: Path) -> None:
    tally = run_file(path)
    failed = [line for line in tally.failed if "nothing here runs" not in line]
    assert not failed, "\n".join(failed[:5])


@pytest.fixture
def numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(check: Check, *cases: dict[str, Any]) -> runner.Tally:
        monkeypatch.setattr(runner, "checks", lambda: {"numbers:double": check})
        path = tmp_path / "numbers.json"
        path.write_text(json.dumps({"header": {}, "cases": cases}), "utf-8")
        return run_file(path)

    return make


def case(value: float, expected: Any, **more: Any) -> dict[str, Any]:
    return {"id": "1", "input": {"op": "double", "value": value}, "expected": expected, **more}


def double(given: Any, header: Any) -> Any:
    if given["value"] < 0:
        raise ValueError("negative")
    return {"result": [2 * given["value"]]}


def test_cases_pass_and_fail(numbers: Any) -> None:
    tally = numbers(Check(double), case(1, {"result": [2]}), case(1, {"result": [3]}))
    assert (tally.passed, len(tally.failed)) == (1, 1)


def test_an_expected_error_is_met_by_any_error_and_only_by_an_error(numbers: Any) -> None:
    error = {"error": "ZeroDivisionError"}
    tally = numbers(Check(double), case(-1, error), case(1, error), case(-1, {"result": [-2]}))
    assert (tally.passed, len(tally.failed)) == (1, 2)


def test_only_quirks_can_be_declined(numbers: Any) -> None:
    check = Check(double, declined=lambda case: "better so")
    tally = numbers(check, case(1, {"result": [3]}, quirk="odd"), case(1, {"result": [3]}))
    assert (tally.declined, len(tally.failed)) == ({"better so": 1}, 1)


def test_numbers_are_compared_within_a_tolerance(numbers: Any) -> None:
    tally = numbers(Check(double, close(absolute=0.1)), case(1, {"result": [2.05]}), case(1, {"result": [2.2]}))
    assert (tally.passed, len(tally.failed)) == (1, 1)


def test_a_file_that_nothing_runs_fails(tmp_path: Path) -> None:
    path = tmp_path / "unheard_of.json"
    path.write_text(json.dumps({"header": {}, "cases": [{"id": "1", "input": 1, "expected": 1}]}), "utf-8")
    assert len(run_file(path).failed) == 1
