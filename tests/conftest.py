"""What all tests share: they never see the settings, the home folder or the models of the person who runs them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import select
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from stable_core.config import Config
from stable_core.core import Core
from stable_core.environments import Environments, EnvironmentSpec
from stable_core_cli.connection import embedded, published
from stable_core_client import ERRORS, Client


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove every STABLE_CORE_* variable and point the home folder into the test's own folder."""
    for name in os.environ:
        if name.startswith("STABLE_CORE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STABLE_CORE_HOME", str(tmp_path / "home"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return an empty home folder."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


# -- cores with real workers, made cheap: one environment and one set of announcements for all tests -------------------

PROBE = Path(__file__).parent / "unit" / "plugins" / "probe.py"
WAIT_SECONDS = 120
"""How long a test waits for something that should come at once; only a failing test waits that long."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio."""
    return "asyncio"


class Lab:
    """Makes home folders that share one ready environment, opens cores in them and runs jobs of the probe plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._template = folder / "template"
        self._numbers = itertools.count(1)
        self._template.mkdir()
        asyncio.run(Environments(self._template).ensure(EnvironmentSpec()))
        home = self.home()
        asyncio.run(self._announce(home))
        (home / "cache").rename(self._template / "cache")

    async def _announce(self, home: Path) -> None:
        async with self.open(home) as core:
            await core.signature("probe.echo")  # however long that takes

    def home(self) -> Path:
        """Return a new home folder with the probe plugin."""
        home = self.folder / f"home-{next(self._numbers)}"
        (home / "plugins").mkdir(parents=True)
        for shared in ("environments", "locks"):
            (home / shared).symlink_to(self._template / shared)
        if (self._template / "cache").is_dir():
            shutil.copytree(self._template / "cache", home / "cache")
        shutil.copy(PROBE, home / "plugins")
        return home

    def open(self, home: Path | None = None, **settings: Any) -> Core:
        """Return a core, not yet started; `settings` are those of the core."""
        home = home or self.home()
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("STABLE_CORE_")]:
                patch.delenv(name)
            config = Config(home)
        if settings:
            config.update(settings)
        return Core(home, config, [home / "plugins"])

    @staticmethod
    @contextlib.contextmanager
    def served(home: Path) -> Iterator[Client]:
        """Serve a home, so that commands for it find the server; gives a client."""
        with contextlib.ExitStack() as stack:
            with pytest.MonkeyPatch.context() as patch:
                for name in [name for name in os.environ if name.startswith("STABLE_CORE_")]:
                    patch.delenv(name)
                client = stack.enter_context(embedded(home))
            url, token = f"http://{client._netloc}", client._headers["Authorization"].removeprefix("Bearer ")
            stack.enter_context(published(home, token, None, url))
            for plugin in client.plugins():
                with contextlib.suppress(ERRORS["not_found"]):
                    client.signature(f"{plugin['name']}.")  # the answer comes when the plugin has announced
            yield client

    def gate(self) -> Gate:
        """Return a gate that jobs wait at."""
        return Gate(self.folder / f"gate-{next(self._numbers)}")

    def tally(self) -> Path:
        """Return the path of a file in which jobs note that they ran."""
        path = self.folder / f"tally-{next(self._numbers)}"
        path.touch()
        return path

    @staticmethod
    async def run(core: Core, job: str, /, owner: str = "local", **request: Any) -> dict[str, Any]:
        """Run a job of the probe plugin to its end and return it; text inputs may be given by port name."""
        name = job if "." in job else f"probe.{job}"
        submitted = await core.submit({"job": name, **request}, owner)
        return await Lab.end(core, submitted["id"])

    @staticmethod
    async def end(core: Core, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job and return it."""
        job = await core.wait(job_id, WAIT_SECONDS)
        assert job["state"].is_final, f"still {job['state']}: {job}"
        return job

    @staticmethod
    async def until(core: Core, kind: str, job: str, after: int = 0) -> dict[str, Any]:
        """Return the first event of a kind that a job has, waiting for it."""
        async with asyncio.timeout(WAIT_SECONDS):
            async for event in core.events(after, job=job):
                if event["type"] == kind:
                    return event
        raise AssertionError(f"the events ended before {kind}")

    @staticmethod
    def has_ended(pid: int) -> bool:
        """Tell whether a process has ended, giving it time to."""
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([process], [], [], WAIT_SECONDS)[0])
        finally:
            os.close(process)

    @staticmethod
    def texts(core: Core, job: dict[str, Any], port: str = "text") -> list[str]:
        """Return the texts that a job made."""
        assert job["state"] == "succeeded", job["error"]
        return [core.artifact_path(made["id"]).read_text("utf-8") for made in job["outputs"][port]]


class Gate:
    """A FIFO that jobs wait at until a byte is put in."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(path)
        self._file = os.open(path, os.O_RDWR)

    def open(self, count: int = 1) -> None:
        """Let `count` jobs through."""
        os.write(self._file, b"x" * count)

    def close(self) -> None:
        """Let go of the FIFO."""
        os.close(self._file)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return the maker of homes and cores."""
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
async def core(lab: Lab) -> AsyncIterator[Core]:
    """Return a running core that the tests of one module share, so that its worker stays warm."""
    async with lab.open() as running:
        yield running


@pytest.fixture
def gate(lab: Lab) -> Iterator[Gate]:
    """Return a gate for jobs to wait at."""
    made = lab.gate()
    yield made
    made.close()
