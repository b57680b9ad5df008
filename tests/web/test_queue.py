"""The queue page: order, several clients in step, cancel, retry, clear, a server that goes and comes back."""

from __future__ import annotations

import re

import pytest
from gates import Gate
from playwright.sync_api import Locator, Page, expect
from running_server import RunningServer

pytestmark = pytest.mark.timeout(300)


NOTE_CONNECTED = """() => {
    const look = () => { window.isConnectedAgain ||= document.body.innerText.includes("Connected again"); };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
}"""
"""Keeps in mind that the page said so: the note goes by itself, maybe before a test looks."""


def hold(server: RunningServer, gate: str, *texts: str) -> list[str]:
    """Submit jobs that wait at a gate, and return their ids once the first of them runs."""
    ids = [server.submit("probe.hold", text, gate=gate) for text in texts]
    server.until_working(ids[0])
    return ids


def next_jobs(page: Page) -> Locator:
    return page.get_by_role("region", name="Next").get_by_role("listitem")


def names(page: Page, *expected: str) -> None:
    """Expect these jobs to come next, in this order."""
    rows = next_jobs(page)
    expect(rows).to_have_count(len(expected))
    for at, name in enumerate(expected):
        expect(rows.nth(at)).to_have_attribute("aria-label", name)


def move(page: Page, name: str, how: str) -> None:
    next_jobs(page).and_(page.get_by_label(name, exact=True)).get_by_role("button", name=how).click()


def test_what_runs_shows_its_preview_and_the_time_that_is_left(page: Page, server: RunningServer, gate: Gate) -> None:
    page.goto(f"{server.url}/#/queue")
    hold(server, gate.path, "alone")
    card = page.get_by_role("region", name="Running").get_by_role("article")
    expect(card.get_by_alt_text("Preview")).to_be_visible()
    expect(card.get_by_text(re.compile(r"about \d+ (s|min) left"))).to_be_visible()
    gate.open()
    expect(page.get_by_text("Nothing to do")).to_be_visible()


def test_a_phone_tells_how_much_is_unfinished(page: Page, server: RunningServer, gate: Gate) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    hold(server, gate.path, "one", "two")
    expect(page.get_by_role("navigation", name="Pages").get_by_label("2 unfinished")).to_be_in_viewport(ratio=0.999)
    gate.open(2)


@pytest.mark.usefixtures("gate")  # for the probe plugin
def test_what_a_result_has_to_say_is_beside_it(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/queue/finished")
    server.client.run("probe.picture", color="teal")
    expect(page.get_by_role("article", name="probe.picture, succeeded").get_by_text("A small one.")).to_be_visible()


def test_two_pages_show_the_same_order_and_jobs_run_in_it(
    page: Page, other: Page, server: RunningServer, gate: Gate
) -> None:
    for one in (page, other):
        one.goto(f"{server.url}/#/queue")
    first, *rest = hold(server, gate.path, "one", "two", "three", "four", "five")
    for one in (page, other):
        names(one, "two", "three", "four", "five")
    move(page, "five", "Run next")
    for one in (other, page):
        names(one, "five", "two", "three", "four")
    move(other, "four", "Earlier")
    for one in (page, other):
        names(one, "five", "two", "four", "three")
    move(page, "five", "Later")
    for one in (other, page):
        names(one, "two", "five", "four", "three")
    next_jobs(page).nth(3).drag_to(next_jobs(page).nth(1))
    for one in (other, page):
        names(one, "two", "three", "five", "four")
    gate.open(5)
    jobs = [server.ended(job_id) for job_id in (first, *rest)]
    begun = sorted(jobs, key=lambda job: float(job["started"]))
    assert [job["inputs"]["text"] for job in begun] == ["one", "two", "three", "five", "four"]
    for one in (page, other):
        expect(one.get_by_text("Nothing to do")).to_be_visible()


def test_a_drag_that_was_given_up_moves_nothing_later(page: Page, server: RunningServer, gate: Gate) -> None:
    page.goto(f"{server.url}/#/queue")
    hold(server, gate.path, "one", "two", "three", "four")
    names(page, "two", "three", "four")
    nothing = {"dataTransfer": page.evaluate_handle("new DataTransfer()")}
    next_jobs(page).last.dispatch_event("dragstart", nothing)
    next_jobs(page).first.dispatch_event("dragover", nothing)
    next_jobs(page).last.dispatch_event("dragend", nothing)
    with page.expect_request("**/v1/jobs/priorities") as asked:
        next_jobs(page).first.dispatch_event("drop", nothing)  # of something else, such as a file
        move(page, "three", "Run next")
    three = server.client.jobs(state="queued")[1]
    assert three["inputs"] == {"text": "three"}
    assert list(asked.value.post_data_json["priorities"]) == [three["id"]]


def test_a_split_job_is_one_entry(page: Page, server: RunningServer, gate: Gate) -> None:
    page.goto(f"{server.url}/#/queue")
    hold(server, gate.path, "first")
    texts = {"job": "probe.hold", "inputs": {"text": ["a", "b", "c"]}, "params": {"gate": gate.path}}
    server.client.submit(texts)
    expect(next_jobs(page)).to_have_count(1)
    expect(next_jobs(page).get_by_text("3 runs")).to_be_visible()
    expect(page.get_by_label("2 unfinished")).to_be_visible()
    gate.open(2)
    split = page.get_by_role("article", name="probe.hold, 1 of 3 done")
    expect(split.get_by_role("article", name="probe.hold, running")).to_be_visible()
    gate.open(2)
    expect(page.get_by_text("Nothing to do")).to_be_visible()


def test_jobs_are_cancelled_tried_again_and_cleared(page: Page, other: Page, server: RunningServer, gate: Gate) -> None:
    page.goto(f"{server.url}/#/queue")
    hold(server, gate.path, "stopped one", "stopped two", "stopped three")
    move(page, "stopped three", "Cancel")
    names(page, "stopped two")
    page.get_by_role("button", name="Cancel all").click()
    expect(page.get_by_text("Nothing to do")).to_be_visible()
    page.get_by_text("Finished", exact=True).click()
    expect(page).to_have_url(re.compile("#/queue/finished"))
    cards = page.get_by_role("article", name="probe.hold, cancelled")
    again = cards.filter(has_text="stopped two")
    again.get_by_role("button", name="Try again").click()
    expect(cards.filter(has_text="stopped two")).to_have_count(0)
    gate.open()
    ended = page.get_by_role("article", name="probe.hold, succeeded").filter(has_text="stopped two")
    expect(ended).to_be_visible()
    other.goto(f"{server.url}/#/queue/finished")
    expect(other.get_by_role("article", name="probe.hold, succeeded").filter(has_text="stopped two")).to_be_visible()
    page.get_by_role("button", name="Clear finished").click()
    for one in (page, other):
        expect(one.get_by_text("Nothing has ended yet")).to_be_visible()
        one.reload()
        expect(one.get_by_text("Nothing has ended yet")).to_be_visible()


def test_what_failed_says_why_shows_its_log_and_is_tried_again(page: Page, server: RunningServer, gate: Gate) -> None:
    page.goto(f"{server.url}/#/queue/failed")
    server.submit("probe.end", how="raise")
    card = page.get_by_role("article", name="probe.end, failed")
    expect(card.get_by_role("alert")).to_contain_text("it broke")
    card.get_by_role("button", name="What it printed").click()
    expect(page.get_by_role("dialog").get_by_text("last words")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    with page.expect_response(re.compile("/retry$")):
        page.get_by_role("button", name="Try all again").click()
    expect(card).to_be_visible()


def test_the_queue_survives_the_server(page: Page, server: RunningServer, gate: Gate) -> None:
    page.goto(f"{server.url}/#/queue")
    hold(server, gate.path, "before", "later", "last")
    move(page, "last", "Earlier")
    names(page, "last", "later")
    server.kill()
    expect(page.get_by_text("Connection lost, trying again")).to_be_visible()
    names(page, "last", "later")
    page.evaluate(NOTE_CONNECTED)
    server.start()
    page.wait_for_function("window.isConnectedAgain")
    expect(page.get_by_text("Connection lost, trying again")).to_be_hidden()
    names(page, "before", "later")  # what was moved to the front runs first when the server is back
    gate.open(3)
    expect(page.get_by_text("Nothing to do")).to_be_visible()
