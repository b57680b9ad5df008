"""The client: one file, standard library only, Python 3.10 or newer, made to be copied into other apps. It runs no job.

client = Client("http://127.0.0.1:7860")
for image in client.run("sd.txt2img", "a red circle", steps=20):
    client.download(image, "circle.png")
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import mimetypes
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

Json = dict[str, Any]
Response = http.client.HTTPResponse
Read = Callable[[Response], bytes]

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})
EVENT_TIMEOUT_SECONDS = 45.0
"""The server says something at least every 15 seconds; after three times that the line is dead."""
POLL_SECONDS = 30
RETRY_SECONDS = 0.2


class StableCoreError(Exception):
    """The base of every error; `hint` says what to do next."""

    code = "internal"

    def __init__(self, message: str, hint: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.traceback = traceback


class RequestError(StableCoreError):
    """The request was refused; nothing ran."""


class JobFailed(StableCoreError):
    """The job ran and failed."""


class PluginError(StableCoreError):
    """The plugin is at fault, not the request."""


class NoServer(StableCoreError):
    """No server answers at this address."""

    code = "no_server"


_TREE: dict[type[StableCoreError], str] = {
    RequestError: "BadRequest InvalidParams InvalidInput NotFound Conflict NotAllowed TooLarge",
    JobFailed: "PluginRaised OutOfMemory TimedOut WorkerDied InputFailed StorageFull",
    PluginError: "BadAnnouncement EnvironmentFailed ProtocolMismatch",
    StableCoreError: "ConfigError JobCancelled",
}


def _code(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


ERRORS: dict[str, type[StableCoreError]] = {
    _code(name): type(name, (base,), {"__doc__": f"The server's `{_code(name)}`.", "code": _code(name)})
    for base, names in _TREE.items()
    for name in names.split()
}
"""The error classes by code; each is also a name of this module, for example `stable_core_client.NotFound`."""
globals().update({error.__name__: error for error in ERRORS.values()})


def error_from(body: Json) -> StableCoreError:
    """Return the error that the server described."""
    error = ERRORS.get(body.get("code", ""), StableCoreError)
    return error(body.get("message", ""), body.get("hint", ""), body.get("traceback", ""))


def check_job(job: Json) -> Json:
    """Return a job that succeeded.

    Raises:
        JobFailed, PluginError: it failed; the class follows its error code.
        JobCancelled: it was cancelled.
    """
    if job["state"] == "cancelled":
        raise ERRORS["job_cancelled"](f"Job {job['id']} was cancelled.")
    if job["state"] == "failed":
        raise error_from(job["error"])
    return job


def results_of(job: Json) -> list[Json]:
    """Return the artifacts that a job made, port after port."""
    return [artifact for artifacts in job["outputs"].values() for artifact in artifacts]


class Client:
    """A connection to one server; threads may share it.

    Args:
        url: where the server is.
        token: what it asks for when it can be reached from other machines.
        timeout: seconds that one answer may take, and that a server that is gone is waited for.
    """

    def __init__(self, url: str = "http://127.0.0.1:7860", token: str | None = None, timeout: float = 60) -> None:
        parts = urlsplit(url)
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._netloc = parts.netloc
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout
        self._idle: list[http.client.HTTPConnection] = []
        self._signatures: dict[str, Json] = {}

    def close(self) -> None:
        """Close the connections that are kept open; the client may still be used."""
        while self._idle:
            self._idle.pop().close()

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def run(self, job: str, *inputs: Any, on_event: Callable[[Json], None] | None = None, **named: Any) -> list[Json]:
        """Run a job and return its artifacts; inputs by position or name, params by name.

        An input is a text, bytes or a path (which are uploaded), an artifact, or a list of these.

        Raises:
            StableCoreError: the request was refused, or the job failed or was cancelled.
        """
        request = self.request(job, *inputs, **named)
        return results_of(check_job(self.follow(self.submit(request, wait=0 if on_event else POLL_SECONDS), on_event)))

    def request(self, job: str, *inputs: Any, **named: Any) -> Json:
        """Return the request that `run` submits; bytes and paths are uploaded."""
        ports = [port["name"] for port in self.signature(job)["inputs"]]
        if len(inputs) > len(ports):
            hint = f"They are: {', '.join(ports)}."
            raise ERRORS["invalid_input"](f"{job} takes {len(ports)} inputs, got {len(inputs)}.", hint)
        given = dict(zip(ports, inputs))  # noqa: B905 - checked above, and Python 3.9 tools read this file
        given.update({name: named.pop(name) for name in ports if name in named})
        return {"job": job, "inputs": {name: self._input(value) for name, value in given.items()}, "params": named}

    def submit(self, request: Json, key: str | None = None, wait: float = 0) -> Json:
        """Submit `{"job", "inputs", "params", "priority", "timeout", "cache", "map"}` and return the job.

        With `wait` the answer comes when the job has finished or after that many seconds.
        """
        return self._call("POST", _at("jobs", wait=wait or None), request, key or uuid.uuid4().hex)

    def graph(self, document: Json, key: str | None = None) -> Json:
        """Submit a graph document and return `{"id", "jobs": {key: job}}`."""
        return self._call("POST", _at("graphs"), document, key or uuid.uuid4().hex)

    def follow(self, job: Json, on_event: Callable[[Json], None] | None = None) -> Json:
        """Return the job when it has finished, and show its events to `on_event` meanwhile, from the first one."""
        if on_event:
            for event in self.events(after=0, job=job["id"]):
                on_event(event)
                if event["type"].removeprefix("job.") in FINAL_STATES:
                    break
        return self.wait(job["id"]) if job["state"] not in FINAL_STATES else job

    def wait(self, job_id: str, seconds: float | None = None) -> Json:
        """Return the job when it has finished, or as it is after `seconds`; a server that restarts is waited for.

        Raises:
            NoServer: it has not come back in time.
        """
        heard = time.monotonic()
        deadline = heard + (math.inf if seconds is None else seconds)
        while True:
            left = max(0, min(POLL_SECONDS, deadline - time.monotonic()))
            try:
                job = self.job(job_id, wait=left)
            except NoServer:
                if time.monotonic() - heard > self._timeout:
                    raise
                time.sleep(RETRY_SECONDS)
            else:
                heard = time.monotonic()
                if job["state"] in FINAL_STATES or not left:
                    return job

    def job(self, job_id: str, wait: float = 0) -> Json:
        """Return one job."""
        return self._call("GET", _at("jobs", job_id, wait=wait or None))

    def jobs(self, **query: Any) -> list[Json]:
        """List jobs, newest first; `state`, `job`, `graph`, `limit` and `before` narrow the list."""
        return self._list(_at("jobs", **query))

    def cancel(self, job_id: str) -> Json:
        """Cancel one job; a finished one stays as it is."""
        return self._call("POST", _at("jobs", job_id, "cancel"))

    def interrupt(self, job_id: str, skip: bool = False) -> Json:
        """Let a running job end with what it has made or, to skip, go on with the next; not all jobs can."""
        return self._call("POST", _at("jobs", job_id, "interrupt", skip=skip or None))

    def cancel_all(self, **wanted: str) -> int:
        """Cancel all jobs, or those of one `state`, `job` or `graph`; return how many."""
        return int(self._call("POST", _at("jobs", "cancel"), wanted)["cancelled"])

    def retry(self, job_id: str) -> Json:
        """Run a failed or cancelled job again."""
        return self._call("POST", _at("jobs", job_id, "retry"))

    def log(self, job_id: str) -> str:
        """Return what the plugin printed while the job ran."""
        return self._send("GET", _at("jobs", job_id, "log")).decode()

    def events(self, after: int | None = None, job: str | None = None, graph: str | None = None) -> Iterator[Json]:
        """Yield events as they come, for ever; with `after`, first those after that number.

        A lost connection is made again and nothing is missed or seen twice.

        Raises:
            NoServer: the server has not come back in time.
        """
        lost_since = None
        while True:
            target = self._prefix + _at("events", after=after, job=job, graph=graph)
            try:
                with contextlib.closing(self._kind(self._netloc, timeout=EVENT_TIMEOUT_SECONDS)) as connection:
                    connection.request("GET", target, headers=self._headers)
                    for number, event in _read_events(_check(connection.getresponse())):
                        after, lost_since = number, None
                        if event is not None:
                            yield event
            except (OSError, http.client.HTTPException) as error:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > self._timeout:
                    raise self._no_server(error) from None
            time.sleep(RETRY_SECONDS)

    # -- artifacts -----------------------------------------------------------------------------------------------------

    def upload(
        self, content: bytes | str | os.PathLike[str] | IO[bytes], media_type: str = "", filename: str = ""
    ) -> Json:
        """Store bytes, or the file at a path, and return its artifact."""
        with contextlib.ExitStack() as stack:
            body: Any = content
            if isinstance(content, (str, os.PathLike)):
                filename = filename or Path(content).name
                body = stack.enter_context(Path(content).open("rb"))
            headers = {"Content-Type": media_type or mimetypes.guess_type(filename)[0] or "application/octet-stream"}
            stored: Json = json.loads(self._send("POST", _at("artifacts", filename=filename or None), body, headers))
        return stored

    def download(self, artifact: Json | str, path: str | os.PathLike[str] | None = None) -> bytes:
        """Return the bytes of an artifact; with `path` write them there, and return nothing of them."""
        target = _at("artifacts", artifact if isinstance(artifact, str) else artifact["id"])
        if path is None:
            return self._send("GET", target)
        part = Path(f"{os.fspath(path)}.part")

        def save(response: Response) -> bytes:
            with part.open("wb") as file:
                shutil.copyfileobj(response, file, 2**20)
            if response.length:  # of a body that breaks off, http.client says nothing
                raise http.client.IncompleteRead(b"", response.length)
            return b""

        self._send("GET", target, read=save)
        part.replace(path)
        return b""

    # -- what can run --------------------------------------------------------------------------------------------------

    def signatures(self) -> list[Json]:
        """List everything that can run."""
        return self._list(_at("signatures"))

    def signature(self, name: str) -> Json:
        """Describe one signature; it is asked for once."""
        if name not in self._signatures:
            self._signatures[name] = self._call("GET", _at("signatures", name))
        return self._signatures[name]

    def plugins(self) -> list[Json]:
        """List the plugins that were found."""
        return self._list(_at("plugins"))

    def models(self, kind: str) -> list[str]:
        """List the names of the model files of one kind."""
        return self._list(_at("models", kind))

    def health(self) -> Json:
        """Return whether jobs can run."""
        return self._call("GET", "/healthz")

    # -- HTTP ----------------------------------------------------------------------------------------------------------

    def _input(self, value: Any) -> Any:
        if isinstance(value, (bytes, os.PathLike)):
            return {"artifact": self.upload(value)["id"]}
        if isinstance(value, dict) and "media_type" in value:
            return {"artifact": value["id"]}
        return [self._input(one) for one in value] if isinstance(value, (list, tuple)) else value

    def _call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Json:
        content = None if body is None else json.dumps(body).encode()
        found: Json = json.loads(self._send(method, path, content, {"Idempotency-Key": key} if key else {}))
        return found

    def _list(self, path: str) -> list[Any]:
        found: list[Any] = json.loads(self._send("GET", path))
        return found

    def _send(
        self, method: str, path: str, body: Any = None, headers: Json | None = None, read: Read = Response.read
    ) -> bytes:
        """Send a request over a kept connection, once more if the server had closed it, and return the body."""
        while True:
            is_fresh = not self._idle
            connection = self._kind(self._netloc, timeout=self._timeout) if is_fresh else self._idle.pop()
            with contextlib.ExitStack() as stack:
                stack.callback(connection.close)
                try:
                    connection.request(method, self._prefix + path, body, {**self._headers, **(headers or {})})
                    answer = read(_check(connection.getresponse()))
                except (OSError, http.client.HTTPException) as error:
                    if is_fresh:
                        raise self._no_server(error) from None
                    if hasattr(body, "seek"):
                        body.seek(0)
                    continue
                stack.pop_all()
            self._idle.append(connection)
            return answer

    def _no_server(self, error: Exception) -> StableCoreError:
        return NoServer(f"No answer from {self._netloc}: {error}.", "Start the server with `stable-core serve`.")


def _at(*parts: str, **query: Any) -> str:
    """Return the path of a route with its query; what is None is left out."""
    wanted = {name: value for name, value in query.items() if value is not None}
    path = "/v1/" + "/".join(quote(part, safe="") for part in parts)
    return f"{path}?{urlencode(wanted)}" if wanted else path


def _check(response: Response) -> Response:
    """Return a response with status below 400, else raise what its body says."""
    if response.status < 400:
        return response
    content = response.read()
    try:
        body = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        body = {"code": "internal", "message": f"{response.status} {response.reason}"}
    raise error_from(body)


def _read_events(response: Response) -> Iterator[tuple[int | None, Json | None]]:
    """Yield `(number, event)`; the event is None where the stream only says where it stands."""
    number, event = None, None
    for line in response:
        if not line.endswith(b"\n"):  # the connection broke off inside this line
            return
        if line.startswith(b"id:"):
            number = int(line[3:])
        elif line.startswith(b"data:"):
            event = json.loads(line[5:])
        elif line in (b"\n", b"\r\n") and number is not None:
            yield number, event
            event = None
