"""The progress of a run: the steps of all its passes as one count, with previews. How one looks is in preview."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image

from stable_core.sdk import JobCancelled, Progress
from stable_core_sd.samplers import Step

Show = Callable[[torch.Tensor], Image.Image]
"""Makes a small picture of guesses of shape (batch, channels, height / 8, width / 8)."""


class StepReport:
    """Reports every step of a run of `total` steps.

    Attributes:
        done: the steps of the passes that have ended.
        is_interrupted: the job was cancelled during a pass, and what is there of the pictures is wanted.
    """

    def __init__(self, progress: Progress, total: int, keeps_cancelled: bool = False) -> None:
        """Take whether a cancelled pass ends with the pictures as far as they are, instead of at once."""
        self.progress, self.total, self.done = progress, total, 0
        self.keeps_cancelled, self.is_interrupted = keeps_cancelled, False

    def say(self, message: str) -> None:
        """Report what happens between two steps.

        Raises:
            JobCancelled: the job was cancelled.
        """
        if not self.is_interrupted:
            self.progress(self.done, self.total, message)

    def end_batch(self) -> None:
        """End the run here if it was interrupted.

        Raises:
            JobCancelled: it was.
        """
        if self.is_interrupted:
            raise JobCancelled

    def step(self, counted: int, show: Show | None, index: int, step: Step) -> None:
        """Report one step of a pass that counts for `counted`; samplers may make more or fewer."""
        done = self.done + int(counted * step.done + 1e-6)
        try:
            self.progress(done, self.total, preview=(lambda: show(step.denoised)) if show else None)
        except JobCancelled:
            if not self.keeps_cancelled:
                raise
            self.is_interrupted = True
