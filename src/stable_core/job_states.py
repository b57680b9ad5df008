"""A job's way through its states, as rows and events: added, put back, ended, retried, unfolded. It knows no worker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Any

from stable_core import graphs
from stable_core.errors import InputFailed, InvalidInput, StableCoreError
from stable_core.plugin_registry import PluginRegistry
from stable_core.sdk.jobs import JobState
from stable_core.store import Row, Store, new_id

MAX_DEPTH = 20  # of jobs that stand in place of jobs


class JobStates:
    """Changes jobs' rows inside the store's open transaction and tells who follows them.

    Args:
        admit: takes each job that became `queued`.
        forget: gets the id of each job that ended.
    """

    def __init__(
        self, store: Store, registry: PluginRegistry, admit: Callable[[Row], None], forget: Callable[[str], None]
    ) -> None:
        self._store = store
        self._registry = registry
        self._admit = admit
        self._forget = forget
        # How many jobs have ended in each state since the start.
        self.counts: Counter[str] = Counter()
        # By job, what those wait at who want to know its end.
        self._endings: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._to_release: deque[str] = deque()
        self._is_releasing = False

    def expand(self, row: Row, requests: dict[str, Any], results: list[str] | None = None) -> None:
        """Put jobs in place of one: it waits for them and its outputs will be theirs.

        Raises:
            InvalidInput: jobs in place of jobs go on for ever.
        """
        depth = row["options"].get("depth", 0) + 1
        if depth > MAX_DEPTH:
            raise InvalidInput(f"Invocations are nested more than {MAX_DEPTH} deep", "Does one of them return itself?")
        ids = {key: new_id() for key in requests}
        expanded = {"results": [ids[key] for key in (requests if results is None else results)]}
        progress = {"step": 0, "total": len(ids), "message": ""}
        self._store.update_job(row["id"], JobState.WAITING, expanded=expanded, progress=progress)
        self.tell(row, "job.waiting", {"jobs": list(ids.values())})
        shared = {name: row[name] for name in ("owner", "priority", "graph", "timeout")}
        shared["options"] = {**row["options"], "map": "zip", "depth": depth}
        for key, request in requests.items():
            inputs = graphs.with_job_ids(request["inputs"], ids)
            child = {"id": ids[key], "parent": row["id"], "job": request["job"], "params": request["params"]}
            self.insert({**shared, **child, "inputs": inputs})
        for job_id in ids.values():  # only now: a child answered from the cache must not end it before the others exist
            self._store.add_wait(row["id"], job_id)
        self._count(row["id"], sum(self._store.job(job_id)["state"].is_final for job_id in ids.values()))
        self.release(row["id"])

    def insert(self, columns: Row) -> None:
        """Add a job's row, its waits and uses, and admit it when it waits for nothing."""
        waits_for = graphs.named_in(columns["inputs"], "job")
        unfinished = [job_id for job_id in waits_for if self._store.job(job_id)["state"] is not JobState.SUCCEEDED]
        state = JobState.WAITING if unfinished else JobState.QUEUED
        row = {"created": time.time(), "plugin": columns["job"].partition(".")[0], "state": state, **columns}
        row["number"] = self._store.insert_job(row)
        for job_id in waits_for:
            self._store.add_wait(row["id"], job_id)
        for artifact_id in graphs.named_in(columns["inputs"], "artifact"):
            self._store.use_artifact(artifact_id, row["id"])
        self.tell(row, f"job.{state}", {"job": row["job"]})
        if not unfinished:
            self._admit(row)
        elif any(self._store.job(job_id)["state"].is_final for job_id in unfinished):
            self.release(row["id"])

    def requeue(self, row: Row, error: StableCoreError | None = None) -> None:
        """Queue a job that has waited, or that ran when its worker or the server died."""
        data = {"job": row["job"], "attempt": row["attempt"], "error": error.to_dict() if error else None}
        if self._store.update_job(row["id"], JobState.QUEUED, attempt=row["attempt"], outputs={}):
            self.tell(row, "job.queued", data)
            self._admit({**row, "state": JobState.QUEUED})

    def tell(self, row: Row, kind: str, data: Any) -> None:
        """Append an event of a job."""
        self._store.add_event(kind, data, row["id"], row["graph"], row["owner"])

    def fail(self, row: Row, error: StableCoreError, **columns: Any) -> None:
        """End a job as failed."""
        logging.getLogger("stable_core").warning("%s %s: %s", row["job"], row["id"], error.message)
        self.finish(row, JobState.FAILED, error=error.to_dict(), **columns)

    def finish(self, row: Row, state: JobState, **columns: Any) -> None:
        """End a job and look again at the jobs that wait for it; one that has ended stays as it is."""
        job_id = row["id"]
        self._forget(job_id)
        outputs = columns.get("outputs") or {}
        if not self._store.update_job(job_id, state, finished=time.time(), **columns):
            return
        for artifact in (artifact for made in outputs.values() for artifact in made):
            self._store.use_artifact(artifact["id"], job_id)
        error = columns.get("error")
        data = {"error": error} if error else {"outputs": outputs, "cached": bool(columns.get("cached"))}
        self.tell(row, f"job.{state}", data)
        self.counts[state] += 1
        if job_id in self._endings:
            self._endings.pop(job_id).set()
        dependents = self._store.dependents(job_id)
        if row["parent"] in dependents:
            self._count(row["parent"], 1)
        self._to_release.extend(dependents)
        if not self._is_releasing:  # a chain of a thousand jobs must not become a thousand nested calls
            self._is_releasing = True
            try:
                while self._to_release:
                    self.release(self._to_release.popleft())
            finally:
                self._is_releasing = False

    def _count(self, job_id: str, ended: int) -> None:
        """Tell that so many more of the jobs in place of a job have ended."""
        parent = self._store.job(job_id)
        if parent["state"] is JobState.WAITING and parent["progress"]:
            progress = {**parent["progress"], "step": parent["progress"]["step"] + ended}
            self._store.update_job(job_id, progress=progress)
            self.tell(parent, "job.progress", progress)

    def release(self, job_id: str) -> None:
        """Look again at a waiting job: run it, finish it or fail it when what it waits for has ended."""
        if self._store.waits_for_children(job_id):
            return
        row = self._store.job(job_id)
        if row["state"] is not JobState.WAITING:
            return
        if row["expanded"] is not None:
            waits = self._store.waits_of(job_id)
            children = {child: waits[child] for child in self._store.children(job_id) if child in waits}
            self._finish_expanded(row, children)
            return
        for waited, state in self._store.waits_of(job_id, (JobState.FAILED, JobState.CANCELLED), limit=1).items():
            name = f"{self._store.job(waited)['job']} {waited}"
            message = f"The job {name}, whose result this needs, {'was ' * (state == 'cancelled')}{state}"
            self.fail(row, InputFailed(message, "Retry that one; this will follow."))
            return
        if not self._store.waits_of(job_id, (JobState.WAITING, JobState.QUEUED, JobState.RUNNING), limit=1):
            self.requeue(row)

    def _finish_expanded(self, row: Row, children: dict[str, JobState]) -> None:
        outputs: dict[str, list[Row]] = {}
        with contextlib.suppress(StableCoreError):  # the plugin may be gone by now
            outputs = {port["name"]: [] for port in self._registry.signature(row["job"])["outputs"]}
        names = list(outputs)
        for child in row["expanded"]["results"]:
            for index, (port, made) in enumerate(self._store.job(child)["outputs"].items()):
                outputs.setdefault(port if port in outputs or index >= len(names) else names[index], []).extend(made)
        bad = [child for child, state in children.items() if state is not JobState.SUCCEEDED]
        if bad:
            error = self._store.job(bad[0])["error"] or {"message": "it was cancelled"}
            message = f"{len(bad)} of its {len(children)} jobs did not succeed; {bad[0]}: {error['message']}"
            self.fail(row, InputFailed(message, "Retry this job: those that succeeded are cached."), outputs=outputs)
        else:
            self.finish(row, JobState.SUCCEEDED, outputs=outputs)

    def retry(self, job_id: str) -> None:
        """Queue a failed or cancelled job again, with the failed ones it needs and those that failed for want of it."""
        cleared: Row = {**dict.fromkeys(("error", "expanded", "finished", "progress")), "attempt": 0, "outputs": {}}
        rows: dict[str, Row] = {}
        others = [job_id]
        while others:
            row = self._store.job(others.pop())
            if row["state"] not in (JobState.FAILED, JobState.CANCELLED) or row["id"] in rows:
                continue
            rows[row["id"]] = row
            self._store.leave_children(row["id"])
            dependents = [self._store.job(dependent) for dependent in self._store.dependents(row["id"])]
            others += self._store.waits_of(row["id"])
            others += [found["id"] for found in dependents if found["expanded"] is None and _lacks_input(found)]
        for row in rows.values():
            waits = self._store.waits_of(row["id"]).values()
            row["state"] = JobState.QUEUED if all(state is JobState.SUCCEEDED for state in waits) else JobState.WAITING
            row |= cleared
            if row["parent"] in self._store.dependents(row["id"]):
                self._count(row["parent"], -1)
            self._store.update_job(row["id"], row["state"], **cleared)
            self.tell(row, f"job.{row['state']}", {"job": row["job"]})
        for row in rows.values():
            self._admit(row) if row["state"] is JobState.QUEUED else self.release(row["id"])

    async def when_finished(self, job_id: str) -> None:
        """Return when the job has ended, or the queue stops."""
        await self._endings[job_id].wait()

    def end_waits(self) -> None:
        """Let everybody who waits for a job look at it as it is."""
        for ending in self._endings.values():
            ending.set()


def _lacks_input(row: Row) -> bool:
    return row["error"] is not None and row["error"]["code"] == InputFailed.code()
