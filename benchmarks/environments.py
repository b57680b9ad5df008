"""What a new plugin environment costs with a warm cache, in seconds and disk. `python benchmarks/environments.py`."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import report

from stable_core.environments import Environments, EnvironmentSpec

KINDS = {
    "small": ("markupsafe==3.0.4", "iniconfig==2.3.1"),
    "with torch": ("torch==2.13.0", "safetensors==0.8.0"),
}


def own_bytes(folder: Path) -> int:
    """Return the disk space that an environment takes: files shared with others do not count."""
    stats = [path.lstat() for path in folder.rglob("*")]
    return sum(getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512 for stat in stats if stat.st_nlink == 1)


async def build_one(home: Path, dependencies: tuple[str, ...], *, is_new_lock: bool) -> dict[str, Any]:
    """Make one environment and remove it again; with `is_new_lock` its versions are chosen too."""
    environments = Environments(home)
    spec = EnvironmentSpec(dependencies)
    if is_new_lock:
        shutil.rmtree(home / "locks", ignore_errors=True)
    start = time.perf_counter()
    python = await environments.ensure(spec)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    await environments.ensure(spec)
    ready_seconds = time.perf_counter() - start
    megabytes = own_bytes(python.parent.parent) / 2**20
    shutil.rmtree(python.parent.parent)
    return {"seconds": seconds, "ready_seconds": ready_seconds, "megabytes": megabytes}


async def measure(runs: int) -> dict[str, Any]:
    """Return medians per kind; a first build that is not counted warms uv's cache."""
    found: dict[str, Any] = {"runs": runs}
    with tempfile.TemporaryDirectory() as folder:
        for kind, dependencies in KINDS.items():
            await build_one(Path(folder), dependencies, is_new_lock=True)
            for is_new_lock in (True, False):
                results = [await build_one(Path(folder), dependencies, is_new_lock=is_new_lock) for _ in range(runs)]
                name = f"{kind}, {'versions to be chosen' if is_new_lock else 'locked'}"
                medians = {each: statistics.median(result[each] for result in results) for each in results[0]}
                found[name] = {each: round(value, 4) for each, value in medians.items()}
    return found


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    report("environments", asyncio.run(measure(parser.parse_args().runs)))


if __name__ == "__main__":
    main()
