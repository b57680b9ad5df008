"""Whether prompt and negative prompt are faster in one call of a UNet than in two. Run it with the sd plugin's Python.

    python benchmarks/sd_batching.py [--threads 1 2] [--only nano_128 sd15_256 sd15_512] [--runs 5] [--out FILE]

Seconds of one call with both and of two calls with one each, in turns, in one process; medians. No loop is measured.
The shape of Stable Diffusion 1.5 takes 4 GB of memory and, at 512 pixels, ten seconds a step on a slow core.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from sd_loops import encoded_texts
from sd_models import NANO, NEEDS_TORCH, random_checkpoint, show

CASES = {"nano_128": 128, "sd15_256": 256, "sd15_512": 512}


def compare(checkpoint: Any, size: int, runs: int) -> dict[str, float]:
    """Return the medians of both ways, and of one as a share of the other in neighbouring runs."""
    import torch

    with torch.inference_mode():
        text, _ = encoded_texts(checkpoint, 1, size)
        latents = torch.randn(2, 4, size // 8, size // 8)
        timestep = torch.tensor([500.0])

        def seconds(*rows: slice) -> float:
            start = time.perf_counter()
            for some in rows:
                checkpoint.unet(latents[some], timestep, encoder_hidden_states=text[some], return_dict=False)
            return time.perf_counter() - start

        together, apart = (slice(0, 2),), (slice(0, 1), slice(1, 2))
        seconds(*together)
        seconds(*apart)  # first calls choose kernels
        pairs = [(seconds(*together), seconds(*apart)) for _ in range(runs)]
    return {
        "one_call_seconds": round(statistics.median(one for one, _ in pairs), 5),
        "two_calls_seconds": round(statistics.median(two for _, two in pairs), 5),
        "one_of_two": round(statistics.median(one / two for one, two in pairs), 3),
        "one_of_two_fastest": round(min(one for one, _ in pairs) / min(two for _, two in pairs), 3),
    }


sd15 = functools.cache(random_checkpoint)


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument(
        "--runs", type=int, default=5, help="at the shape of Stable Diffusion 1.5; nano makes ten times"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    try:
        import torch
    except ModuleNotFoundError:
        print(json.dumps(NEEDS_TORCH))
        return
    from stable_core_sd.checkpoint_store import get_checkpoint

    results: dict[str, Any] = {"runs": options.runs, "load_before": os.getloadavg()}
    for case in options.only:
        if case.startswith("nano"):
            checkpoint, runs = get_checkpoint(NANO), 10 * options.runs
        else:
            checkpoint, runs = sd15(), options.runs
        for threads in options.threads:
            torch.set_num_threads(threads)
            results[f"{case}_threads_{threads}"] = compare(checkpoint, CASES[case], runs)
    results["load_after"] = os.getloadavg()
    show(results, options.out)


if __name__ == "__main__":
    main()
