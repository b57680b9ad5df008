"""Repeat a training step: on a GPU as one recorded graph, elsewhere as the plain function it is.

The models are so small that a GPU waits for Python most of the time; a recorded step is started as a whole. It knows
nothing of models, and of processes only how often they meet.
"""

import time
from collections.abc import Callable, Iterable

import torch

Step = Callable[[], torch.Tensor]
"""One training step; it gives its loss, and on a GPU it must ask nothing of the host and keep its shapes."""
WARM_UP = 3
"""Steps before recording: they choose kernels and reserve memory. With a learning rate of zero they change nothing."""


def new_optimizer(parameters: Iterable[torch.nn.Parameter], device: torch.device, decay: float) -> torch.optim.AdamW:
    """Make an AdamW whose learning rate, zero at first, is a number on the device that a recorded step reads."""
    rate = torch.zeros((), device=device)
    betas, recorded = (0.9, 0.99), device.type == "cuda"
    return torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=decay, fused=True, capturable=recorded)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let all further steps use this rate, recorded ones included."""
    for group in optimizer.param_groups:
        group["lr"].fill_(rate)


def record(step: Step, device: torch.device) -> Step:
    """Give the fastest way to repeat the step on the device; random numbers differ from one call to the next."""
    if device.type != "cuda":
        return step
    torch.backends.cudnn.benchmark = True
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> torch.Tensor:
        graph.replay()
        return result

    return replay


def repeat(step: Step, seconds: float) -> tuple[int, float]:
    """Make steps, at least one, for so many seconds; give their number and mean loss."""
    started, made, losses = time.monotonic(), 0, 0.0
    while made == 0 or time.monotonic() - started < seconds:
        losses += float(step())
        made += 1
    return made, losses / made
