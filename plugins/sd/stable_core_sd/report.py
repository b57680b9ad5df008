"""The progress of a run: the steps of all its passes as one count, with previews. How one looks is in preview."""

from __future__ import annotations

from stable_core.sdk import Progress
from stable_core_sd.previewing import Show
from stable_core_sd.samplers import Step


class StepReport:
    """Reports every step of a run of `total` steps, and hears when it is to end early.

    Attributes:
        done: the steps of the passes that have ended.
    """

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    @property
    def is_interrupted(self) -> bool:
        """Return whether the run is to end with what there is."""
        return self.progress.is_interrupted

    @property
    def should_stop(self) -> bool:
        """Return whether the pass under way is to end now: the run ends, or its next pictures are wanted instead."""
        return self.progress.is_interrupted or self.progress.is_skipped

    def takes_skip(self) -> bool:
        """Return whether the pictures under way are not wanted; the next ones are again."""
        is_skipped, self.progress.is_skipped = self.progress.is_skipped, False
        return is_skipped and not self.is_interrupted

    def say(self, message: str) -> None:
        """Report what happens between two steps.

        Raises:
            JobCancelled: the job was cancelled.
        """
        self.progress(self.done, self.total, message)

    def step(self, counted: int, show: Show | None, step: Step) -> None:
        """Report one step of a pass that counts for `counted`; samplers may make more or fewer.

        Raises:
            JobCancelled: the job was cancelled.
        """
        done = self.done + int(counted * step.done + 1e-6)
        self.progress(done, self.total, preview=(lambda: show(step.denoised)) if show else None)
