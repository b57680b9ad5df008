"""How long a checkpoint of the size of Stable Diffusion 1.5 takes to load, and how much memory. No run is measured.

    python benchmarks/sd_load.py [--runs 3] [--out FILE]            with the sd plugin's own Python

Random weights of the true shapes are written to a temporary folder as one fp16 file (2.1 GB; the UNet is 1.7 of them).
Every measurement is a new process with the file in the page cache: reading it, then, in the format of the file and in
32 bits, diffusers' own loading of the same UNet and VAE and the plugin's loading of all three models. Then two are used
in turns in one process. On a busy machine the CPU seconds tell more; diffusers maps the file and reads it when it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sd15_file import write_sd15_file
from sd_models import NEEDS_TORCH, PATHS, show

START = f"""
import json, resource, sys, time
from pathlib import Path
sys.path[:0] = {PATHS!r}
path = Path(sys.argv[1])
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1024
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def done(**more):
    spent = {{"seconds": time.perf_counter() - start[0], "cpu_seconds": time.process_time() - start[1]}}
    print(json.dumps({{**spent, "peak_mb": peak() - before, **more}}))
def now():
    return time.perf_counter(), time.process_time()
"""
READ = """
before, start = resident(), now()
buffer = bytearray(2**24)
with path.open("rb", buffering=0) as file:
    while file.readinto(buffer):
        pass
done()
"""
DIFFUSERS = """
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from stable_core_sd.single_file import CONFIGS
before, start = resident(), now()
models = [
    kind.from_single_file(
        str(path), config=str(CONFIGS / "sd15"), subfolder=part, torch_dtype=getattr(torch, sys.argv[2])
    )
    for kind, part in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae"))
]
done()
"""
PLUGIN = """
import torch
from stable_core_sd.checkpoint import load_checkpoint
dtype = getattr(torch, sys.argv[2])
before, start = resident(), now()
loaded = load_checkpoint(path, torch.device("cpu"), dtype)
models = [loaded.unet, loaded.vae, loaded.text_encoder]
size = sum(weight.nbytes for model in models for weight in model.parameters())
done(model_mb=size / 2**20)
"""
SWITCH = """
import shutil, statistics
from stable_core_sd.checkpoint_store import get_checkpoint
from stable_core_sd.settings import SdSettings
other = path.with_name("other.safetensors")
other.hardlink_to(path)
settings = SdSettings(precision="fp16", checkpoints_in_memory=2)
before = resident()
for one in (path, other):
    get_checkpoint(one, settings)
seconds = []
for turn in range(20):
    start = now()
    get_checkpoint((path, other)[turn % 2], settings)
    seconds.append(time.perf_counter() - start[0])
other.unlink()
start = now()
done(switch_seconds=statistics.median(seconds), slowest=max(seconds))
"""


def measure(code: str, path: Path, runs: int, *arguments: str) -> dict[str, float]:
    """Return the medians of what new processes print."""
    command = [sys.executable, "-c", START + code, str(path), *arguments]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    found: list[dict[str, float]] = []
    for _ in range(runs):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: round(statistics.median(one[name] for one in found), 3) for name in found[0]}


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"runs": options.runs, "load_before": os.getloadavg()}
    with tempfile.TemporaryDirectory(prefix="sd-load-") as folder:
        path = Path(folder) / "model.safetensors"
        try:
            write_sd15_file(path)
        except ModuleNotFoundError:
            print(json.dumps(NEEDS_TORCH))
            return
        results["file_mb"] = round(path.stat().st_size / 2**20)
        results["read"] = measure(READ, path, options.runs + 1)
        for dtype in ("float16", "float32"):
            theirs = measure(DIFFUSERS, path, options.runs, dtype)
            ours = measure(PLUGIN, path, options.runs, dtype)
            ours["peak_of_model"] = round(ours["peak_mb"] / ours["model_mb"], 3)
            for unit in ("seconds", "cpu_seconds"):
                ours[f"{unit}_of_read_and_diffusers"] = round(ours[unit] / (results["read"][unit] + theirs[unit]), 3)
            results |= {f"diffusers_unet_and_vae_{dtype}": theirs, f"plugin_{dtype}": ours}
        results["back_to_a_kept_checkpoint"] = measure(SWITCH, path, 1)
    results["load_after"] = os.getloadavg()
    show(results, options.out)


if __name__ == "__main__":
    main()
