"""What the sd plugin adds to a bare diffusers loop, and how long a picture takes. Run it with the plugin's own Python.

    python benchmarks/sd_overhead.py [--threads 2] [--runs 15] [--sd15 [256 512]] [--out FILE]

The same UNet runs in both loops, in turns, in one process; the medians of pairs are compared. It measures no quality.
`--sd15` runs the shape of Stable Diffusion 1.5 too, two steps at a time, at sides of 256 and 512 pixels or those given:
some 20 and 14 steps in all, about five minutes on two cores, and 5 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sd_loops import PROMPT, bare_latents, own_latents
from sd_models import NANO, NEEDS_TORCH, PATHS, random_checkpoint, show

FIRST_PICTURE = """
import sys, time
start = time.perf_counter()
sys.path[:0] = {paths!r}
from stable_core.sdk import Progress, Text
from stable_core_sd.plugin import Txt2ImgParams, txt2img
list(txt2img(Text({prompt!r}), Txt2ImgParams(seed=7), Progress()))
print(time.perf_counter() - start, time.process_time())
"""


def compare(checkpoint: Any, steps: int, size: int, runs: int) -> dict[str, float]:
    """Return medians of both loops in seconds per step, and of the overhead of neighbouring runs."""
    loops: dict[str, Callable[[Any, int, int], Any]] = {"bare": bare_latents, "own": own_latents}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop(checkpoint, max(steps // 4, 1), size)  # first calls choose kernels
    for turn in range(runs):
        for name in loops if turn % 2 else reversed(loops):
            start, cpu_start = time.perf_counter(), time.process_time()
            loops[name](checkpoint, steps, size)
            seconds[name].append((time.perf_counter() - start) / steps)
            cpu_seconds[name].append((time.process_time() - cpu_start) / steps)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    cpu_medians = {name: statistics.median(each) for name, each in cpu_seconds.items()}
    shares = [own / bare - 1 for own, bare in zip(seconds["own"], seconds["bare"], strict=True)]
    return {
        "bare_seconds_per_step": round(medians["bare"], 6),
        "own_seconds_per_step": round(medians["own"], 6),
        "overhead_percent": round(100 * (medians["own"] / medians["bare"] - 1), 2),
        "overhead_percent_of_cpu_time": round(100 * (cpu_medians["own"] / cpu_medians["bare"] - 1), 2),
        "overhead_percent_of_pairs": round(100 * statistics.median(shares), 2),
        "overhead_percent_of_fastest": round(100 * (min(seconds["own"]) / min(seconds["bare"]) - 1), 2),
    }


def picture_seconds(runs: int) -> dict[str, float]:
    """Return how long a 20-step picture of the built-in model takes once it is loaded, from prompt to pixels."""
    from stable_core.sdk import Progress, Text
    from stable_core_sd.plugin import Txt2ImgParams, txt2img

    seconds = []
    for seed in range(runs + 1):
        start = time.perf_counter()
        list(txt2img(Text(PROMPT), Txt2ImgParams(seed=seed), Progress()))
        seconds.append(time.perf_counter() - start)
    return {"median": round(statistics.median(seconds[1:]), 4), "fastest": round(min(seconds[1:]), 4)}


def first_picture_seconds(runs: int) -> dict[str, float]:
    """Return how long a new process takes from its first line to its first picture."""
    code = FIRST_PICTURE.format(paths=PATHS, prompt=PROMPT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = []
    for _ in range(runs + 1):  # the first run compiles modules and fills the page cache
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found.append([float(number) for number in done.stdout.split()])
    wall, cpu = (statistics.median(column) for column in zip(*found[1:], strict=True))
    return {"wall": round(wall, 2), "cpu": round(cpu, 2)}


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=15)
    sides = {"nargs": "*", "type": int, "metavar": "SIDE"}
    parser.add_argument("--sd15", **sides, help="also at the shape of Stable Diffusion 1.5; 256 and 512 by default")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    try:
        import torch
    except ModuleNotFoundError:
        print(json.dumps(NEEDS_TORCH))
        return
    from stable_core_sd.checkpoint_store import get_checkpoint

    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"threads": options.threads, "runs": options.runs, "load_before": os.getloadavg()}
    results["first_picture_of_a_new_process_seconds"] = first_picture_seconds(3)
    results["nano_20_steps_seconds"] = picture_seconds(options.runs)
    nano = get_checkpoint(NANO)
    results["nano_128"] = compare(nano, 20, 128, options.runs)
    if options.sd15 is not None:
        checkpoint = random_checkpoint()
        for side in options.sd15 or (256, 512):
            runs = max(options.runs // (3 if side < 512 else 5), 1)  # the larger, the less do other things count
            results[f"sd15_{side}"] = compare(checkpoint, 2, side, runs)
            print(f"sd15_{side}: {results[f'sd15_{side}']}", file=sys.stderr, flush=True)
        results["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    results["load_after"] = os.getloadavg()
    show(results, options.out)


if __name__ == "__main__":
    main()
