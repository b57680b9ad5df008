"""How tests open pages of the web client: patient, and in step with the server. No test is here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page
from running_server import RunningServer

PATIENCE_MS = 90_000
"""How long anything may take on a busy machine; a worker with torch has to start in it."""


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """Return the browser of somebody new, as large as a laptop's screen."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
    context.set_default_timeout(PATIENCE_MS)
    return context


def opened(browser: Browser, server: RunningServer) -> Iterator[Page]:
    """Give a page that hears of everything that happens from now on, and close it; it must not throw an error."""
    context = new_context(browser)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    with page.expect_response("**/v1/events"):
        page.goto(server.url)
    yield page
    context.close()
    assert not errors
