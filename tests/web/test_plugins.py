"""Plugins with their state, size, workers and log; hosts and memory; the server's log; settings by schema."""

from __future__ import annotations

import re

import pytest
from gates import Gate
from playwright.sync_api import Page, expect
from running_server import RunningServer

pytestmark = pytest.mark.timeout(300)


def test_a_plugin_shows_its_worker_whose_log_is_read_and_which_is_restarted(
    page: Page, server: RunningServer, gate: Gate
) -> None:
    page.goto(f"{server.url}/#/plugins")
    held = server.submit("probe.hold", "x", gate=gate.path)
    server.until_working(held)
    card = page.get_by_role("article", name="probe")
    expect(card.get_by_text("working", exact=True)).to_be_visible()
    expect(card.get_by_text(re.compile(r"environment of [\d.]+ MiB"))).to_be_visible()
    worker = card.get_by_role("group", name="Worker on cpu")
    before = server.worker_pid("probe")
    expect(worker.get_by_text(f"process {before}")).to_be_visible()
    worker.get_by_role("button", name="Restart").click()
    server.until_working(held, attempt=2)
    expect(worker.get_by_text(f"process {server.worker_pid('probe')}")).to_be_visible()
    assert server.worker_pid("probe") != before
    gate.open()
    assert server.ended(held)["attempt"] == 2
    server.ended(server.submit("probe.end", how="raise"))
    expect(card.get_by_text("loaded", exact=True)).to_be_visible()
    worker.get_by_role("button", name="What it printed").click()
    expect(page.get_by_role("dialog").get_by_text("last words")).to_be_visible()


def test_a_broken_plugin_says_why_and_new_ones_appear(page: Page, server: RunningServer) -> None:
    folder = server.home / "plugins"
    folder.mkdir(exist_ok=True)
    page.goto(f"{server.url}/#/plugins")
    expect(page.get_by_role("article", name="invert")).to_be_visible()
    broken = folder / "broken_one.py"
    broken.write_text(
        'from stable_core.sdk import Plugin\nplugin = Plugin("broken_one")\nraise ValueError("no luck")\n'
    )
    page.reload()
    card = page.get_by_role("article", name="broken_one")
    expect(card.get_by_role("alert")).to_contain_text("no luck")
    expect(card.get_by_text("broken", exact=True)).to_be_visible()
    broken.unlink()


def test_the_machine_and_the_log_of_the_server_are_shown(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/plugins")
    machine = page.get_by_role("region", name="This machine")
    expect(machine.get_by_text("cpu", exact=True)).to_be_visible()
    expect(machine.get_by_text(re.compile(r"[\d.]+ GiB"))).to_be_visible()
    expect(page.get_by_role("region", name="Server log").get_by_text(f"Serving at {server.url}")).to_be_visible()


def test_settings_are_drawn_from_their_schemas_and_saved(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/settings")
    form = page.get_by_role("region", name="Server", exact=True)
    days = form.get_by_role("textbox", name="Worker Idle Seconds")
    days.fill("120")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    assert server.client._call("GET", "/v1/settings")["values"]["worker_idle_seconds"] == 120
    page.reload()
    expect(days).to_have_value(re.compile("120"))
    expect(form.get_by_role("button", name="Save")).to_be_disabled()
    server.client._call("PUT", "/v1/settings", {"worker_idle_seconds": None})
    expect(page.get_by_role("region", name="sd", exact=True)).to_be_visible()
