"""Core: submit, cancel, follow; the only door for server, CLI and tests. The work behind the door is job_queue's."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from stable_core import __version__, graphs
from stable_core.config import Config
from stable_core.environments import Environments
from stable_core.errors import Conflict, InvalidInput, NotFound, StableCoreError, StorageFull
from stable_core.events import Event, EventHub
from stable_core.file_watch import watch_files
from stable_core.job_queue import JobQueue
from stable_core.params_schema import ParamsSchema
from stable_core.plugin_registry import PluginRegistry, bundled_folder
from stable_core.protocol import artifact_path
from stable_core.saving import delete_saved
from stable_core.sdk.jobs import JobState
from stable_core.sdk.params import model_files
from stable_core.store import LOCAL_OWNER, Row, Store, new_id
from stable_core.uploads import receive
from stable_core.worker_log import clean_logs, log_path

CLEAN_SECONDS = 3600.0
# How often a core looks whether it is time to clean up: often, because that of a command does not live long.
LOOK_SECONDS = 5.0
CANCEL_BATCH = 200
EVENTS_AT_ONCE = 500
# The columns of a job that clients see as they are.
VIEW = (
    *("id", "job", "state", "inputs", "params", "outputs", "error", "attempt", "owner", "graph", "parent", "key"),
    *("priority", "created", "started", "finished", "plugin_version", "host", "progress"),
)


class Core:
    """One home folder at work: its jobs, plugins, workers and artifacts.

    Use it as `async with Core(home) as core`. Where a method takes an `owner`, None means anyone's.
    """

    def __init__(self, home: Path, config: Config | None = None, plugin_folders: list[Path] | None = None) -> None:
        self.home = home
        self.config = config or Config(home)
        self._folders = plugin_folders if plugin_folders is not None else [home / "plugins", bundled_folder()]
        self._events = EventHub()
        self._upkeep: list[asyncio.Task[None]] = []

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take the home folder, find the plugins and take up the jobs that are there.

        Raises:
            Conflict: another core uses this home.
        """
        self._store = Store(self.home, self._events.publish, self.config.settings.durability == "full")
        try:
            for folder in ("plugins", "models/checkpoints"):
                (self.home / folder).mkdir(parents=True, exist_ok=True)
            forms = self.config.settings.model_dump(include={"forms"}, exclude_unset=True).get("forms", {})
            self._registry = PluginRegistry(self._folders, self.home, Environments(self.home), forms)
            self._queue = JobQueue(self._store, self._registry, self.config)
            await self._registry.refresh()
            self._queue.recover()
            await self._store.commit()
        except BaseException:
            self._store.close()
            raise
        watching = watch_files(self._store, self._registry, self.config, self._events)
        work = (self._queue.pool.stop_idle_for_ever(), self._keep_clean(), watching)
        self._upkeep = [asyncio.create_task(one) for one in work]

    async def stop(self) -> None:
        """Put running jobs back into the queue, stop the workers and let go of the home folder."""
        for upkeep in self._upkeep:
            upkeep.cancel()
        await asyncio.gather(*self._upkeep, return_exceptions=True)
        await self._registry.stop()
        await self._queue.stop()
        await self._store.commit()
        self.end_waits()
        await asyncio.sleep(0)  # whoever waits may read its job once more
        self._store.close()

    async def __aenter__(self) -> Core:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _keep_clean(self) -> None:
        stamp = self.home / "cache" / "cleaned"
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(OSError, StorageFull):
                if not stamp.exists() or stamp.stat().st_mtime < time.time() - CLEAN_SECONDS:
                    stamp.touch()
                    await self.clean()

    async def clean(self) -> int:
        """Delete old events and logs, and artifacts and environments of no use; return how many artifacts went.

        Results always stay.
        """
        settings = self.config.settings
        before = time.time() - settings.event_days * 86400
        await asyncio.to_thread(clean_logs, self.home / "logs", before)
        needed = [plugin.environment for plugin in self._registry.plugins.values()]
        await asyncio.to_thread(self._registry.environments.clean, needed, before)
        self._store.forget_old(before)
        count = self._store.collect_artifacts(time.time() - settings.artifact_grace_hours * 3600)
        await self._store.commit()
        return count

    # -- jobs ----------------------------------------------------------------------------------------------------------

    async def submit(
        self, request: Row, owner: str = LOCAL_OWNER, idempotency_key: str | None = None, wait: float = 0
    ) -> Row:
        """Check a job request, store the job and return it; it is durable when this returns.

        With `wait` this returns when the job has ended, or after that many seconds with the job as it is then.

        Raises:
            BadRequest, NotFound, InvalidInput, InvalidParams: nothing was stored.
            Conflict: the idempotency key was used for another request.
        """
        job_id = await self._submit({"": graphs.check_request(request)}, None, owner, idempotency_key, request)
        return await self.wait(job_id, wait) if wait else self.get_job(job_id)

    async def submit_graph(self, document: Row, owner: str = LOCAL_OWNER, idempotency_key: str | None = None) -> Row:
        """Store all jobs of a graph document, or none, and return {"id", "jobs": {key: job}}.

        Raises:
            As submit.
        """
        requests = graphs.check_document(document)
        graph = await self._submit(requests, new_id(), owner, idempotency_key, document)
        rows = {row["key"]: row for row in self._store.jobs(graph=graph)}
        return {"id": graph, "jobs": {key: self._view(rows[key]) for key in document["jobs"]}}

    async def _submit(
        self, requests: dict[str, Row], graph: str | None, owner: str, idempotency_key: str | None, body: Row
    ) -> str:
        """Store checked requests and return the id of their graph, or of the one job; the same key does it once."""
        await self._refresh_for([request["job"] for request in requests.values()])
        digest = hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest() if idempotency_key else ""
        made = self._store.remembered(owner, idempotency_key, digest) if idempotency_key else None
        if made is None:
            ids = {key: new_id() for key in requests}
            made = graph or ids[""]
            self._insert(requests, ids, owner, graph)
            if idempotency_key:
                self._store.remember(owner, idempotency_key, digest, made)
        await self._store.commit()
        return made

    def _insert(self, requests: dict[str, Row], ids: dict[str, str], owner: str, graph: str | None) -> None:
        """Check all requests first, then add all rows: one bad request and nothing is stored."""
        rows = []
        for key, request in requests.items():
            row = {name: request[name] for name in ("job", "priority", "timeout")}
            row |= {"id": ids[key], "owner": owner, "graph": graph, "key": key or None, "parent": None}
            row["inputs"] = graphs.with_job_ids(request["inputs"], ids)
            try:
                signature = self._registry.signature(request["job"])
                graphs.check_inputs(signature, request["inputs"], lambda leaf: self._type_of(leaf, requests, owner))
                row["params"] = self._registry.params_schema(request["job"])(request["params"])
            except StableCoreError as error:
                message = f"Job {key!r}: {error.message}" if key else error.message
                raise type(error)(message, error.hint, error.traceback) from None
            rows.append({**row, "options": {"map": request["map"], "cache": request["cache"]}})
        for row in rows:
            self._queue.states.insert(row)

    def _type_of(self, leaf: Row, requests: dict[str, Row], owner: str) -> str:
        if "artifact" in leaf:
            try:
                return str(self._store.artifact(leaf["artifact"])["type"])
            except NotFound as error:
                raise InvalidInput(error.message, error.hint) from None
        producer = requests.get(leaf["job"])
        try:
            name = producer["job"] if producer else self.get_job(leaf["job"], owner)["job"]
        except NotFound as error:
            raise InvalidInput(error.message, "Refer to a key of the same graph or to the id of a job.") from None
        return str(graphs.output_port(self._registry.signature(name), leaf)["type"])

    async def _refresh_for(self, names: list[str]) -> None:
        """Look for new plugins when a job is not announced yet: dropping one in the folder installs it."""
        plugins = [self._registry.plugins.get(name.partition(".")[0]) for name in names]
        if any(plugin is None or not plugin.announcement for plugin in plugins):
            await self._registry.refresh(wait_for=names)

    def get_job(self, job_id: str, owner: str | None = None) -> Row:
        """Return one job.

        Raises:
            NotFound: there is none with this id, or it is another owner's.
        """
        row = self._store.job(job_id)
        if owner is not None and row["owner"] != owner:
            raise NotFound(f"There is no job {job_id!r}", "`stable-core jobs list` shows those there are.")
        return self._view(row)

    def list_jobs(
        self, limit: int = 50, before: str | None = None, owner: str | None = None, **wanted: Any
    ) -> list[Row]:
        """Return jobs, newest first, with this `state`, `job`, `graph` or `owner`; `before` is the last id seen.

        Words in their inputs are `text`. They were submitted from `since` until before `until`, in seconds since 1970,
        and are among `ids`, which have commas in between.
        """
        return [self._view(row) for row in self._store.jobs(limit, before=before, owner=owner, **wanted)]

    def _view(self, row: Row) -> Row:
        """Return a row as clients see it."""
        view = {name: row[name] for name in VIEW}
        if run := self._queue.runs.get(row["id"]):
            view |= {"outputs": run.outputs, "progress": run.progress}
        note = self._queue.pool.notes.get(row["plugin"], "") if row["state"] is JobState.QUEUED else ""
        progress = view["progress"] or {"step": 0, "total": 0, "message": note}
        return {**view, "progress": progress, "cached": bool(row["cached"])}

    async def wait(self, job_id: str, seconds: float | None = None) -> Row:
        """Return the job once it has ended, or as it is after `seconds`."""
        job = self.get_job(job_id)
        if not job["state"].is_final:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._queue.states.when_finished(job_id)
        await self._store.commit()
        return self.get_job(job_id)

    def end_waits(self) -> None:
        """Let everybody go who waits for a job or follows events."""
        self._queue.states.end_waits()
        self._events.close()

    async def cancel(self, job_id: str, owner: str | None = None) -> Row:
        """Cancel a job; one that has ended stays as it is."""
        return await self._changed(job_id, owner, self._queue.cancel)

    async def interrupt(self, job_id: str, owner: str | None = None, skip: bool = False) -> Row:
        """Tell a running job to end with what it has made or, to skip, to go on with the next; not all jobs can."""
        wish = "skip" if skip else "interrupt"
        return await self._changed(job_id, owner, lambda _: self._queue.ask(job_id, wish))

    async def cancel_all(self, *, state: str | None = None, **wanted: Any) -> int:
        """Cancel every job that waits, is queued or runs, or those of this `job`, `graph` or `owner`."""
        states = [JobState(state)] if state else [JobState.WAITING, JobState.QUEUED, JobState.RUNNING]
        ids = [row["id"] for one in states for row in self._store.jobs(state=one, **wanted)]
        for index, job_id in enumerate(ids):
            self._queue.cancel(job_id)
            if index % CANCEL_BATCH == CANCEL_BATCH - 1:
                await self._store.commit()
        await self._store.commit()
        return len(ids)

    async def prioritise(self, priorities: dict[str, int], owner: str | None = None) -> list[Row]:
        """Change the priorities of jobs, by id, all at once; one that has begun goes on as it is."""
        for job_id in priorities:
            self.get_job(job_id, owner)
        for job_id, priority in priorities.items():
            self._queue.prioritise(job_id, priority)
        await self._store.commit()
        return [self.get_job(job_id) for job_id in priorities]

    async def retry(self, job_id: str, owner: str | None = None) -> Row:
        """Queue a failed or cancelled job again; one that is on its way stays as it is.

        Raises:
            Conflict: the job has succeeded.
        """
        if self.get_job(job_id, owner)["state"] is JobState.SUCCEEDED:
            hint = 'Submit it again to run it once more, with "cache": false to not get the same result.'
            raise Conflict("The job has succeeded", hint)
        return await self._changed(job_id, owner, self._queue.states.retry)

    async def _changed(self, job_id: str, owner: str | None, change: Callable[[str], None]) -> Row:
        """Do something to a job of this owner and return it once that is stored."""
        self.get_job(job_id, owner)
        change(job_id)
        await self._store.commit()
        return self.get_job(job_id)

    def log(self, job_id: str, owner: str | None = None) -> str:
        """Return what the plugin printed during the job, at most 1 MiB."""
        self.get_job(job_id, owner)
        path = log_path(self.home / "logs", job_id)
        return path.read_text("utf-8", errors="replace") if path.is_file() else ""

    # -- events --------------------------------------------------------------------------------------------------------

    def last_event(self) -> int:
        """Return the number of the newest event."""
        return self._store.last_seq

    async def events(self, after: int | None = None, **equal: str | None) -> AsyncIterator[Event]:
        """Yield events with a number above `after`, without gap or repetition, until the core stops.

        Only those of this `job`, `graph` or `owner`, where given. They are read from the log as they are taken, so a
        slow consumer costs nothing; it can come back with the last number it saw.
        """
        wanted = {name: value for name, value in equal.items() if value is not None}

        def is_wanted(event: Event) -> bool:
            return all(event[name] == value for name, value in wanted.items())

        last = self._store.last_seq if after is None else after
        with self._events.watch(is_wanted) as news:
            while not self._events.is_closed:
                news.clear()
                page = self._store.events_after(last, wanted, EVENTS_AT_ONCE)
                for event in page:
                    last = event["seq"]
                    yield event
                await (asyncio.sleep(0) if len(page) == EVENTS_AT_ONCE else news.wait())

    # -- artifacts -----------------------------------------------------------------------------------------------------

    async def store_artifact(
        self, chunks: AsyncIterator[bytes], owner: str = LOCAL_OWNER, **declared: str | None
    ) -> Row:
        """Store uploaded content and return its artifact; `declared` and errors are those of `uploads.receive`."""
        limit = self.config.settings.upload_limit_mb * 2**20
        artifact = await receive(chunks, self._store.artifacts, limit, **declared)
        self._store.add_artifact(artifact, owner)
        await self._store.commit()
        return self.artifact(artifact["id"])

    def artifact(self, artifact_id: str) -> Row:
        """Return what is known of an artifact, and the jobs that have it.

        Raises:
            NotFound: there is none with this id.
        """
        return {**self._store.artifact(artifact_id), "jobs": self._store.artifact_jobs(artifact_id)}

    def artifact_path(self, artifact_id: str) -> Path:
        """Return the file of an artifact.

        Raises:
            NotFound: there is none with this id.
        """
        return artifact_path(self._store.artifacts, str(self._store.artifact(artifact_id)["id"]))

    async def delete_artifact(self, artifact_id: str, owner: str | None = None) -> Row:
        """Delete a result everywhere: from all jobs that made it, with its saved files.

        Raises:
            Conflict: a job that has not ended has it, or takes it from another.
        """
        found = self.artifact(artifact_id)
        for job_id in found["jobs"]:
            self.get_job(job_id, owner)
        if self._store.is_needed(artifact_id):
            raise Conflict("A job that has not ended has this", "Wait for it or cancel it.")
        files = self._store.delete_artifact(artifact_id)
        await self._store.commit()
        for path in files:
            delete_saved(path)
        return found

    # -- plugins and settings ------------------------------------------------------------------------------------------

    async def signatures(self) -> list[Row]:
        """Return every announced signature."""
        await self._registry.refresh()
        return self._registry.signatures()

    async def signature(self, name: str) -> Row:
        """Return one signature.

        Raises:
            NotFound, PluginError: it is not announced, or its plugin is broken.
        """
        await self._registry.refresh(wait_for=[name])
        return self._registry.signature(name)

    async def check_params(self, name: str, params: Row) -> Row:
        """Return the complete params of a job, with a random seed in place of -1; nothing is stored or run.

        Raises:
            As signature, and InvalidParams: naming every wrong one.
        """
        await self.signature(name)
        return self._registry.params_schema(name)(graphs.check_request({"job": name, "params": params})["params"])

    async def plugins(self) -> list[Row]:
        """Return every plugin, the broken ones with their error."""
        await self._registry.refresh()
        return [
            {**plugin.to_dict(), "installed": size is not None, "environment_bytes": size}
            for plugin in self._registry.plugins.values()
            for size in [self._registry.environments.size_of(plugin.environment)]
        ]

    def restart(self, name: str) -> list[Row]:
        """End the workers of a plugin, which start anew when they are wanted, and return the hosts.

        What such a worker has in hand is tried once more.

        Raises:
            NotFound: there is no such plugin.
        """
        self._queue.pool.end(self._registry.plugin(name).name)
        return self.hosts()

    def model_names(self, kind: str) -> list[str]:
        """Return the names of the model files of one kind, for a picker."""
        return sorted(model_files(kind, self._registry.model_roots(self.config.model_roots())))

    def settings(self) -> Row:
        """Return {"schema", "values"} of the core's settings; secrets are blanked."""
        settings = self.config.settings
        return _settings_view(type(settings).model_json_schema(), settings.model_dump(mode="json"))

    def update_settings(self, values: Row) -> Row:
        """Check and save the settings that are named, and return all; None puts one back to its default.

        Raises:
            InvalidParams: naming every wrong one; nothing is saved.
        """
        self.config.update(values)
        return self.settings()

    async def plugin_settings(self, name: str) -> Row:
        """Return {"schema", "values"} of a plugin's settings; secrets are blanked."""
        return _settings_view(*await self._settings_of(name))

    async def update_plugin_settings(self, name: str, values: Row) -> Row:
        """Check and save the settings of a plugin that are named, and return all; they hold from its next job on.

        Raises:
            NotFound: there is no such plugin.
            InvalidParams: naming every wrong one; nothing is saved.
        """
        schema, saved = await self._settings_of(name)
        ParamsSchema(schema)({**saved, **{key: value for key, value in values.items() if value is not None}})
        self.config.update_plugin_settings(name, values)
        return await self.plugin_settings(name)

    async def _settings_of(self, name: str) -> tuple[Row, Row]:
        await self._registry.refresh()
        plugin = self._registry.plugin(name)
        return plugin.announcement.get("settings", {}), plugin.known_settings(self.config.plugin_settings(name))

    def user_data(self, owner: str) -> Row:
        """Return what clients keep for their user, the same on every device, by name."""
        return self._store.user_data(owner)

    async def update_user_data(self, values: Row, owner: str) -> Row:
        """Keep the values that are named, and return all; None forgets one."""
        self._store.keep_user_data(owner, values)
        self._store.add_event("user_data.changed", values, owner=owner)
        await self._store.commit()
        return self.user_data(owner)

    # -- how it is doing -----------------------------------------------------------------------------------------------

    def hosts(self) -> list[Row]:
        """Return the hosts with their devices and workers."""
        pool = self._queue.pool
        devices = [{"name": name, "memory_mb": memory_mb} for name, memory_mb in pool.devices.items()]
        return [{"name": pool.host.name, "devices": devices, "workers": self._workers()}]

    def _workers(self) -> list[Row]:
        return [
            {name: getattr(worker, name) for name in ("plugin", "device", "pid", "memory_mb")}
            | {"state": "idle" if worker.is_idle else "busy", "job": worker.job_id, "log": worker.log.tail}
            for worker in self._queue.pool.workers
        ]

    def health(self) -> Row:
        """Return {"status", "version", "workers", "jobs"}; status is `ok`, `stalled` or `stopped`."""
        is_alive = bool(self._upkeep) and not any(upkeep.done() for upkeep in self._upkeep)
        workers = {f"{worker['plugin']}@{worker['device']}": worker["state"] for worker in self._workers()}
        state = {"version": __version__, "workers": workers, "jobs": self._store.count_states()}
        return {"status": "stopped" if not is_alive else "stalled" if self._queue.is_stalled else "ok", **state}

    def counters(self) -> dict[str, int]:
        """Return the numbers behind /metrics."""
        found = {**self._store.count_states(), **self._queue.states.counts}
        counts = {f"jobs_{state}" + "_total" * state.is_final: found.get(state, 0) for state in JobState}
        counts |= {"workers": len(self._queue.pool.workers), "event_clients": len(self._events)}
        return {**counts, "events_total": self.last_event()}


def _settings_view(schema: Row, values: Row) -> Row:
    return {"schema": schema, "values": ParamsSchema(schema).without_secrets(values)}
