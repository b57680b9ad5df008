"""Steps per second of the sd plugin against plain diffusers on a GPU, also compiled. Run it with the plugin's Python.

    python benchmarks/sd_gpu.py [--models sd15 sdxl] [--dtypes float16 bfloat16] [--steps 20] [--runs 5] [--out FILE]
    python benchmarks/sd_gpu.py --tiny                     tiny models on any machine: shows that it works, no more

Random weights of the shapes of Stable Diffusion 1.5 at 512 pixels and of XL at 1024 are made on the device. The
plugin's run (prompts, sampler, progress) and a bare loop with diffusers' UNet and Euler take turns in one process with
the same weights; then both UNets go through `torch.compile` and the same is measured again. Decoding is left out.
Numbers are medians; `plugin_of_plain` is that of neighbouring runs, above 1 where the plugin is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sd_loops import bare_latents, own_latents
from sd_models import NEEDS_TORCH, part_configs, random_checkpoint, show

SIZES = {"sd15": 512, "sdxl": 1024}
TINY_SIZE = 64

Loops = dict[str, Callable[[int], Any]]


def loops_of(checkpoint: Any, plain: Any, size: int) -> Loops:
    """Return both loops as functions of the number of steps."""
    return {
        "plain": lambda steps: bare_latents(checkpoint, steps, size, plain),
        "plugin": lambda steps: own_latents(checkpoint, steps, size),
    }


def plain_unet(kind: str, checkpoint: Any, is_tiny: bool) -> Any:
    """Return a UNet as diffusers makes it, with the weights of the checkpoint's in the same place of memory."""
    import torch

    from stable_core_sd.model_classes import UNet2DConditionModel

    with torch.device("meta"):
        plain = UNet2DConditionModel.from_config(part_configs(kind, is_tiny)["unet"])
    plain.load_state_dict(checkpoint.unet.state_dict(), assign=True)
    return plain.eval()


def seconds_of(loop: Callable[[int], Any], steps: int) -> float:
    """Return how long a run takes until its latents are in main memory, which waits for the device."""
    start = time.perf_counter()
    loop(steps).cpu()
    return time.perf_counter() - start


def compare(loops: Loops, steps: int, runs: int) -> dict[str, float]:
    """Return the steps per second of both loops, and how long their first steps took, with which kernels are chosen."""
    first = {f"{name}_first_seconds": round(seconds_of(loop, 2), 2) for name, loop in loops.items()}
    found: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(runs):
        for name in loops if turn % 2 else reversed(loops):
            found[name].append(steps / seconds_of(loops[name], steps))
    speeds = {f"{name}_steps_per_second": round(statistics.median(each), 3) for name, each in found.items()}
    shares = [own / bare for own, bare in zip(found["plugin"], found["plain"], strict=True)]
    return {**speeds, "plugin_of_plain": round(statistics.median(shares), 3), **first}


def measure(kind: str, dtype: str, device: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one model in one format, as it is and compiled."""
    import torch

    checkpoint = random_checkpoint(kind, dtype, device, options.tiny)
    plain = plain_unet(kind, checkpoint, options.tiny)
    loops = loops_of(checkpoint, plain, TINY_SIZE if options.tiny else SIZES[kind])
    results: dict[str, Any] = {"eager": compare(loops, options.steps, options.runs)}
    if options.compile:
        for unet in (plain, checkpoint.unet):
            unet.compile()
        results["compiled"] = compare(loops, options.steps, options.runs)
        torch.compiler.reset()
    if device == "cuda":
        results["peak_mb"] = torch.cuda.max_memory_allocated() // 2**20
        torch.cuda.reset_peak_memory_stats()
    return results


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--dtypes", nargs="+", default=["float16", "bfloat16"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--tiny", action="store_true", help="tiny models, on the CPU where there is no GPU")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    try:
        import torch
    except ModuleNotFoundError:
        print(json.dumps(NEEDS_TORCH))
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        print(json.dumps({"skipped": "this machine has no CUDA GPU; --tiny shows that the benchmark works"}))
        return
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "steps": options.steps,
        "runs": options.runs,
        "load_before": os.getloadavg(),
    }
    for kind in options.models:
        for dtype in options.dtypes:
            results[f"{kind}_{'tiny' if options.tiny else SIZES[kind]}_{dtype}"] = measure(kind, dtype, device, options)
    show(results, options.out)


if __name__ == "__main__":
    main()
