"""What the backend costs around a job: latency, throughput, CPU, start, memory. `python benchmarks/overhead.py`."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

from bench import Connection, ServerProcess, event_stream, fresh_home, median, report, running, spread

NOOP = json.dumps({"job": "noop.noop"}).encode()


async def latency(server: ServerProcess, jobs: int) -> dict[str, Any]:
    """Submit one job after the other; time the answer and the succeeded event on a WebSocket."""
    acked, done = [], []
    connection = await Connection.open(server.port)
    events = event_stream(server.port)
    await anext(events)
    for _ in range(jobs):
        start = time.perf_counter()
        job = json.loads(await connection.post("/v1/jobs", NOOP))
        acked.append((time.perf_counter() - start) * 1000)
        async for event in events:
            if event["type"] == "job.succeeded" and event["job"] == job["id"]:
                break
        done.append((time.perf_counter() - start) * 1000)
    await events.aclose()
    return {"ack_ms": spread(acked), "submit_to_succeeded_ms": spread(done)}


async def sequential(server: ServerProcess, jobs: int) -> dict[str, Any]:
    """Run jobs one after the other from one client that waits for each result in the same call."""
    connection = await Connection.open(server.port)
    start = time.perf_counter()
    for _ in range(jobs):
        assert json.loads(await connection.post("/v1/jobs?wait=30", NOOP))["state"] == "succeeded"
    return {"sequential_jobs_per_second": round(jobs / (time.perf_counter() - start))}


async def throughput(server: ServerProcess, jobs: int, clients: int) -> dict[str, Any]:
    """Submit from many clients at once; the time ends with the last succeeded event."""
    events = event_stream(server.port)
    await anext(events)
    connections = [await Connection.open(server.port) for _ in range(clients)]

    async def submit_all(connection: Connection) -> None:
        for _ in range(jobs // clients):
            await connection.post("/v1/jobs", NOOP)

    async def all_done() -> None:
        count = 0
        async for event in events:
            count += event["type"] == "job.succeeded"
            if count == jobs // clients * clients:
                return

    cpu, start = server.cpu_seconds, time.perf_counter()
    await asyncio.gather(all_done(), *(submit_all(connection) for connection in connections))
    seconds, cpu = time.perf_counter() - start, server.cpu_seconds - cpu
    await events.aclose()
    return {
        "clients": clients,
        "jobs_per_second": round(jobs / seconds),
        "server_cpu_ms_per_job": round(cpu / jobs * 1000, 3),
    }


async def progress(server: ServerProcess, jobs: int) -> dict[str, Any]:
    """Time the first progress report of a job from the running event's clock to the client."""
    latencies = []
    connection = await Connection.open(server.port)
    events = event_stream(server.port)
    await anext(events)
    for _ in range(jobs):
        await connection.post("/v1/jobs", json.dumps({"job": "noop.noop", "params": {"steps": 1}}).encode())
        async for event in events:
            if event["type"] == "job.progress":
                latencies.append((time.time() - event["time"]) * 1000)
            if event["type"] == "job.succeeded":
                break
    await events.aclose()
    return {"progress_event_ms": spread(latencies)}


def start_and_memory(runs: int) -> dict[str, Any]:
    """Time `serve` from spawn to a good /healthz and read the idle memory."""
    seconds, memory = [], []
    with fresh_home("noop") as home:
        with running(home):
            pass  # the first start fills the announcement cache
        for _ in range(runs):
            with running(home) as server:
                seconds.append(server.ready_seconds)
                memory.append(server.memory_mb)
    return {"serve_to_healthz_seconds": median(seconds), "idle_memory_mb": median(memory, 1)}


def main() -> None:
    """Measure and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--durability", choices=["normal", "full"], default="normal")
    wanted = parser.parse_args()
    numbers: dict[str, Any] = {"durability": wanted.durability, **start_and_memory(5)}
    with fresh_home("noop") as home, running(home, STABLE_CORE_DURABILITY=wanted.durability) as server:
        server.run("noop.noop")
        for _ in range(100):
            server.run("noop.noop")
        numbers |= asyncio.run(latency(server, wanted.jobs))
        numbers |= asyncio.run(sequential(server, wanted.jobs))
        numbers |= asyncio.run(progress(server, 300))
        numbers |= asyncio.run(throughput(server, wanted.jobs * 5, wanted.clients))
        numbers["memory_after_mb"] = round(server.memory_mb, 1)
    report("overhead", numbers)


if __name__ == "__main__":
    main()
