"""Progress: how a job function reports steps and previews and learns that it was cancelled. It knows no transport."""

from __future__ import annotations

import time
from collections.abc import Callable

from PIL.Image import Image

from stable_core.errors import JobCancelled

Preview = Image | Callable[[], Image | None] | None


class Progress:
    """Called by a job function: `progress(step, total, message, preview=…)`.

    On its own it does nothing, so a job function runs in a test or a notebook with `Progress()`; the worker passes
    one that reports to the core. Subclasses override `report`.

    Attributes:
        preview_seconds: the shortest time between two previews; a callable preview is called only when one is due.
        is_interrupted: the job should end now and return what there is. One that cannot, goes on.
        is_skipped: the job should leave out what it is making and go on with the next; it sets this back to False.
    """

    def __init__(self, preview_seconds: float = 0.5) -> None:
        self.preview_seconds = preview_seconds
        self.is_cancelled = self.is_interrupted = self.is_skipped = False
        self._next_preview = 0.0

    def __call__(self, step: int, total: int, message: str = "", preview: Preview = None) -> None:
        """Report that `step` of `total` steps are done.

        Raises:
            JobCancelled: the job was cancelled. It is a BaseException: let it pass.
        """
        if self.is_cancelled:
            raise JobCancelled
        picture: Image | None = None
        now = time.monotonic()
        if preview is not None and now >= self._next_preview:
            self._next_preview = now + self.preview_seconds
            picture = preview() if callable(preview) else preview
        self.report(step, total, message, picture)

    def cancel(self) -> None:
        """Make the next call raise JobCancelled; safe from any thread."""
        self.is_cancelled = True

    def interrupt(self) -> None:
        """Tell the job to end with what there is; safe from any thread."""
        self.is_interrupted = True

    def skip(self) -> None:
        """Tell the job to go on with the next thing it makes; safe from any thread."""
        self.is_skipped = True

    def report(self, step: int, total: int, message: str, preview: Image | None) -> None:
        """Pass one report on; a standalone Progress drops it."""
