"""The core that a command talks to: a running server, else one inside this process with the same methods. No output."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stable_core import client, errors
from stable_core.client import Client, Json

if TYPE_CHECKING:
    from stable_core.core import Core

_shared: list[Client] = []
"""The connection that an interactive shell keeps for all of its commands."""


@contextlib.contextmanager
def connected(home: Path, note: Callable[[str], None], keep: bool = False) -> Iterator[Client]:
    """Open a connection to the core of this home; with `keep`, commands inside use the same one.

    Raises:
        StableCoreError: the home cannot be used.
    """
    if _shared:
        yield _shared[0]
        return
    connection = running_server(home) or _embedded(home, note)
    if keep:
        _shared.append(connection)
    try:
        yield connection
    finally:
        _shared.clear()
        if isinstance(connection, EmbeddedCore):
            connection.close()


def running_server(home: Path) -> Client | None:
    """Return a client of the server that runs for this home, if there is one."""
    try:
        said = json.loads((home / "server.json").read_text("utf-8"))
        found = Client(said["url"], said["token"] or None)
        found.health()
    except (OSError, ValueError, KeyError, client.StableCoreError):
        return None
    return found


def _embedded(home: Path, note: Callable[[str], None]) -> Client:
    """Start a core here; while another command has this home, wait for it."""
    is_first = True
    while True:
        try:
            return EmbeddedCore(home)
        except client.ERRORS["conflict"]:
            if (server := running_server(home)) is not None:
                return server
            if is_first:
                note("Another stable-core command is using this home; waiting for it to finish.")
            is_first = False
            time.sleep(0.3)


class EmbeddedCore(Client):
    """The client's methods on a core that runs in a thread of this process."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        try:
            self._core: Core = self._await(_start(home))
        except BaseException:
            self._loop.call_soon_threadsafe(self._loop.stop)
            raise

    def close(self) -> None:
        """Stop the core."""
        self._await(self._core.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _await(self, coroutine: Any) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except errors.StableCoreError as error:
            raise client.error_from(error.to_dict()) from None

    def _ask(self, question: Callable[[Core], Any]) -> Any:
        """Run `question` in the core's thread and return its answer, as JSON would give it."""

        async def ask() -> Any:
            found = question(self._core)
            return await found if inspect.isawaitable(found) else found

        return self._await(ask())

    def submit(self, request: Json, key: str | None = None, wait: float = 0) -> Json:
        """Submit a job request and return the job."""
        job: Json = self._ask(lambda core: core.submit(request, idempotency_key=key))
        return self.job(job["id"], wait) if wait else job

    def graph(self, document: Json, key: str | None = None) -> Json:
        """Submit a graph document."""
        return dict(self._ask(lambda core: core.submit_graph(document, idempotency_key=key)))

    def job(self, job_id: str, wait: float = 0) -> Json:
        """Return one job."""
        return dict(self._ask(lambda core: core.wait(job_id, wait) if wait else core.get_job(job_id)))

    def jobs(self, **query: Any) -> list[Json]:
        """List jobs, newest first."""
        return list(self._ask(lambda core: core.list_jobs(**query)))

    def cancel(self, job_id: str) -> Json:
        """Cancel one job."""
        return dict(self._ask(lambda core: core.cancel(job_id)))

    def cancel_all(self, **wanted: str) -> int:
        """Cancel all jobs, or those of one state or graph."""
        return int(self._ask(lambda core: core.cancel_all(**wanted)))

    def retry(self, job_id: str) -> Json:
        """Run a failed or cancelled job again."""
        return dict(self._ask(lambda core: core.retry(job_id)))

    def log(self, job_id: str) -> str:
        """Return what the plugin printed while the job ran."""
        return str(self._ask(lambda core: core.log(job_id)))

    def events(self, after: int | None = None, job: str | None = None, graph: str | None = None) -> Iterator[Json]:
        """Yield events as they come, for ever."""
        events = self._core.events(after, job=job, graph=graph)

        async def following() -> Json | None:
            return await anext(events, None)

        try:
            while (event := self._await(following())) is not None:
                yield event
        finally:
            with contextlib.suppress(RuntimeError):
                self._await(events.aclose())  # type: ignore[attr-defined]

    def upload(self, content: Any, media_type: str = "", filename: str = "") -> Json:
        """Store bytes, or the file at a path, and return its artifact."""
        if not isinstance(content, bytes):
            filename = filename or Path(content).name
        chunks = _one_chunk(content if isinstance(content, bytes) else Path(content).read_bytes())
        stored = self._ask(lambda core: core.store_artifact(chunks, media_type=media_type or None, filename=filename))
        return dict(stored)

    def download(self, artifact: Json | str, path: Any = None) -> bytes:
        """Return the bytes of an artifact, or copy them to `path`."""
        artifact_id = artifact if isinstance(artifact, str) else artifact["id"]
        content = Path(self._ask(lambda core: core.artifact_path(artifact_id))).read_bytes()
        if path is None:
            return content
        Path(path).write_bytes(content)
        return b""

    def signatures(self) -> list[Json]:
        """List everything that can run."""
        return list(self._ask(lambda core: core.signatures()))

    def signature(self, name: str) -> Json:
        """Describe one signature."""
        return dict(self._ask(lambda core: core.signature(name)))

    def plugins(self) -> list[Json]:
        """List the plugins that were found."""
        return list(self._ask(lambda core: core.plugins()))

    def models(self, kind: str) -> list[str]:
        """List the names of the model files of one kind."""
        return list(self._ask(lambda core: core.model_names(kind)))

    def health(self) -> Json:
        """Return whether jobs can run."""
        return dict(self._ask(lambda core: core.health()))


async def _start(home: Path) -> Core:
    from stable_core.core import Core

    core = Core(home)
    await core.start()
    return core


async def _one_chunk(content: bytes) -> AsyncIterator[bytes]:
    yield content
