"""What the tests of the web client share: a real browser and a real server with a home of its own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from stable_core_server.app import WEB_FOLDER

sys.path += [str(Path(__file__).parents[1] / "e2e"), str(Path(__file__).parent)]  # for running_server, gates, pages, …
from gates import Gate
from pages import PATIENCE_MS, opened
from running_server import RunningServer, until

PROBE = Path(__file__).parents[1] / "unit" / "plugins" / "probe.py"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        assert not os.environ.get("CI"), "chromium is missing"
        pytest.skip("there is no Chromium; on Debian: apt install chromium")
    assert (WEB_FOLDER / "index.html").is_file(), "the web client was not built: see what `./start.sh --set-up` said"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Return a server that only the tests of one module use: what they find there, they have made."""
    home = tmp_path_factory.mktemp("web") / "home"
    shutil.copytree(Path(__file__).parent / "plugins", home / "plugins")
    server = RunningServer(home, OMP_NUM_THREADS="1")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def gate(server: RunningServer, tmp_path: Path) -> Iterator[Gate]:
    """Return a gate; the server has the probe plugin from now on, and no unfinished job when the test has ended."""
    (server.home / "plugins").mkdir(exist_ok=True)
    shutil.copy(PROBE, server.home / "plugins")
    made = Gate(tmp_path / "gate")
    yield made
    server.client.cancel_all()
    until(lambda: not any(server.client.health()["jobs"].values()), "the end of all jobs")
    made.close()


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    """Return a new page on the server; a test fails if it throws an error."""
    yield from opened(browser, server)


@pytest.fixture
def other(browser: Browser, server: RunningServer) -> Iterator[Page]:
    """Return the page of somebody else."""
    yield from opened(browser, server)
