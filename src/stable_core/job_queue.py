"""Which job runs next and what becomes of it: admit, dispatch, finish, retry. It checks no request, knows no client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from stable_core import graphs
from stable_core.config import Config
from stable_core.errors import NotFound, StableCoreError, StorageFull, TimedOut, WorkerDied, error_from_dict
from stable_core.job_states import JobStates
from stable_core.plugin_registry import LIGHT, PluginRegistry
from stable_core.protocol import Message, artifact_path
from stable_core.ready_jobs import ReadyJobs
from stable_core.result_cache import ResultCache
from stable_core.saving import save_output
from stable_core.sdk.jobs import JobState
from stable_core.store import Row, Store
from stable_core.worker_pool import WorkerPool
from stable_core.worker_process import WorkerProcess

# How often jobs of loaded plugins may overtake a job whose plugin waits for room on the device.
MAX_SKIPS = 8
# How often a job is tried once more because the server itself was killed, beyond the setting max_attempts.
LOST_SERVERS = 3
STALL_SECONDS = 1.0


@dataclass
class Run:
    """A job that a worker has in hand."""

    row: Row
    worker: WorkerProcess
    outputs: dict[str, list[Row]]
    progress: Row | None = None
    # Why it was told to stop, which is a timeout, or why it failed.
    error: StableCoreError | None = None
    is_cancelled: bool = False
    timer: asyncio.TimerHandle | None = None


class JobQueue:
    """Moves jobs from `queued` to their end. Its methods act inside the store's open transaction and never wait."""

    def __init__(self, store: Store, registry: PluginRegistry, config: Config) -> None:
        self._store = store
        self._registry = registry
        self._config = config
        self._cache = ResultCache(store, registry, config)
        self.states = JobStates(store, registry, self.admit, lambda job_id: self._ready.discard(job_id))
        self._ready = ReadyJobs()
        self.pool = WorkerPool(config, registry.environments, self.dispatch, self._worker_failed, self._report)
        self.runs: dict[str, Run] = {}
        self._skips: Counter[str] = Counter()
        self._side_work: set[asyncio.Task[Any]] = set()
        self._is_stopping = False
        # A commit failed, so rows and memory may differ; see `stall`.
        self.is_stalled = False
        self._is_dispatching = False
        store.on_failure = self.stall
        registry.on_announced = self._dispatch_soon

    # -- admit: from a row to the ready order --------------------------------------------------------------------------

    def recover(self) -> None:
        """Take up the rows that an earlier server left: nothing that was accepted is lost."""
        for job_id in self._store.ids_in([JobState.RUNNING]):
            if job_id in self.runs:
                continue
            row = self._store.job(job_id)
            if row["attempt"] >= self._config.settings.max_attempts + LOST_SERVERS:
                hint = "Retry it once you know why."
                self.states.fail(row, WorkerDied("The server was killed each time it ran this job", hint))
            else:
                self.states.requeue(row)
        for job_id in self._store.ids_in([JobState.QUEUED]):
            if job_id not in self._ready:
                self.admit(self._store.job(job_id))
        for job_id in self._store.ids_in([JobState.WAITING]):
            self.states.release(job_id)

    def admit(self, row: Row) -> None:
        """Take a queued job: unfold it if it maps or sweeps, answer it from the cache, or line it up.

        One whose plugin is still announcing is only lined up; while the core stops, all are left to the next start.
        """
        if not self._is_stopping and (self._registry.is_late(row["plugin"]) or self._inputs_to_run(row) is not None):
            self._ready.add(row["id"], self._line(row), row["owner"], row["priority"], row["number"])
            self._dispatch_soon()

    def _line(self, row: Row) -> str:
        """Return the line of a job: that of its plugin, or that of the plugin's light jobs, which has a worker too."""
        plugin = str(row["plugin"])
        return plugin + LIGHT * (not self._registry.is_late(plugin) and self._registry.signature(row["job"])["light"])

    def _inputs_to_run(self, row: Row) -> dict[str, Any] | None:
        """Return the inputs of a job that must run; None if it was unfolded, has ended by the cache, or has failed."""
        try:
            signature = self._registry.signature(row["job"])
            inputs = graphs.resolve_inputs(signature, row["inputs"], self._outputs_of)
            children = graphs.fan_out(signature, inputs, row["params"], row["options"]["map"])
            if children is not None:
                requests = {str(index): {"job": row["job"], **child} for index, child in enumerate(children)}
                self.states.expand(row, requests)
                return None
            single = graphs.single_inputs(signature, inputs)
            wired = {name: self._wire(value) for name, value in single.items()}
            row["cache_key"] = self._cache.key(row, single)
            found = self._cache.find(row)
        except StableCoreError as error:
            self.states.fail(row, error)
            return None
        if found is not None:
            facts = {"plugin_version": found["plugin_version"], "host": found["host"], "cached": 1}
            self.states.finish(row, JobState.SUCCEEDED, outputs=found["outputs"], **facts)
            return None
        return wired

    def _dispatch_soon(self) -> None:
        if not self._is_dispatching:
            self._is_dispatching = True
            asyncio.get_running_loop().call_soon(self.dispatch)

    def _outputs_of(self, reference: dict[str, Any]) -> list[Row]:
        made: dict[str, list[Row]] = self._store.job(reference["job"])["outputs"]
        wanted = reference.get("output") or next(iter(made), "")
        return made.get(wanted, [])

    # -- dispatch: from the ready order to a worker --------------------------------------------------------------------

    def dispatch(self) -> None:
        """Give every idle worker a job and start the workers that are missing."""
        self._is_dispatching = False
        if not self._is_stopping and not self.is_stalled:
            with contextlib.suppress(StorageFull):  # the queue has stalled then and will look at the rows again
                self._dispatch()

    def _dispatch(self) -> None:
        blocked: list[str] = []
        ranks = self._ready.plugins()
        for name, rank in ranks.items():
            if self._registry.is_late(name.removesuffix(LIGHT)):
                continue
            plugin = self._registry.line(name)
            if plugin is None:
                gone = NotFound(f"The plugin {name!r} is no longer installed", "Install it again, then retry.")
                self._worker_failed(name, gone)
                continue
            if plugin.memory_mb and any(self._skips[waiting] >= MAX_SKIPS for waiting in blocked):
                continue
            while self._ready.has_jobs(name) and (worker := self.pool.idle_worker(plugin)) is not None:
                self._run(worker, self._store.job(self._ready.pop(name)))
                self._skips.update(blocked if plugin.memory_mb else ())
            if self._ready.has_jobs(name) and self.pool.has_place(name):
                is_patient = self._skips[name] < MAX_SKIPS
                if self.pool.try_start(plugin, [other for other in ranks if is_patient and ranks[other] <= rank]):
                    del self._skips[name]
                else:
                    blocked.append(name)
        if blocked and not all(map(self._ready.has_jobs, ranks)):  # what was spared may be idle now
            self._dispatch_soon()

    def _run(self, worker: WorkerProcess, row: Row) -> None:
        inputs = self._inputs_to_run(row)
        if inputs is None:
            return
        signature = self._registry.signature(row["job"])
        plugin = self._registry.plugins[row["plugin"]]
        settings = plugin.known_settings(self._config.plugin_settings(row["plugin"]))
        message = {"type": "run", "job": row["id"], "name": row["job"].partition(".")[2], "inputs": inputs}
        message |= {"params": row["params"], "settings": settings}
        facts = {"attempt": row["attempt"] + 1, "host": self.pool.host.name, "plugin_version": plugin.version}
        row |= facts
        changes = {**facts, "started": time.time(), "cache_key": row["cache_key"]}
        self._store.update_job(row["id"], JobState.RUNNING, **changes)
        self.states.tell(row, "job.running", {"attempt": row["attempt"]})
        run = self.runs[row["id"]] = Run(row, worker, {port["name"]: [] for port in signature["outputs"]})
        seconds = row["timeout"] or signature["timeout_seconds"] or self._config.settings.job_timeout_seconds
        if seconds:
            run.timer = asyncio.get_running_loop().call_later(seconds, self._time_out, run, seconds)
        worker.run(message, lambda message: self._hear(run, message))

    def _wire(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._wire(item) for item in value]
        if isinstance(value, str):
            return {"text": value}
        if "artifact" in value:
            known = self._store.artifact(value["artifact"])
            return {"artifact": known["id"], "type": known["type"], "media_type": known["media_type"]}
        return value

    # -- what workers say ----------------------------------------------------------------------------------------------

    def _hear(self, run: Run, message: Message) -> None:
        if self.runs.get(run.row["id"]) is not run:
            return  # it was given up
        try:
            if message["type"] == "progress":
                self._take_progress(run, message)
            elif message["type"] == "output":
                self._take_output(run, message["port"], message["artifact"])
            else:
                self._end(run, message)
                self._dispatch_soon()
        except StorageFull:
            if message["type"] != "progress":  # what it said is lost, so it must run again
                self._give_up(run)

    def _give_up(self, run: Run) -> None:
        self.runs.pop(run.row["id"], None)
        if run.timer is not None:
            run.timer.cancel()
        if run.worker.job_id == run.row["id"]:
            run.worker.kill()

    def _take_progress(self, run: Run, message: Message) -> None:
        run.progress = {name: message[name] for name in ("step", "total", "message")}
        if not self.is_stalled:
            self.states.tell(run.row, "job.progress", run.progress)
            if "preview" in message:
                self.states.tell(run.row, "job.preview", {"media_type": "image/jpeg", "data": message["preview"]})

    def _take_output(self, run: Run, port: str, artifact: Row) -> None:
        self._keep_artifact(run.row, artifact)
        if port:
            run.outputs[port].append(artifact)
            self.states.tell(run.row, "job.output", {"port": port, "artifact": artifact})

    def _keep_artifact(self, row: Row, artifact: Row) -> None:
        facts = {name: value for name, value in artifact.items() if name != "parameters"}
        self._store.add_artifact(facts, row["owner"])
        self._store.use_artifact(artifact["id"], row["id"])

    def _end(self, run: Run, message: Message) -> None:
        """Do what the last message of a run says."""
        kind = message["type"]
        if run.timer is not None:
            run.timer.cancel()
        if kind == "done":
            run.error = None  # it was quicker than its end by a timeout
        elif kind == "cancelled":
            run.is_cancelled = True
        elif run.error is None and not run.is_cancelled:
            if kind == "expanded":
                del self.runs[run.row["id"]]
                return self._expand(run.row, message)
            run.error = error_from_dict(message["error"])
            if self._tries_again(run, run.error, kind == "died"):
                return None
        # Copies, because saving adds paths, and what an event has told does not change any more.
        outputs = {port: [dict(artifact) for artifact in made] for port, made in run.outputs.items()}
        if self._config.settings.save_results and any(outputs.values()):
            self._begin(self._save_and_finish(run, outputs))
            return None  # it stays in hand until then, so that a cancel finds it
        return self._finish(run, outputs)

    def _finish(self, run: Run, outputs: dict[str, list[Row]]) -> None:
        if self.runs.get(run.row["id"]) is run:
            del self.runs[run.row["id"]]
        if run.error is not None:
            self.states.fail(run.row, run.error, outputs=outputs, progress=run.progress)
        else:
            state = JobState.CANCELLED if run.is_cancelled else JobState.SUCCEEDED
            self.states.finish(run.row, state, outputs=outputs, progress=run.progress)

    def _expand(self, row: Row, message: Message) -> None:
        try:
            for job in message["jobs"].values():
                job["params"] = self._registry.params_schema(job["job"])(job["params"])
            self.states.expand(row, message["jobs"], message["results"])
        except StableCoreError as error:
            self.states.fail(row, error)

    def _tries_again(self, run: Run, error: StableCoreError, has_died: bool) -> bool:
        """Tell whether a failed run is not the last of its job, and see to the next."""
        is_first = run.row["attempt"] < self._config.settings.max_attempts
        idle = {worker.plugin.removesuffix(LIGHT) for worker in self.pool.workers if worker.is_idle}
        if has_died and is_first and not self._is_stopping:
            del self.runs[run.row["id"]]
            self.states.requeue(run.row, error)
        elif error.code() == "out_of_memory" and is_first and idle - {run.row["plugin"]}:
            # It is in hand until then, so that a cancel finds it.
            self._begin(self.pool.stop_idle()).add_done_callback(lambda _: self._run_again(run, error))
        else:
            return self._is_stopping
        return True

    def _run_again(self, run: Run, error: StableCoreError) -> None:
        if self.runs.pop(run.row["id"], None) is run:
            with contextlib.suppress(StorageFull):
                self.states.requeue(run.row, error)
                if run.is_cancelled:
                    self.cancel(run.row["id"])

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do something beside the queue and keep hold of it until it is done."""
        begun = asyncio.create_task(work)
        self._side_work.add(begun)
        begun.add_done_callback(self._side_work.discard)
        return begun

    async def _save_and_finish(self, run: Run, outputs: dict[str, list[Row]]) -> None:
        provenance = {name: run.row[name] for name in ("id", "job", "inputs", "params", "plugin_version", "created")}

        def save() -> None:
            for artifact in (one for made in outputs.values() for one in made if one["type"] != "data"):  # an answer
                content = artifact_path(self._store.artifacts, artifact["id"])
                artifact["path"] = str(save_output(content, artifact, provenance, self._config))

        try:
            await asyncio.to_thread(save)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the job must end
            hint = f"Make room or mend {self._config.outputs_folder()}, then retry; the result is an artifact."
            run.error = run.error or StorageFull(f"The result could not be saved: {failure}", hint)
        with contextlib.suppress(StorageFull):
            self._finish(run, outputs)

    def _time_out(self, run: Run, seconds: float) -> None:
        hint = "Raise its timeout, or job_timeout_seconds in the settings."
        run.error = TimedOut(f"The job ran longer than {seconds:g} s", hint)
        run.worker.cancel(self._config.settings.cancel_grace_seconds)

    def _report(self, plugin: str, line: str) -> None:
        progress = {"step": 0, "total": 0, "message": line}
        with contextlib.suppress(StorageFull):
            for job_id in self._ready.jobs_of(plugin)[:20]:
                self.states.tell(self._store.job(job_id), "job.progress", progress)

    def _worker_failed(self, plugin: str, error: StableCoreError) -> None:
        with contextlib.suppress(StorageFull):
            for job_id in self._ready.jobs_of(plugin):
                self._ready.discard(job_id)
                self.states.fail(self._store.job(job_id), error)

    # -- endings -------------------------------------------------------------------------------------------------------

    def cancel(self, job_id: str) -> None:
        """Cancel a job and the jobs made by it; a final one stays as it is."""
        run = self.runs.get(job_id)
        if run is not None:
            run.is_cancelled = True
            if run.worker.job_id == job_id:  # otherwise its results are being saved
                run.worker.cancel(self._config.settings.cancel_grace_seconds)
            return
        row = self._store.job(job_id)
        if row["state"] in (JobState.WAITING, JobState.QUEUED):
            self.states.finish(row, JobState.CANCELLED)
            for child in reversed(self._store.children(job_id)):  # those that need others first
                self.cancel(child)

    def prioritise(self, job_id: str, priority: int) -> None:
        """Give a job that has not begun, and the jobs made by it, another place in the order."""
        row = self._store.job(job_id)
        if row["state"] in (JobState.WAITING, JobState.QUEUED):
            self._store.update_job(job_id, priority=priority)
            self.states.tell(row, "job.priority", {"priority": priority})
            if job_id in self._ready:
                self._ready.move(job_id, row["owner"], priority)
            for child in self._store.children(job_id):
                self.prioritise(child, priority)

    def ask(self, job_id: str, wish: str) -> None:
        """Tell a running job, or those made by it, to `interrupt` or `skip`; its result is then no answer to others."""
        run = self.runs.get(job_id)
        if run is not None and run.worker.job_id == job_id:
            self._store.update_job(job_id, cache_key=None)
            run.worker.ask(wish)
        for child in self._store.children(job_id):
            self.ask(child, wish)

    # -- life ----------------------------------------------------------------------------------------------------------

    def stall(self) -> None:
        """Start nothing until something can be stored again: the disk is full, or the database is locked."""
        if not self.is_stalled:
            self.is_stalled = True
            asyncio.get_running_loop().call_later(STALL_SECONDS, self._resume)

    def _resume(self) -> None:
        """Believe the rows and nothing else: a job whose start or end was not stored runs again."""
        if self._is_stopping:
            return
        self.is_stalled = False
        stored = set(self._store.ids_in([JobState.RUNNING]))
        for job_id, run in list(self.runs.items()):
            if job_id not in stored:
                self._give_up(run)
        self._ready = ReadyJobs()
        with contextlib.suppress(StorageFull):  # then it has stalled again
            self._store.probe()
            for run in self.runs.values():
                for artifact in (artifact for made in run.outputs.values() for artifact in made):
                    self._keep_artifact(run.row, artifact)
            self.recover()
        self._dispatch_soon()

    async def stop(self) -> None:
        """Put running jobs back, without counting the attempt, unless they were cancelled, and stop all workers.

        Saves in progress are finished.
        """
        self._is_stopping = True
        await asyncio.gather(*self._side_work, return_exceptions=True)
        with contextlib.suppress(StorageFull):  # then the next start finds them as they are
            for run in list(self.runs.values()):
                again = {**run.row, "attempt": run.row["attempt"] - 1}
                self._finish(run, run.outputs) if run.is_cancelled else self.states.requeue(again)
        self.runs.clear()
        await self.pool.stop()
        await asyncio.gather(*self._side_work, return_exceptions=True)
