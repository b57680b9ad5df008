"""Whole runs of the sd plugin against loops written once more from the papers. Run it with the plugin's own Python.

    python benchmarks/sd_parity.py [--size 64] [--steps 3] [--batch 4] [--samplers "Euler"] [--tiny] [--out FILE]

A single file with random weights, of the true shape of Stable Diffusion 1.5, is made in a temporary folder and loaded
like any other. For every sampler it tells how far the clean latents are from those of the loop, as a share of the
largest, and how far a batch of four is from four single runs. All samplers take some 300 calls of the model and 100 of
DPM adaptive, which at the default size is some minutes on two cores, and 5 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sd15_file import write_sd15_file
from sd_loops import CFG_SCALE, SEED, encoded_texts, own_latents
from sd_models import NEEDS_TORCH, show


def write_checkpoint(path: Path, is_tiny: bool) -> None:
    """Write a single file in the original layout with random weights; the plugin reads tiny ones from now on."""
    import tiny

    from stable_core_sd import single_file

    if is_tiny:
        tiny.write_single_file(path, tiny.make_models())
        single_file.CONFIGS = path.with_name("configs")
        tiny.write_configs(single_file.CONFIGS / "sd15")
    else:
        write_sd15_file(path)


def loop_latents(checkpoint: Any, sampler: str, steps: int, size: int, times: Sequence[float]) -> Any:
    """Return the clean latents that the loop of the papers makes; `times` as in `reference.Latents`."""
    from reference import Latents, reference_latents

    negative, prompt = encoded_texts(checkpoint, steps, size)[0].split(1)
    latents = Latents(checkpoint.unet, negative, prompt, CFG_SCALE, [SEED], (4, size // 8, size // 8), times)
    return reference_latents(latents, sampler, steps)


def compare(checkpoint: Any, sampler: str, steps: int, size: int, count: int) -> dict[str, float]:
    """Return both distances of one sampler, with a batch of `count` pictures, and how long it took."""
    import torch
    from reference import ends_of_steps
    from runs import asked_levels

    start = time.perf_counter()
    # The pictures of DPM adaptive are made one at a time, and it takes a hundred calls of the model for each.
    seeds = [SEED + index for index in range(1 if sampler == "DPM adaptive" else count)]
    with asked_levels() as levels:
        first = own_latents(checkpoint, steps, size, sampler, (SEED,))
    times = ends_of_steps(levels) if sampler == "DPM adaptive" else []
    singles = torch.cat([first, *(own_latents(checkpoint, steps, size, sampler, (seed,)) for seed in seeds[1:])])
    batch = own_latents(checkpoint, steps, size, sampler, tuple(seeds)) if len(seeds) > 1 else singles
    expected = loop_latents(checkpoint, sampler, steps, size, times)
    return {
        "from_loop": _distance(singles[:1], expected),
        "batch_from_singles": _distance(batch, singles),
        "largest": round(float(expected.abs().max()), 3),
        "seconds": round(time.perf_counter() - start, 1),
    }


def _distance(found: Any, expected: Any) -> float:
    return float(f"{float((found - expected).abs().max() / expected.abs().max()):.2e}")


def main() -> None:
    """Print the distances as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4, help="pictures of a batch; 1 compares with the loop alone")
    parser.add_argument("--samplers", nargs="+", help="only these")
    parser.add_argument("--tiny", action="store_true", help="with the tiny model of the tests")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    try:
        import torch
    except ModuleNotFoundError:
        print(json.dumps(NEEDS_TORCH))
        return
    from stable_core_sd.checkpoint_store import get_checkpoint
    from stable_core_sd.names import SAMPLERS

    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"size": options.size, "steps": options.steps, "samplers": {}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        write_checkpoint(path, options.tiny)
        results["file_bytes"] = path.stat().st_size
        checkpoint = get_checkpoint(path)
        for sampler in options.samplers or [one.label for one in SAMPLERS]:
            results["samplers"][sampler] = compare(checkpoint, sampler, options.steps, options.size, options.batch)
            print(f"{sampler}: {results['samplers'][sampler]}", file=sys.stderr, flush=True)
    show(results, options.out)


if __name__ == "__main__":
    main()
