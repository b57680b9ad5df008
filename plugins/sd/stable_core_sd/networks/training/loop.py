"""The loop of a training: steps, learn rates, clipping, the state to go on from. It knows no pictures and no texts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from stable_core.sdk import Progress
from stable_core_sd.networks.training.run_folder import RunFolder

STATE_SECONDS = 30
"""A state is saved at least this often."""

SHOWN_LOSSES = 32
"""The loss that is shown is the mean of so many steps."""

Rates = Sequence[tuple[float, int]]
"""Values with the step up to which each holds."""


@dataclass(frozen=True)
class LoopPlan:
    """How long and how fast is trained.

    Attributes:
        accumulated: batches whose gradients are added up for one step.
        clips: what gradients are held to: each value of it (`value`) or all of it together (`norm`).
        saves_every, draws_every: in steps; 0 is never.
        steps_per_epoch: for the log.
    """

    name: str
    steps: int
    rates: Rates
    accumulated: int = 1
    clips: Literal["none", "value", "norm"] = "none"
    clip_rates: Rates = ()
    weight_decay: float = 0.0
    saves_every: int = 0
    draws_every: int = 0
    steps_per_epoch: int = 1


@dataclass
class Trainee:
    """What is trained.

    Attributes:
        loss: returns the loss of a batch by its number.
        write: writes what was learnt so far to a file, given the number of steps.
        draw: makes a picture with what was learnt so far.
        kind, suffix: the models folder for files of what was learnt, and their ending.
        uses_float16: gradients pass a model in 16 bits.
        keep: writes a picture that was drawn to a file, given the number of steps.
    """

    parameters: list[nn.Parameter]
    loss: Callable[[int], Tensor]
    write: Callable[[Path, int], None]
    draw: Callable[[], Image.Image]
    kind: str
    suffix: str
    uses_float16: bool = False
    keep: Callable[[Image.Image, Path, int], None] = lambda picture, path, step: picture.save(path)
    scaler: Any = field(init=False)

    def __post_init__(self) -> None:
        # Gradients that passed a model in 16 bits would vanish without being scaled up.
        self.scaler = torch.amp.GradScaler(self.parameters[0].device.type, enabled=self.uses_float16)


def rate_at(rates: Rates, step: int) -> float:
    """Return the value that holds for a step, counted from 0."""
    return next((rate for rate, until in rates if step < until), rates[-1][0])


class TrainingLoop:
    """Trains something in a folder, from where the folder's state says."""

    def __init__(self, plan: LoopPlan, trainee: Trainee, folder: RunFolder) -> None:
        self.plan, self.trainee, self.folder = plan, trainee, folder
        self.optimizer = torch.optim.AdamW(trainee.parameters, lr=plan.rates[0][0], weight_decay=plan.weight_decay)
        self.done = 0
        self._losses: deque[float] = deque(maxlen=SHOWN_LOSSES)
        self._unlogged: list[Sequence[Any]] = []
        self._saved_at = time.monotonic()
        if (state := folder.load_state()) is not None:
            self._restore(state)
        folder.start_log(self.done)

    def run(self, progress: Progress) -> None:
        """Train to the last step.

        Raises:
            JobCancelled: out of `progress`; the next training with this folder goes on from here.
            FloatingPointError: the loss is no number any more.
        """
        plan = self.plan
        progress(self.done, plan.steps, f"Going on from step {self.done}" if self.done else "Training")
        try:
            while self.done < plan.steps:
                self._step()
                drawn = self._draw() if _is_due(self.done, plan.draws_every) else None
                if _is_due(self.done, plan.saves_every):
                    self.trainee.write(self._saved_path, self.done)
                if _is_due(self.done, plan.saves_every) or time.monotonic() - self._saved_at > STATE_SECONDS:
                    self._save_state()
                shown = sum(self._losses) / len(self._losses)
                progress(self.done, plan.steps, f"Loss {shown:.4f}", preview=drawn)
        finally:
            self._save_state()

    @property
    def _saved_path(self) -> Path:
        return self.folder.networks / f"{self.plan.name}-{self.done}{self.trainee.suffix}"

    def _step(self) -> None:
        plan, scaler = self.plan, self.trainee.scaler
        rate = rate_at(plan.rates, self.done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total = 0.0
        for part in range(plan.accumulated):
            loss = self.trainee.loss(self.done * plan.accumulated + part) / plan.accumulated
            scaler.scale(loss).backward()
            total += loss.item()
        if total != total:  # the only number that differs from itself is no number
            self.optimizer.zero_grad()
            raise FloatingPointError("The loss is no number any more; a lower learn rate may help")
        self._clip(scaler)
        scaler.step(self.optimizer)
        scaler.update()
        self.optimizer.zero_grad()
        epoch, epoch_step = divmod(self.done, plan.steps_per_epoch)
        self.done += 1
        self._losses.append(total)
        self._unlogged.append((self.done, epoch, epoch_step, f"{total:.7f}", rate))

    def _clip(self, scaler: Any) -> None:
        if self.plan.clips == "none":
            return
        scaler.unscale_(self.optimizer)
        most = rate_at(self.plan.clip_rates, self.done)
        clip = nn.utils.clip_grad_value_ if self.plan.clips == "value" else nn.utils.clip_grad_norm_
        clip(self.trainee.parameters, most)

    def _draw(self) -> Image.Image:
        picture = self.trainee.draw()
        self.trainee.keep(picture, self.folder.pictures / f"{self.plan.name}-{self.done}.png", self.done)
        return picture

    def _save_state(self) -> None:
        self.folder.save_state(
            {
                "done": self.done,
                "parameters": [parameter.detach().cpu() for parameter in self.trainee.parameters],
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.trainee.scaler.state_dict(),
            }
        )
        self.folder.append_log(self._unlogged)
        self._unlogged.clear()
        self._saved_at = time.monotonic()

    def _restore(self, state: dict[str, Any]) -> None:
        self.done = state["done"]
        with torch.no_grad():
            for parameter, saved in zip(self.trainee.parameters, state["parameters"], strict=True):
                parameter.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        self.trainee.scaler.load_state_dict(state["scaler"])


def _is_due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0
