"""What every benchmark needs: a server in a fresh home, a lean HTTP connection, printing. No measurement here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil

PLUGINS = Path(__file__).parent / "plugins"
REPOSITORY = Path(__file__).parent.parent


class ServerProcess:
    """A running `stable-core serve` of its own home."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stable_core_cli", "serve", "--home", str(home), "--port", "0"],
            env={**{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url = ""
        self.port = 0
        self.ready_seconds = self._wait_until_ready()

    def _wait_until_ready(self) -> float:
        while time.perf_counter() - self.started < 60:
            with contextlib.suppress(OSError, ValueError):
                self.url = self.url or json.loads((self.home / "server.json").read_text())["url"]
                with urllib.request.urlopen(self.url + "/healthz", timeout=5) as answer:
                    if json.load(answer)["status"] == "ok":
                        self.port = int(self.url.rpartition(":")[2])
                        return time.perf_counter() - self.started
            time.sleep(0.005)
        raise RuntimeError("the server did not start")

    @property
    def memory_mb(self) -> float:
        """Resident memory of the server process alone."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the server process alone."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def get(self, path: str) -> Any:
        """GET and decode JSON."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        """POST JSON and decode the answer."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def run(self, job: str, params: dict[str, Any] | None = None) -> Any:
        """Run one job to its end."""
        submitted = self.post("/v1/jobs", {"job": job, "params": params or {}})
        return self.get(f"/v1/jobs/{submitted['id']}?wait=60")

    def stop(self, *, hard: bool = False) -> None:
        """End the server."""
        self.process.kill() if hard else self.process.terminate()
        self.process.wait(30)


@contextlib.contextmanager
def fresh_home(*plugins: str) -> Iterator[Path]:
    """Make an empty home with some of the plugins beside this file."""
    with tempfile.TemporaryDirectory(prefix="stable-core-bench-") as folder:
        home = Path(folder)
        (home / "plugins").mkdir()
        for name in plugins:
            shutil.copy(PLUGINS / f"{name}.py", home / "plugins")
        yield home


@contextlib.contextmanager
def running(home: Path, **environment: str) -> Iterator[ServerProcess]:
    """Start a server and stop it afterwards."""
    server = ServerProcess(home, **environment)
    try:
        yield server
    finally:
        server.stop()


class Connection:
    """One keep-alive HTTP connection that costs the client as little as possible."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, path: str, body: bytes) -> bytes:
        """POST and return the body of the answer."""
        lines = ["Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
        self._writer.write("\r\n".join([f"POST {path} HTTP/1.1", *lines]).encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        size = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        content = await self._reader.readexactly(size)
        if not answer.startswith(b"HTTP/1.1 201"):
            raise RuntimeError(content.decode())
        return content


async def event_stream(port: int, query: str = "") -> AsyncIterator[Any]:
    """Yield events from the WebSocket."""
    import websockets

    async with websockets.connect(
        f"ws://127.0.0.1:{port}/v1/events{query}", compression=None, max_queue=None
    ) as socket:
        yield None
        async for text in socket:
            yield json.loads(text)


def spread(values: list[float], digits: int = 3) -> dict[str, float]:
    """Return p50, p95, p99 and the number of values."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], digits)

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "n": len(ordered)}


def median(values: list[float], digits: int = 3) -> float:
    """Return the median."""
    return round(statistics.median(values), digits)


def report(name: str, numbers: dict[str, Any]) -> None:
    """Print the numbers as JSON with the load of the machine, which decides how far they can be trusted."""
    machine = {
        "cpus": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": sys.version.split()[0],
    }
    print(json.dumps({"benchmark": name, **numbers, "machine": machine}, indent=2))
