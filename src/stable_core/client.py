"""The client: one file, standard library only, Python 3.10 or newer, made to be copied into other apps. It runs no job.

client = Client("http://127.0.0.1:7860")
for image in client.run("sd.txt2img", "a red circle", steps=20):
    client.download(image, "circle.png")
"""

from __future__ import annotations

import contextlib
import http.client
import json
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
"""The error classes by code; each is also a name of this module, for example `client.NotFound`."""
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
        self._is_https = parts.scheme == "https"
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
        ports = {port["name"]: port for port in self.signature(job)["inputs"]}
        if len(inputs) > len(ports):
            raise ERRORS["invalid_input"](
                f"{job} takes {len(ports)} inputs, got {len(inputs)}.", f"They are: {', '.join(ports)}."
            )
        given = dict(zip(ports, inputs))  # noqa: B905 - checked above, and Python 3.9 tools read this file
        given.update({name: named.pop(name) for name in list(named) if name in ports})
        return {"job": job, "inputs": {name: self._input(value) for name, value in given.items()}, "params": named}

    def submit(self, request: Json, key: str | None = None, wait: float = 0) -> Json:
        """Submit `{"job", "inputs", "params", "priority", "timeout", "cache", "map"}` and return the job.

        With `wait` the answer comes when the job has finished or after that many seconds.
        """
        query = {"wait": wait} if wait else None
        return self._call("POST", "/v1/jobs", request, query, {"Idempotency-Key": key or uuid.uuid4().hex})

    def graph(self, document: Json, key: str | None = None) -> Json:
        """Submit a graph document and return `{"id", "jobs": {key: job}}`."""
        return self._call("POST", "/v1/graphs", document, None, {"Idempotency-Key": key or uuid.uuid4().hex})

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
        deadline = None if seconds is None else time.monotonic() + seconds
        heard = time.monotonic()
        while True:
            left = POLL_SECONDS if deadline is None else max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))
            try:
                job = self.job(job_id, wait=left)
            except NoServer:
                if time.monotonic() - heard > self._timeout:
                    raise
                time.sleep(RETRY_SECONDS)
                continue
            heard = time.monotonic()
            if job["state"] in FINAL_STATES or not left:
                return job

    def job(self, job_id: str, wait: float = 0) -> Json:
        """Return one job."""
        return self._call("GET", f"/v1/jobs/{quote(job_id, safe='')}", query={"wait": wait} if wait else None)

    def jobs(self, **query: Any) -> list[Json]:
        """List jobs, newest first; `state`, `job`, `graph`, `limit` and `before` narrow the list."""
        return self._list("/v1/jobs", query)

    def cancel(self, job_id: str) -> Json:
        """Cancel one job; a finished one stays as it is."""
        return self._call("POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel")

    def cancel_all(self, **wanted: str) -> int:
        """Cancel all jobs, or those of one `state`, `job` or `graph`; return how many."""
        return int(self._call("POST", "/v1/jobs/cancel", wanted)["cancelled"])

    def retry(self, job_id: str) -> Json:
        """Run a failed or cancelled job again."""
        return self._call("POST", f"/v1/jobs/{quote(job_id, safe='')}/retry")

    def log(self, job_id: str) -> str:
        """Return what the plugin printed while the job ran."""
        return self._send("GET", f"/v1/jobs/{quote(job_id, safe='')}/log").decode()

    def events(self, after: int | None = None, job: str | None = None, graph: str | None = None) -> Iterator[Json]:
        """Yield events as they come, for ever; with `after`, first those after that number.

        A lost connection is made again and nothing is missed or seen twice.

        Raises:
            NoServer: the server has not come back in time.
        """
        lost_since = None
        while True:
            connection = self._connect(EVENT_TIMEOUT_SECONDS)
            try:
                target = self._target("/v1/events", {"after": after, "job": job, "graph": graph})
                connection.request("GET", target, headers=self._headers)
                for number, event in _read_events(_check(connection.getresponse())):
                    after, lost_since = number, None
                    if event is not None:
                        yield event
            except (OSError, http.client.HTTPException) as error:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > self._timeout:
                    raise self._no_server(error) from None
            finally:
                connection.close()
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
            media_type = media_type or mimetypes.guess_type(filename)[0] or "application/octet-stream"
            headers = {"Content-Type": media_type}
            if not isinstance(body, bytes):
                headers["Content-Length"] = str(body.seek(0, os.SEEK_END))
                body.seek(0)
            query = {"filename": filename} if filename else None
            stored: Json = json.loads(self._send("POST", "/v1/artifacts", body, query, headers))
        return stored

    def download(self, artifact: Json | str, path: str | os.PathLike[str] | None = None) -> bytes:
        """Return the bytes of an artifact; with `path` write them there, and return nothing of them."""
        target = f"/v1/artifacts/{quote(artifact if isinstance(artifact, str) else artifact['id'], safe='')}"
        if path is None:
            return self._send("GET", target)
        connection = self._connect(self._timeout)
        try:
            connection.request("GET", self._target(target), headers=self._headers)
            part = Path(f"{os.fspath(path)}.part")
            with _check(connection.getresponse()) as response, part.open("wb") as file:
                shutil.copyfileobj(response, file, 2**20)
                if response.length:  # of a body that breaks off, http.client says nothing
                    raise http.client.IncompleteRead(b"", response.length)
            part.replace(path)
        except (OSError, http.client.HTTPException) as error:
            raise self._no_server(error) from None
        finally:
            connection.close()
        return b""

    # -- what can run --------------------------------------------------------------------------------------------------

    def signatures(self) -> list[Json]:
        """List everything that can run."""
        return self._list("/v1/signatures")

    def signature(self, name: str) -> Json:
        """Describe one signature; it is asked for once."""
        if name not in self._signatures:
            self._signatures[name] = self._call("GET", f"/v1/signatures/{quote(name, safe='')}")
        return self._signatures[name]

    def plugins(self) -> list[Json]:
        """List the plugins that were found."""
        return self._list("/v1/plugins")

    def models(self, kind: str) -> list[str]:
        """List the names of the model files of one kind."""
        return self._list(f"/v1/models/{quote(kind, safe='')}")

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

    def _call(
        self, method: str, path: str, body: Any = None, query: Json | None = None, headers: Json | None = None
    ) -> Json:
        content = None if body is None else json.dumps(body).encode()
        found: Json = json.loads(self._send(method, path, content, query, headers))
        return found

    def _list(self, path: str, query: Json | None = None) -> list[Any]:
        found: list[Any] = json.loads(self._send("GET", path, None, query))
        return found

    def _send(
        self, method: str, path: str, body: Any = None, query: Json | None = None, headers: Json | None = None
    ) -> bytes:
        """Send a request over a kept connection, once more if the server had closed it, and return the body."""
        while True:
            is_fresh = not self._idle
            connection = self._connect(self._timeout) if is_fresh else self._idle.pop()
            try:
                connection.request(method, self._target(path, query), body, {**self._headers, **(headers or {})})
                answer = _check(connection.getresponse()).read()
            except StableCoreError:
                self._idle.append(connection)
                raise
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if is_fresh:
                    raise self._no_server(error) from None
                if hasattr(body, "seek"):
                    body.seek(0)
                continue
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
            return answer

    def _target(self, path: str, query: Json | None = None) -> str:
        wanted = {name: value for name, value in (query or {}).items() if value is not None}
        return self._prefix + path + (f"?{urlencode(wanted)}" if wanted else "")

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._is_https else http.client.HTTPConnection
        return kind(self._netloc, timeout=timeout)

    def _no_server(self, error: Exception | None = None) -> StableCoreError:
        reason = f": {error}" if error else ""
        return NoServer(f"No answer from {self._netloc}{reason}.", "Start the server with `stable-core serve`.")


def _check(response: http.client.HTTPResponse) -> http.client.HTTPResponse:
    """Return a response with status below 400, else raise what its body says."""
    if response.status < 400:
        return response
    content = response.read()
    try:
        body = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        body = {"code": "internal", "message": f"{response.status} {response.reason}"}
    raise error_from(body)


def _read_events(response: http.client.HTTPResponse) -> Iterator[tuple[int | None, Json | None]]:
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
