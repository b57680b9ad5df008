"""All that the command line writes: results on stdout, everything else on stderr. It knows no command."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

import stable_core_client as client
from stable_core import errors
from stable_core_client import Json

Failure = client.StableCoreError | errors.StableCoreError
"""What went wrong, as a server said it or as it happened in this process."""

EXIT_CODES = {"RequestError": 2, "ConfigError": 2, "JobCancelled": 130}
"""By error class; every other error gives 1."""

LINE_SECONDS = 1.0
"""How often a line on a job's progress is written where there is no terminal."""


def out(text: str) -> None:
    """Write one line of result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write one line for a person to read."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def out_json(value: Any) -> None:
    """Write a result as JSON."""
    out(json.dumps(value, indent=2, ensure_ascii=False))


def show(found: Any, as_json: bool, rows: list[list[str]] | None = None) -> None:
    """Write what was found as JSON, or as rows in columns; without rows there is one for each fact of an object."""
    if as_json:
        out_json(found)
        return
    if rows is None:
        rows = [[name, value if isinstance(value, str) else json.dumps(value)] for name, value in found.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        out("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def report(error: Failure, as_json: bool = False, name: str = "") -> int:
    """Write an error, of the job of this name, and return the exit code that goes with it."""
    if as_json:
        code = error.code if isinstance(error, client.StableCoreError) else error.code()
        out_json({"error": {"code": code, "message": error.message, "hint": error.hint}})
    else:
        if error.traceback:
            note(error.traceback.rstrip())
        note(f"error: {name and name + ': '}{error.message}")
        if error.hint:
            note(f"hint: {error.hint}")
    return exit_code(error)


def exit_code(error: Failure) -> int:
    """Return the exit code that goes with an error."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return next((code for name, code in EXIT_CODES.items() if name in names), 1)


class ProgressDisplay(contextlib.ExitStack):
    """Shows the events of running jobs: a bar for each on a terminal, one line per change otherwise.

    Args:
        names: what to call each job, by id; a single job needs no name. Others, which stand in place of these, are
            counted by their progress.
    """

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self._names = names
        self._last_label, self._last_time = "", 0.0
        self._bars: Any = None
        self._bar_of: dict[str, Any] = {}
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            text = TextColumn("{task.description}", markup=False)
            columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bars = self.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))

    def show(self, event: Json) -> None:
        """Take one event of a job."""
        if event["job"] not in self._names or event["type"] not in ("job.running", "job.progress"):
            return
        facts = {"step": 0, "total": 0, "message": "", **(event["data"] or {})}
        step, total, job = facts["step"], facts["total"], event["job"]
        label = ": ".join(part for part in (self._names[job], facts["message"] or "running") if part)
        if self._bars:
            if job not in self._bar_of:
                self._bar_of[job] = self._bars.add_task("", total=None)
            self._bars.update(self._bar_of[job], description=label[:60], completed=step, total=total or None)
        elif label != self._last_label or step == total > 0 or time.monotonic() - self._last_time > LINE_SECONDS:
            note(f"{label} {step}/{total}" if total else label)
            self._last_label, self._last_time = label, time.monotonic()
