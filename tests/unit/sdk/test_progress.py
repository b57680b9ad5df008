"""Progress: reports, throttled previews, cancel."""

from __future__ import annotations

import threading
from typing import Any

import PIL.Image
import pytest

from stable_core.errors import JobCancelled
from stable_core.sdk import Progress
from stable_core.sdk import progress as progress_module

PICTURE = PIL.Image.new("RGB", (1, 1))


class Recorder(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.reports: list[tuple[Any, ...]] = []

    def report(self, step: int, total: int, message: str, preview: Any) -> None:
        self.reports.append((step, total, message, preview))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock of one number that a test turns by hand."""
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_alone_it_only_counts() -> None:
    Progress()(1, 2, "half", preview=PICTURE)


def test_reports_are_passed_on() -> None:
    progress = Recorder()
    progress(1, 2)
    progress(2, 2, "done", PICTURE)
    assert progress.reports == [(1, 2, "", None), (2, 2, "done", PICTURE)]


def test_a_preview_is_made_only_when_one_is_due(clock: list[float]) -> None:
    progress = Recorder()
    made = []

    def preview() -> PIL.Image.Image:
        made.append(clock[0])
        return PICTURE

    for seconds in (0, 0.2, 0.4, 0.5, 0.6, 1.1):
        clock[0] = 1000 + seconds
        progress(1, 2, preview=preview)
    assert made == [1000, 1000.5, 1001.1]
    assert [report[3] for report in progress.reports] == [PICTURE, None, None, PICTURE, None, PICTURE]


def test_a_preview_may_come_to_nothing() -> None:
    progress = Recorder()
    progress(1, 2, preview=lambda: None)
    assert progress.reports == [(1, 2, "", None)]


def test_cancel_is_raised_out_of_the_next_call_and_reports_nothing() -> None:
    progress = Recorder()
    progress(1, 3)
    thread = threading.Thread(target=progress.cancel)
    thread.start()
    thread.join()
    for _ in range(2):
        with pytest.raises(JobCancelled):
            progress(2, 3, preview=lambda: pytest.fail("a preview nobody will see"))
    assert len(progress.reports) == 1


def test_a_plugin_that_catches_everything_is_cancelled_all_the_same() -> None:
    def careless(progress: Progress) -> None:
        try:
            progress(1, 1)
        except Exception:  # noqa: BLE001 - what careless plugins do
            pytest.fail("swallowed")

    progress = Recorder()
    progress.cancel()
    with pytest.raises(JobCancelled):
        careless(progress)
