"""Run a training stage on several one-thread processes that average their gradients, against a clock.

One thread per process is faster on a busy machine than one process with many threads. It knows nothing of models.
"""

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import torch
import torch.distributed
import torch.multiprocessing

MEETING_SECONDS, ALONE_SECONDS = 5.0, 1.0
"""How long each process trains before the weights are averaged, and a process that has nobody to meet."""
PROCESS_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",
    "OMP_NUM_THREADS": "1",
    # Keep freed memory: giving it back and faulting it in again costs a tenth of every step (glibc only).
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(10**11),
    "MALLOC_TOP_PAD_": str(2**28),
}


@dataclass(frozen=True)
class Worker:
    """One of the processes that share a stage, and the device that it works on."""

    rank: int
    ranks: int
    device: torch.device

    @property
    def reports(self) -> bool:
        """Whether this is the one that prints and saves."""
        return self.rank == 0

    @property
    def meeting_seconds(self) -> float:
        """How long it trains between two looks at the clock and the other workers."""
        return MEETING_SECONDS if self.ranks > 1 else ALONE_SECONDS


Stage = Callable[..., None]
"""Called with a Worker and the arguments of run_stage."""


@dataclass
class Clock:
    """How far a stage of so many seconds has come; resumed stages start with the seconds already spent."""

    seconds: float
    spent: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Give the seconds spent on the stage, those of earlier runs included."""
        return self.spent + time.monotonic() - self.started

    def share(self) -> float:
        """Give the share of the stage that is over, 0 to 1, the same in every process."""
        share = torch.tensor(min(self.elapsed() / self.seconds, 1.0), dtype=torch.float64)
        if torch.distributed.is_initialized():
            torch.distributed.broadcast(share, 0)
        return float(share)


def learning_rate(share: float, peak: float, warmup: float = 0.02) -> float:
    """Give the learning rate after a share of the stage: a short linear warm-up, then a cosine down to zero."""
    if share < warmup:
        return peak * (share + 1e-3) / (warmup + 1e-3)
    return peak * 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup)))


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over all processes, in one message."""
    if not torch.distributed.is_initialized():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()


@torch.no_grad()
def average_weights(model: torch.nn.Module, steps: int) -> int:
    """Replace the weights by their mean over all processes, weighed by the steps each made, and give all steps made.

    Processes that meet only every few seconds lose little time when one of them is slowed by other work (local SGD,
    arXiv 1805.09767).
    """
    if not torch.distributed.is_initialized():
        return steps
    parameters = list(model.parameters())
    flat = torch.cat([*(parameter.reshape(-1) for parameter in parameters), torch.ones(1)]) * steps
    torch.distributed.all_reduce(flat)
    total = round(float(flat[-1]))
    flat /= total
    offset = 0
    for parameter in parameters:
        parameter.copy_(flat[offset : offset + parameter.numel()].view_as(parameter))
        offset += parameter.numel()
    return total


@torch.no_grad()
def update_average(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """Move the running average of the weights a little towards the model (EMA)."""
    for held, current in zip(average.parameters(), model.parameters(), strict=True):
        held.lerp_(current, 1 - decay)


def _start(rank: int, worker: Worker, port: int, stage: Stage, arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    worker = replace(worker, rank=rank)
    if worker.ranks > 1:
        address = f"tcp://127.0.0.1:{port}"
        torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=worker.ranks)
    stage(worker, *arguments)
    if worker.ranks > 1:
        torch.distributed.destroy_process_group()


def run_stage(ranks: int, device: torch.device, stage: Stage, *arguments: object, port: int = 29_517) -> None:
    """Run stage(worker, *arguments) in `ranks` new processes and wait for all; for a GPU once, in this process."""
    if device.type == "cuda":
        stage(Worker(0, 1, device), *arguments)
        return
    os.environ.update(PROCESS_ENVIRONMENT)
    torch.multiprocessing.spawn(_start, (Worker(0, ranks, device), port, stage, arguments), nprocs=ranks)
