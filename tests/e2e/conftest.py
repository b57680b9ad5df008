"""What the end-to-end tests share: real servers with real workers, homes with fault plugins, logs of what failed."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stable_core.environments import Environments, EnvironmentSpec

sys.path.insert(0, str(Path(__file__).parent))  # for running_server
from running_server import RunningServer, until

FAULT_PLUGINS = Path(__file__).parent / "fault_plugins"

MakeServer = Callable[..., RunningServer]


@pytest.fixture(scope="session")
def warm_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose environment is made and whose plugins have announced: what new homes copy."""
    if sys.platform == "win32":
        pytest.skip("these faults are made with signals and limits that Windows does not have")
    home = tmp_path_factory.mktemp("warm") / "home"
    copy_plugins(home)
    asyncio.run(Environments(home).ensure(EnvironmentSpec()))
    server = RunningServer(home).start()
    until(lambda: all(plugin["signatures"] for plugin in server.client.plugins()), "what the plugins announce")
    server.terminate()
    return home


@pytest.fixture(scope="session")
def make_home(warm_home: Path) -> Callable[[Path], Path]:
    """Return a function that fills a folder as a home with the fault plugins and nothing left to set up."""

    def make(home: Path) -> Path:
        copy_plugins(home)
        shutil.copytree(warm_home / "cache", home / "cache")
        for shared in ("environments", "locks"):
            (home / shared).symlink_to(warm_home / shared)
        return home

    return make


def copy_plugins(home: Path) -> None:
    """Install the fault plugins that announce well; a test adds the others itself."""
    (home / "plugins").mkdir(parents=True)
    for name in ("calm.py", "faults.py"):
        shutil.copy(FAULT_PLUGINS / name, home / "plugins")


@pytest.fixture
def make_server(
    make_home: Callable[[Path], Path], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[MakeServer]:
    """Return a function that makes a server with a new home, not started; settings by environment variable."""
    servers: list[RunningServer] = []

    def make(home: Path | None = None, **variables: str) -> RunningServer:
        home = make_home(tmp_path / f"home{len(servers)}") if home is None else home
        servers.append(RunningServer(home, **variables))
        request.node.servers = servers
        return servers[-1]

    yield make
    for server in servers:
        server.stop()
    assert not [server.output for server in servers if "Traceback" in server.output]


@pytest.fixture
def new_server(make_server: MakeServer) -> RunningServer:
    """Return a started server of the test's own."""
    return make_server().start()


@pytest.fixture(scope="module")
def shared_server(
    make_home: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Return a started server that the tests of a module share: none of them may hurt it."""
    server = RunningServer(
        make_home(tmp_path_factory.mktemp("shared") / "home"), STABLE_CORE_CANCEL_GRACE_SECONDS="0.2"
    )
    yield server.start()
    server.stop()
    assert "Traceback" not in server.output


@pytest.fixture
def server(shared_server: RunningServer, request: pytest.FixtureRequest) -> RunningServer:
    """Return the module's server; it must be alive and well before the test, and is its evidence after."""
    request.node.servers = [shared_server]
    assert shared_server.client.health()["status"] == "ok"
    return shared_server


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the servers of a failed test said, and the ends of the logs of their jobs."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for server in getattr(item, "servers", []):
            report.sections.append((f"output of the server at {server.home}", server.output[-10_000:]))
            for log in sorted((server.home / "logs").glob("*.log"), key=lambda path: path.stat().st_mtime)[-3:]:
                report.sections.append((f"end of {log}", log.read_bytes()[-2000:].decode(errors="replace")))
