"""What holds for every page of the web client: it can be used by everybody, on a phone, and is there at once."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphs import CHAIN, choose, open_graph, panel
from pages import new_context
from playwright.sync_api import Browser, Locator, Page, Route, expect
from running_server import RunningServer

from stable_core_server.app import WEB_FOLDER

pytestmark = pytest.mark.timeout(300)

AXE = Path(__file__).parents[2] / "clients" / "web" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = ["jobs/sd.txt2img", "jobs/sd.img2img", "jobs/showcase.say", "queue", "gallery", "graph", "plugins", "settings"]
FIRST_LOAD_BYTES = 300_000
SETTLED = """async () => {
    const inSight = (one) => one.getBoundingClientRect().top < innerHeight;  // others may never load
    const frame = () => new Promise(requestAnimationFrame);
    while (![...document.images].filter(inSight).every((one) => one.complete)) await frame();
    const ending = document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime < Infinity);
    await Promise.allSettled(ending.map((one) => one.finished));
    await frame();
    await frame();
}"""
LARGEST_SHIFT = 0.1
"""What https://web.dev/articles/cls calls good."""


@pytest.fixture(scope="module")
def results(server: RunningServer) -> None:
    """See to it that there is something on every page."""
    for seed in (1, 2):
        server.client.run("sd.txt2img", "a red circle on a blue background", seed=seed, steps=4)
    server.client.wait(server.submit("showcase.say", "hello"))


@pytest.fixture(params=["light", "dark"])
def themed(request: pytest.FixtureRequest, browser: Browser, server: RunningServer, results: None) -> Iterator[Page]:
    context = new_context(browser, color_scheme=request.param, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def settle(page: Page, path: str) -> None:
    """Return when a page has drawn what it fetches: what comes last is there, and nothing moves any more."""
    last: dict[str, Locator] = {
        "jobs": page.get_by_role("button", name=re.compile("^Run")),
        "queue": page.get_by_text("Nothing to do"),
        "gallery": page.get_by_test_id("gallery").get_by_role("listitem").first,
        "graph": page.get_by_text("An empty canvas"),
        "plugins": page.get_by_role("region", name="Server log").get_by_label("Log"),
        "settings": page.get_by_role("region", name="sd", exact=True),
    }
    expect(last[path.partition("/")[0]]).to_be_visible()
    expect(page.get_by_label("Loading", exact=True)).to_have_count(0)
    page.evaluate(SETTLED)


def faults(page: Page) -> list[str]:
    """Return the serious and critical findings of axe: what is wrong, and where."""
    page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']} ({one['impact']}): {item['html'][:200]} {item['failureSummary'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for item in one["nodes"]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_no_page_shuts_anybody_out(themed: Page, server: RunningServer, path: str) -> None:
    themed.goto(f"{server.url}/#/{path}")
    settle(themed, path)
    if path == "graph":
        open_graph(themed, CHAIN)
        choose(themed, "base")
        expect(panel(themed, "base").get_by_role("textbox", name="Prompt", exact=True)).to_be_visible()
    assert not faults(themed)


def test_windows_over_the_page_shut_nobody_out(themed: Page, server: RunningServer) -> None:
    themed.goto(f"{server.url}/#/graph")
    settle(themed, "graph")
    themed.get_by_role("button", name="Add a job").click()
    expect(themed.get_by_role("dialog")).to_be_visible()
    assert not faults(themed)
    themed.keyboard.press("Escape")
    open_graph(themed, CHAIN)
    themed.get_by_role("button", name="As a program").click()
    expect(themed.get_by_label("python program")).to_be_visible()
    themed.mouse.move(0, 0)
    expect(themed.get_by_role("tooltip")).to_have_count(0)
    assert not faults(themed)
    themed.goto(f"{server.url}/#/gallery")
    themed.get_by_role("button", name="a red circle").first.click()
    expect(themed.get_by_role("dialog").get_by_role("button", name="Its graph")).to_be_visible()
    assert not faults(themed)
    themed.goto(f"{server.url}/#/jobs/sd.img2img")
    settle(themed, "jobs")
    themed.get_by_role("button", name="Pick image from the gallery").click()
    themed.get_by_role("dialog").get_by_role("button", name="a red circle").first.click()
    themed.get_by_role("button", name="Paint mask", exact=True).click()
    expect(themed.get_by_label("Mask", exact=True)).to_be_visible()
    assert not faults(themed)


def test_a_result_in_full_shuts_nobody_out(themed: Page, server: RunningServer) -> None:
    themed.goto(f"{server.url}/#/gallery")
    settle(themed, "gallery")
    themed.get_by_role("button", name="Select").click()
    cells = themed.get_by_test_id("gallery").get_by_role("listitem")
    for at in (0, 1):
        cells.nth(at).get_by_role("button").first.click()
    assert not faults(themed)
    themed.get_by_role("button", name="Compare").click()
    expect(themed.get_by_role("dialog", name="a red circle")).to_be_visible()
    assert not faults(themed)
    themed.get_by_role("button", name="Delete").click()
    expect(themed.get_by_role("button", name="Keep")).to_be_visible()
    assert not faults(themed)


@pytest.mark.parametrize("path", ["jobs", "queue", "gallery", "graph", "plugins", "settings"])
def test_every_page_can_be_named_and_fits_a_phone(page: Page, server: RunningServer, results: None, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/#/{path}")
    expect(page.get_by_role("link", name=path.capitalize())).to_have_attribute("aria-current", "page")
    settle(page, path)
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert not faults(page)


def watch_jumps(page: Page) -> None:
    """See to it that pages which are opened from now on note what moves without anybody having done something."""
    page.add_init_script(
        """window.shifts = [];
        window.observer = new PerformanceObserver((list) => window.shifts.push(...list.getEntries()));
        window.observer.observe({ type: "layout-shift", buffered: true });"""
    )
    page.goto("about:blank")


def jumps(page: Page) -> float:
    """Return how much has moved."""
    shifts = "[...window.shifts, ...window.observer.takeRecords()].filter((one) => !one.hadRecentInput)"
    return float(page.evaluate(f"{shifts}.reduce((sum, one) => sum + one.value, 0)"))


@pytest.mark.parametrize("path", ["jobs/sd.txt2img", "queue", "gallery", "plugins", "settings"])
def test_nothing_jumps_while_a_page_loads(page: Page, server: RunningServer, results: None, path: str) -> None:
    watch_jumps(page)
    page.goto(f"{server.url}/#/{path}")
    settle(page, path)
    assert jumps(page) < LARGEST_SHIFT


def test_settings_do_not_jump_when_those_above_come_last(page: Page, server: RunningServer) -> None:
    watch_jumps(page)
    held: list[Route] = []
    page.route("**/v1/settings", lambda route: held.append(route))
    with page.expect_response("**/v1/plugins/sd/settings"):
        page.goto(f"{server.url}/#/settings")
    page.evaluate(SETTLED)
    for one in held:
        one.continue_()
    settle(page, "settings")
    assert jumps(page) < LARGEST_SHIFT


def test_every_control_of_a_form_is_reached_with_tab_and_shows_it(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/showcase.say")
    settle(page, "jobs")
    page.get_by_role("textbox", name="Text", exact=True).focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement?.id || document.activeElement?.getAttribute('aria-label')")
        reached.add(name)
        if name and str(name).startswith("root_"):
            outlined = page.evaluate(
                "(() => { const s = getComputedStyle(document.activeElement);"
                " return s.outlineStyle !== 'none' || s.borderColor; })()"
            )
            assert outlined
    assert {"root_strength", "root_size", "root_seed", "root_mode", "root_colour", "root_caption"} <= reached


def test_the_first_page_loads_little(page: Page, server: RunningServer) -> None:
    loaded: set[str] = set()
    page.on("response", lambda response: loaded.add(response.url.removeprefix(server.url).partition("?")[0]))
    page.reload()
    expect(page.get_by_role("button", name="Run Ctrl")).to_be_visible()
    files = [WEB_FOLDER / path.lstrip("/") for path in loaded]
    sizes = {file.name: len(gzip.compress(file.read_bytes())) for file in files if file.is_file()}
    assert len(sizes) > 2
    assert sum(sizes.values()) <= FIRST_LOAD_BYTES, sizes
