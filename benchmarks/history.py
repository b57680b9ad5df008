"""Compare a home with 200,000 jobs in its history to an empty one. `python benchmarks/history.py`."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

from bench import Connection, ServerProcess, event_stream, fresh_home, report, running, spread

NOOP = json.dumps({"job": "noop.noop"}).encode()


def fill(home: Path, count: int) -> None:
    """Multiply the jobs that are there until there are `count`, with their events."""
    database = sqlite3.connect(home / "stable-core.db")
    columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)") if row[1] not in ("number", "id")]
    names = ",".join(columns)
    while (have := database.execute("SELECT count(*) FROM jobs").fetchone()[0]) < count:
        database.execute(
            f"INSERT INTO jobs (id, {names}) SELECT lower(hex(randomblob(10))), {names} FROM jobs LIMIT ?",
            (count - have,),
        )
    database.execute(
        "INSERT INTO events (time, type, job, graph, owner, data)"
        " SELECT created, 'job.succeeded', id, graph, owner, '{}' FROM jobs"
    )
    database.commit()
    database.close()


async def measure(server: ServerProcess, rounds: int) -> dict[str, Any]:
    """Time a list page and a job."""
    listed, done = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        server.get("/v1/jobs?limit=50")
        listed.append((time.perf_counter() - start) * 1000)
    connection = await Connection.open(server.port)
    events = event_stream(server.port)
    await anext(events)
    for _ in range(rounds):
        start = time.perf_counter()
        job = json.loads(await connection.post("/v1/jobs", NOOP))
        async for event in events:
            if event["type"] == "job.succeeded" and event["job"] == job["id"]:
                break
        done.append((time.perf_counter() - start) * 1000)
    await events.aclose()
    return {"list_page_ms": spread(listed), "submit_to_succeeded_ms": spread(done)}


def main() -> None:
    """Measure and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=300)
    wanted = parser.parse_args()
    with fresh_home("noop") as small, fresh_home("noop") as large:
        with running(small) as server:
            for _ in range(60):
                server.run("noop.noop")
        shutil.copytree(small, large, dirs_exist_ok=True)
        fill(large, wanted.jobs)
        starts: dict[str, list[float]] = {"small": [], "large": []}
        for _ in range(5):  # in turn, so that both see the same machine
            for name, home in (("small", small), ("large", large)):
                with running(home) as server:
                    starts[name].append(server.ready_seconds)
        with running(small) as first, running(large) as second:
            first.run("noop.noop"), second.run("noop.noop")
            numbers = {
                "small": asyncio.run(measure(first, wanted.rounds)),
                "large": asyncio.run(measure(second, wanted.rounds)),
            }
    for name, seconds in starts.items():
        numbers[name]["restart_seconds"] = spread(seconds)
    ratios = {key: round(numbers["large"][key]["p50"] / numbers["small"][key]["p50"], 2) for key in numbers["small"]}
    report("history", {"jobs": wanted.jobs, **numbers, "large_over_small": ratios})


if __name__ == "__main__":
    main()
