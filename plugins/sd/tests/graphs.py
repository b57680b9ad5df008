"""Runs the jobs that an invocation describes, one after the other, in this process. For tests only."""

from __future__ import annotations

from typing import Any

from stable_core.sdk import Job, Progress


def run(jobs: Any) -> list[Any]:
    """Return what jobs make in their order: a list each if their port makes several; a shared job runs once."""
    made: dict[int, list[Any]] = {}

    def values(value: Any) -> list[Any]:
        if isinstance(value, Job):
            return of(value)
        if isinstance(value, list):
            return [one for item in value for one in values(item)]
        return [value]

    def of(job: Job[Any]) -> list[Any]:
        if id(job) not in made:
            inputs = {}
            for port in job.signature.inputs:
                if job.inputs.get(port.name) is not None:
                    found = values(job.inputs[port.name])
                    inputs[port.name] = found if port.is_list else found[0]
            result = job.signature.call(inputs, job.params, Progress())
            made[id(job)] = [value for _, value in job.signature.outputs_of(result)]
        return made[id(job)]

    return [one for job in (jobs if isinstance(jobs, list) else [jobs]) for one in of(job)]
