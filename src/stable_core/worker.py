"""The worker: hosts one plugin in its environment and runs one job at a time. It knows no queue and no HTTP.

Started as `python -m stable_core.worker SOURCE TARGET`: SOURCE is the plugin's folder or single file, TARGET is
`module:attribute` (empty for a single file).
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from stable_core import protocol
from stable_core.errors import BadAnnouncement, JobCancelled, OutOfMemory, PluginRaised, StableCoreError
from stable_core.protocol import Message, MessageDecoder
from stable_core.sdk.artifacts import Data
from stable_core.sdk.codecs import decode, encode
from stable_core.sdk.jobs import Job, JobSignature
from stable_core.sdk.params import check_params
from stable_core.sdk.plugin import Plugin, load_plugin
from stable_core.sdk.ports import Port
from stable_core.sdk.progress import Progress

PROGRESS_SECONDS = 0.05
PREVIEW_SIDE = 512
INLINE_CHARACTERS = 4000

Send = Callable[[Message], None]


def main() -> None:
    """Host the plugin named on the command line until the core closes the pipe."""
    _die_with_parent()
    source, target = sys.argv[1:]
    stdin, pipe = _claim_stdin(), _claim_stdout()
    lock = threading.Lock()

    def send(message: Message) -> None:
        line = protocol.encode_message(message)
        with lock:
            pipe.write(line)
            pipe.flush()

    try:
        plugin = load_plugin(Path(source), target)
        announcement = {**plugin.to_dict(), "models": os.path.relpath(plugin.models, source) if plugin.models else None}
        send({"type": "hello", "version": protocol.VERSION, "pid": os.getpid(), "plugin": announcement})
    except BaseException as error:  # noqa: BLE001 - a plugin's import may raise anything, SystemExit included
        send({"type": "hello", "version": protocol.VERSION, "error": _import_failure(error, source)})
        sys.exit(1)
    Worker(plugin, send).serve(stdin)


class Worker:
    """Runs the jobs that arrive; cancels arrive on a second thread and reach the job through its Progress."""

    def __init__(self, plugin: Plugin, send: Send) -> None:
        self.plugin = plugin
        self.send = send
        self.artifacts = Path(os.environ.get("STABLE_CORE_ARTIFACTS", "."))
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._progress: Progress | None = None
        self._job = ""
        self._is_loaded = False
        self._origins: dict[int, Message] = {}

    def serve(self, stdin: int) -> None:
        """Run jobs until told to exit."""
        threading.Thread(target=self._read, args=(stdin,), daemon=True).start()
        while (message := self._inbox.get())["type"] == "run":
            self.run(message)
        for hook in self.plugin.unload_hooks:
            hook()

    def _read(self, stdin: int) -> None:
        decoder = MessageDecoder()
        try:
            while chunk := os.read(stdin, 2**16):
                for message in decoder.feed(chunk):
                    self._take(message)
        finally:
            os._exit(0)  # the core is gone, or not understood: nobody will take a result

    def _take(self, message: Message) -> None:
        if message["type"] in ("cancel", "interrupt", "skip"):
            if self._progress is not None and message["job"] == self._job:
                getattr(self._progress, message["type"])()
            return
        if message["type"] == "run":  # set here, so that a cancel right behind it finds its job
            self._job = message["job"]
            self._progress = JobProgress(message["job"], self.send)
        self._inbox.put(message)

    def run(self, message: Message) -> None:
        """Run one job and send how it ended; whatever the plugin raises stays inside."""
        job_id = message["job"]
        os.write(2, protocol.LOG_MARK + job_id.encode() + b"\n")
        try:
            ending = self._run(message)
        except JobCancelled:
            ending = {"type": "cancelled"}
        except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt of a plugin end only its job
            ending = {"type": "failed", "error": _failure(error)}
        self._origins.clear()
        _flush_prints()
        self.send({**ending, "job": job_id})

    def _run(self, message: Message) -> Message:
        progress = self._progress
        assert progress is not None
        signature = self.plugin.signatures[message["name"]]
        self.plugin.configure(message["settings"])
        params = check_params(signature.params, message["params"])
        ports = {port.name: port.type for port in signature.inputs}
        inputs = {name: self._decode(value, ports[name]) for name, value in message["inputs"].items()}
        if not self._is_loaded:
            for hook in self.plugin.load_hooks:
                hook()
            self._is_loaded = True
        result = signature.call(inputs, params, progress)
        if signature.kind == "invocation":
            jobs = result if isinstance(result, list) else [result]
            if wrong := [type(job).__name__ for job in jobs if not isinstance(job, Job)]:
                what = f"{signature.full_name} announced jobs and returned {wrong[0]}"
                raise PluginRaised(what, "The plugin is at fault; report this to its author.")
            return self._expanded(jobs)
        for port, value in signature.outputs_of(result):
            artifact = self._store(port, value, signature)
            self.send({"type": "output", "job": self._job, "port": port.name, "artifact": artifact})
        return {"type": "done"}

    def _decode(self, value: Any, port_type: str) -> Any:
        if isinstance(value, list):
            return [self._decode(item, port_type) for item in value]
        if "artifact" not in value:
            ((kind, given),) = value.items()
            if kind == port_type:
                return given if kind == "text" else Data(given)
            encoded = encode(kind, given)  # a text or data where a file is wanted, data where text is
            artifact_id, _ = protocol.write_artifact(self.artifacts, encoded.content)
            return decode(port_type, protocol.artifact_path(self.artifacts, artifact_id), encoded.media_type)
        decoded = decode(port_type, protocol.artifact_path(self.artifacts, value["artifact"]), value["media_type"])
        self._origins[id(decoded)] = value
        return decoded

    def _store(self, port: Port, value: Any, signature: JobSignature) -> Message:
        try:
            encoded = encode(port.type, value)
        except (TypeError, ValueError, StableCoreError) as error:
            what = f"{signature.full_name} announced {port.type} for {port.name!r} and made {type(value).__name__}"
            raise PluginRaised(f"{what}: {error}", "The plugin is at fault; report this to its author.") from None
        artifact_id, size = protocol.write_artifact(self.artifacts, encoded.content)
        artifact = {"id": artifact_id, "type": port.type, "media_type": encoded.media_type, "size": size}
        artifact |= encoded.details
        if port.type in ("text", "data") and isinstance(encoded.content, bytes) and size <= INLINE_CHARACTERS:
            artifact["value"] = value if port.type == "text" else getattr(value, "value", value)
        return artifact

    def _expanded(self, jobs: list[Job[Any]]) -> Message:
        """Flatten described jobs, shared ones once, into a graph whose inputs name other jobs by key."""
        flat: dict[int, str] = {}
        graph: dict[str, Message] = {}

        def add(job: Job[Any]) -> str:
            if id(job) not in flat:
                ports = {port.name: port for port in job.signature.inputs}
                given = {name: value for name, value in job.inputs.items() if value is not None}
                inputs = {name: wire(value, ports[name], job.signature) for name, value in given.items()}
                flat[id(job)] = key = str(len(graph) + 1)
                params = job.params.model_dump(mode="json", exclude_unset=True)
                graph[key] = {"job": job.signature.full_name, "inputs": inputs, "params": params}
            return flat[id(job)]

        def wire(value: Any, port: Port, signature: JobSignature) -> Any:
            if isinstance(value, Job):
                return {"job": add(value)}
            if isinstance(value, list):
                return [wire(item, port, signature) for item in value]
            if isinstance(value, str):
                return value
            if origin := self._origins.get(id(value)):
                return {"artifact": origin["artifact"]}
            stored = self._store(port, value, signature)
            self.send({"type": "output", "job": self._job, "port": "", "artifact": stored})
            return {"artifact": stored["id"]}

        return {"type": "expanded", "results": [add(job) for job in jobs], "jobs": graph}


class JobProgress(Progress):
    """Reports to the core, at most 20 times a second; the last step is always sent."""

    def __init__(self, job_id: str, send: Send) -> None:
        super().__init__()
        self._job_id = job_id
        self._send = send
        self._next = 0.0
        self._is_last = False

    def report(self, step: int, total: int, message: str, preview: Any) -> None:
        """Send one progress message, with the preview as a JPEG of at most 512 pixels a side."""
        now = time.monotonic()
        was_last, self._is_last = self._is_last, step >= total > 0
        if now < self._next and preview is None and (was_last or not self._is_last):
            return
        self._next = now + PROGRESS_SECONDS
        body: Message = {"type": "progress", "job": self._job_id, "step": step, "total": total, "message": message}
        if preview is not None:
            picture = preview.convert("RGB")
            picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
            stream = io.BytesIO()
            picture.save(stream, "JPEG", quality=85)
            body["preview"] = base64.b64encode(stream.getvalue()).decode()
        self._send(body)


def _failure(error: BaseException) -> Message:
    """Return what a job raised as the body of an error."""
    if isinstance(error, StableCoreError):
        return error.to_dict()
    name, said, text = _in_words(error)
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return OutOfMemory(f"{name}: {said}", "Use a smaller size or batch, or close other programs.", text).to_dict()
    if isinstance(error, SystemExit):
        return PluginRaised(f"The plugin called sys.exit({said})", "Report this to its author.", text).to_dict()
    what = f"{name}: {said}" if said else name
    return PluginRaised(what, "The traceback and the job's log say where.", text).to_dict()


def _import_failure(error: BaseException, source: str) -> Message:
    """Return what the import of a plugin raised as the body of an error."""
    if isinstance(error, BadAnnouncement):
        return error.to_dict()
    name, said, text = _in_words(error)
    hint = "`stable-core plugin info` shows the traceback. Heavy imports belong in the job functions."
    return BadAnnouncement(f"{Path(source).name} cannot be imported: {name}: {said}", hint, text).to_dict()


def _in_words(error: BaseException) -> tuple[str, str, str]:
    """Return an exception's name, its words and its traceback, each of bounded length."""
    try:
        said = str(error)[:2000]
    except Exception:  # noqa: BLE001 - an exception may fail to describe itself
        said = ""
    return type(error).__name__, said, "".join(traceback.format_exception(error))[-20_000:]


def _claim_stdin() -> int:
    """Keep the real stdin for messages and put nothing on fd 0, so that no program a plugin starts eats messages."""
    pipe = os.dup(0)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    return pipe


def _claim_stdout() -> BinaryIO:
    """Keep the real stdout for messages and point fd 1 at stderr, so that no print reaches the protocol."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - fd 1
    return pipe


def _flush_prints() -> None:
    """Send on what was printed so far, also by C code, so that it lands in the log of the job that printed it."""
    with contextlib.suppress(ValueError):  # a plugin may close them
        sys.stdout.flush()
        sys.stderr.flush()
    if sys.platform != "win32":
        _c_library().fflush(None)


def _die_with_parent() -> None:
    """Ask Linux to end this process with the core even while it hangs in C code; elsewhere the closed pipe must do."""
    if sys.platform == "linux":
        _c_library().prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL


@functools.cache
def _c_library() -> Any:
    import ctypes  # noqa: PLC0415 - Windows takes no None

    return ctypes.CDLL(None)


if __name__ == "__main__":
    main()
