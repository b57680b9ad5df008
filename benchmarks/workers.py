"""How fast workers come and go: hello, kill and replace, crash and requeue. `python benchmarks/workers.py`."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import PLUGINS, ServerProcess, event_stream, fresh_home, report, running, spread

from stable_core.environments import Environments, EnvironmentSpec
from stable_core.hosts.local import LocalHost
from stable_core.worker_process import WorkerProcess


async def starts(rounds: int) -> dict[str, Any]:
    """Start a light plugin's worker, kill it, start the next one."""
    hello, replaced = [], []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        python = await Environments(home).ensure(EnvironmentSpec())
        host = LocalHost(home)
        killed = 0.0
        for index in range(rounds + 1):
            gone = asyncio.Event()
            worker = WorkerProcess("noop", "0", "cpu", home, lambda _, gone=gone: gone.set())
            start = time.perf_counter()
            await worker.start(host, python, PLUGINS / "noop.py", "", {"PYDANTIC_DISABLE_PLUGINS": "__all__"}, 60)
            if index:  # the first one writes its byte code
                hello.append((time.perf_counter() - start) * 1000)
                replaced.append((time.perf_counter() - killed) * 1000)
            killed = time.perf_counter()
            worker.kill()
            await gone.wait()
    return {"start_to_hello_ms": spread(hello, 1), "kill_to_new_worker_ms": spread(replaced, 1)}


async def crashes(server: ServerProcess, rounds: int) -> dict[str, Any]:
    """Let a job kill its worker; time from its last words to the event that queues it again."""
    seen = []
    for _ in range(rounds):
        events = event_stream(server.port)
        await anext(events)
        job = server.post("/v1/jobs", {"job": "crash.die"})
        async for event in events:
            if event["job"] == job["id"] and event["type"] == "job.queued" and event["data"].get("error"):
                words = event["data"]["error"]["message"]
                seen.append((event["time"] - float(words.rpartition("died at ")[2].split()[0])) * 1000)
            if event["job"] == job["id"] and event["type"] == "job.failed":
                break
        await events.aclose()
    return {"crash_to_requeued_ms": spread(seen, 1)}


def main() -> None:
    """Measure and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    wanted = parser.parse_args()
    numbers = asyncio.run(starts(wanted.rounds))
    with fresh_home("crash") as home, running(home) as server:
        server.run("crash.live")
        numbers |= asyncio.run(crashes(server, wanted.rounds))
    report("workers", numbers)


if __name__ == "__main__":
    main()
