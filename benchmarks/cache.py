"""Run a graph of 50 jobs, restart the server, run it again: nothing may run. `python benchmarks/cache.py`."""

from __future__ import annotations

import argparse
import time
from typing import Any

from bench import ServerProcess, fresh_home, median, report, running


def chain(length: int, last: int = 1) -> dict[str, Any]:
    """Return a graph document of `length` jobs in a row; `last` is what the last one adds."""
    jobs: dict[str, Any] = {"0": {"job": "chain.start"}}
    for index in range(1, length):
        amount = last if index == length - 1 else 1
        jobs[str(index)] = {
            "job": "chain.add",
            "inputs": {"number": {"job": str(index - 1)}},
            "params": {"amount": amount},
        }
    return {"version": 1, "jobs": jobs}


def run(server: ServerProcess, document: dict[str, Any]) -> tuple[float, int]:
    """Run a graph; return milliseconds until its last job has ended and how many jobs a worker ran."""
    start = time.perf_counter()
    graph = server.post("/v1/graphs", document)
    last = graph["jobs"][str(len(graph["jobs"]) - 1)]
    if last["state"] != "succeeded":
        last = server.get(f"/v1/jobs/{last['id']}?wait=60")
    milliseconds = (time.perf_counter() - start) * 1000
    assert last["state"] == "succeeded", last["error"]
    jobs = server.get(f"/v1/jobs?graph={graph['id']}&limit=100")
    return milliseconds, sum(not job["cached"] for job in jobs)


def main() -> None:
    """Measure and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=50)
    wanted = parser.parse_args()
    with fresh_home("chain") as home:
        with running(home) as server:
            first, executed = run(server, chain(wanted.nodes))
            again = [run(server, chain(wanted.nodes)) for _ in range(5)]
        with running(home) as server:
            restarted = [run(server, chain(wanted.nodes)) for _ in range(5)]
            _, changed = run(server, chain(wanted.nodes, last=2))
    report(
        "cache",
        {
            "nodes": wanted.nodes,
            "first_run": {"ms": round(first, 1), "executed": executed},
            "unchanged": {"ms": median([ms for ms, _ in again]), "executed": sum(count for _, count in again)},
            "unchanged_after_restart": {
                "first_ms": round(restarted[0][0], 1),
                "ms": median([ms for ms, _ in restarted]),
                "executed": sum(count for _, count in restarted),
            },
            "last_node_changed": {"executed": changed},
        },
    )


if __name__ == "__main__":
    main()
