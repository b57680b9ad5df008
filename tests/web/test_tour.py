"""The tour through the web client, from a fresh server to the end, in one go."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import new_context
from playwright.sync_api import Browser
from running_server import RunningServer
from tour import take_tour


@pytest.mark.timeout(600)
def test_the_tour(browser: Browser, tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "home", OMP_NUM_THREADS="1")
    context = new_context(browser)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    shown: list[str] = []
    try:
        take_tour(page, server.start(), shown.append)
    finally:
        context.close()
        server.stop()
    assert shown == ["mask", "jobs", "graph", "gallery"]
    assert not errors
