"""A real server process with a home of its own: start, talk to, kill, start again. It knows nothing of faults."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil

from stable_core_client import Client

DEADLINE_SECONDS = 120
"""How long anything may take before a test gives up; no test passes or fails by being fast."""

Found = TypeVar("Found")
Event = dict[str, Any]


def until(probe: Callable[[], Found], what: str) -> Found:
    """Return the first truthy answer of `probe`, asked again and again, or fail saying what did not come."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    pause = 0.005
    while not (found := probe()):
        assert time.monotonic() < deadline, f"waited {DEADLINE_SECONDS} s for: {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    return found


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; whoever inherited it may not have taken note yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class RunningServer:
    """A `stable-core serve` process. Start it with `start`; after `kill` or `terminate` it can be started again.

    Args:
        home: the home folder.
        variables: STABLE_CORE_* settings by environment variable.
    """

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.port = 0
        self.output = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STABLE_CORE_")}
        self._environment = {**kept, "PYTHONUNBUFFERED": "1", **variables}

    def start(self) -> RunningServer:
        """Start the process and return when it serves; the port of an earlier start is used again.

        Raises:
            AssertionError: it ended before it served; its output is in the message.
        """
        assert self.try_start(), f"the server ended with exit code {self.wait()}:\n{self.output}"
        assert self.client.health()["status"] == "ok"
        return self

    def try_start(self) -> bool:
        """Start the process and tell whether it serves; if not, it has ended, and `output` says why."""
        command = ["-m", "stable_core_cli", "serve", "--home", str(self.home), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._is_serving = False
        self._is_decided = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._is_decided.wait(DEADLINE_SECONDS), f"the server neither served nor ended:\n{self.output}"
        self.client = Client(self.url, timeout=DEADLINE_SECONDS)
        return self._is_serving

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self.output += line
                if (found := re.search(r"http://127\.0\.0\.1:(\d+)", line)) and not self._is_serving:
                    self.port = int(found[1])
                    self._is_serving = True
                    self._is_decided.set()
        self._is_decided.set()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    # -- its end -------------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill it as the kernel would, and wait until its workers are gone too."""
        workers = self.workers()
        self.process.kill()
        self.wait()
        until(lambda: all(is_gone(worker.pid) for worker in workers), "the end of the workers of a killed server")

    def terminate(self) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended and return its exit code."""
        code = self.process.wait(DEADLINE_SECONDS)
        self._reader.join(DEADLINE_SECONDS)
        self._close_client()
        return code

    def stop(self) -> None:
        """End it in whatever state it is; for clearing up."""
        if hasattr(self, "process"):
            if self.process.poll() is None:
                self.kill()
            else:
                self.wait()

    def _close_client(self) -> None:
        for connection in self.client._idle if hasattr(self, "client") else []:
            connection.close()

    # -- what happens inside ----------------------------------------------------------------------------------------

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def worker_pid(self, plugin: str) -> int:
        """Return the process id of a plugin's worker, 0 if there is none."""
        [host] = self.client._list("/v1/hosts")
        return next((worker["pid"] for worker in host["workers"] if worker["plugin"] == plugin), 0)

    def set(self, **settings: Any) -> None:
        """Change settings of the core; what a variable sets stays as it is."""
        self.client._call("PUT", "/v1/settings", settings)

    def submit(self, job: str, text: str | None = None, **params: Any) -> str:
        """Submit a job of one text input, past the cache, and return its id."""
        inputs = {} if text is None else {"text": text}
        return str(self.client.submit({"job": job, "inputs": inputs, "params": params, "cache": False})["id"])

    def events(self, job_id: str | None = None, after: int = 0) -> Iterator[Event]:
        """Yield events, for ever."""
        return self.client.events(after=after, job=job_id)

    def until_event(self, job_id: str, kind: str, after: int = 0) -> Event:
        """Return the job's first event of a kind with a number above `after`; its end ends the waiting too."""
        endings = {"job.succeeded", "job.failed", "job.cancelled"}
        with contextlib.closing(self.events(job_id, after)) as events:  # type: ignore[type-var]
            event = next(event for event in events if event["type"] in {kind, *endings})
        assert event["type"] == kind, f"{job_id}: {event}"
        return event

    def until_working(self, job_id: str, attempt: int = 1) -> Event:
        """Return when the plugin's function runs: its first progress report of this attempt."""
        after = 0
        for _ in range(attempt):
            after = self.until_event(job_id, "job.running", after)["seq"]
        return self.until_event(job_id, "job.progress", after)

    def ended(self, job_id: str) -> dict[str, Any]:
        """Return the job when it has ended."""
        job = self.client.wait(job_id, DEADLINE_SECONDS)
        assert job["state"] in ("succeeded", "failed", "cancelled"), job
        return job

    def text_of(self, job: dict[str, Any]) -> str:
        """Return the text that a job made."""
        [artifacts] = job["outputs"].values()
        return self.client.download(artifacts[0]).decode()
