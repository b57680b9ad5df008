"""A tour through the web client on a fresh server. A test and the pictures of docs/web.md are made of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from graphs import add_job, box_of, center, choose, drag, node, port
from playwright.sync_api import Locator, Page, expect
from running_server import RunningServer

PROMPT = "a red circle on a blue background"
NOTE_PREVIEWS = """() => {
    window.previews = new Set();
    const look = () => document.querySelectorAll("img[alt=Preview]").forEach((one) => window.previews.add(one.src));
    new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
}"""
"""Keeps the previews that were shown, which come and go faster than a test may look."""
Show = Callable[[str], object]
"""Called with the name of what is on screen now."""


def field(within: Page | Locator, name: str) -> Locator:
    """Return a text field of a form or a node."""
    return within.get_by_role("textbox", name=name, exact=True)


def run(page: Page) -> Locator:
    """Press Run and return the card of the run."""
    cards = page.get_by_role("article")
    before = cards.count()
    page.get_by_role("button", name="Run Ctrl").click()
    expect(cards.nth(before)).to_be_visible()  # the new one stands first
    return cards.first


def take_tour(page: Page, server: RunningServer, show: Show) -> None:
    """Go all the way."""
    see_a_picture_take_shape(page, server, show)
    change_a_part_of_it(page, server, show)
    sweep_a_knob(page, server, show)
    wire_a_graph(page, server, show)
    lose_the_server(page, server, show)
    bring_the_knobs_back(page, server, show)


def see_a_picture_take_shape(page: Page, server: RunningServer, show: Show) -> None:
    """Open the front page, run what is there, and see the preview change before the result."""
    page.goto(server.url)
    expect(page.get_by_role("heading", name="sd.txt2img")).to_be_visible()
    expect(page.get_by_text("Nothing yet")).to_be_visible()
    field(page, "Prompt").fill(PROMPT)
    expect(page.get_by_text("7 / 75 tokens")).to_be_visible()
    field(page, "Steps").fill("60")
    field(page, "Seed").fill("7")
    page.evaluate(NOTE_PREVIEWS)
    card = run(page)
    expect(card).to_have_attribute("aria-label", "sd.txt2img, succeeded")
    expect(card.get_by_alt_text(PROMPT)).to_be_visible()
    previews: list[str] = page.evaluate("[...window.previews]")
    assert len(previews) > 1
    assert all(one.startswith("data:image/jpeg;base64,") for one in previews)


def change_a_part_of_it(page: Page, server: RunningServer, show: Show) -> None:
    """Send the result to img2img and paint a mask over it."""
    page.get_by_role("link", name="Gallery", exact=True).click()
    page.get_by_role("button", name=PROMPT).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Send to").click()
    page.get_by_role("menuitem", name="sd.img2img image", exact=True).click()
    expect(field(page, "Prompt")).to_have_value(PROMPT)
    page.get_by_role("button", name="Paint mask", exact=True).click()
    canvas = page.get_by_label("Mask", exact=True)
    box = box_of(canvas)
    for height in (0.35, 0.5, 0.65):
        start = (box["x"] + 0.3 * box["width"], box["y"] + height * box["height"])
        drag(page, start, (start[0] + 0.4 * box["width"], start[1] + 0.02 * box["height"]))
    show("mask")
    page.get_by_role("button", name="Use this mask").click()
    expect(page.get_by_alt_text("mask", exact=True)).to_be_visible()
    field(page, "Prompt").fill("a yellow star on a blue background")
    card = run(page)
    expect(card).to_have_attribute("aria-label", "sd.img2img, succeeded")


def sweep_a_knob(page: Page, server: RunningServer, show: Show) -> None:
    """Let one knob have three values."""
    page.goto(f"{server.url}/#/jobs/sd.txt2img")
    page.get_by_role("button", name="More for Steps").click()
    page.get_by_role("menuitem", name="Try several values").click()
    sweep = page.get_by_placeholder("Another value")
    sweep.fill("8")
    sweep.press("Enter")
    sweep.fill("20")
    sweep.press("Enter")
    card = run(page)
    expect(card).to_have_attribute("aria-label", "sd.txt2img, succeeded")
    expect(card.locator("img.picture")).to_have_count(3)
    show("jobs")
    page.get_by_role("button", name="One value only").click()


def wire_a_graph(page: Page, server: RunningServer, show: Show) -> None:
    """Pull wires from txt2img to resize to invert, and run them twice, the second time from the cache."""
    page.get_by_role("link", name="Graph", exact=True).click()
    add_job(page, "sd.txt2img")
    field(node(page, "txt2img"), "Prompt").fill("a blue heart")
    field(node(page, "txt2img"), "Seed").fill("3")
    for source, job, key in (("txt2img", "image.resize", "resize"), ("resize", "invert.invert", "invert")):
        start = center(port(page, source, "image", "source"))
        drag(page, start, (start[0] + 60, start[1] + 60))
        page.get_by_role("dialog", name="Jobs that take image").get_by_role("button", name=job).click()
        expect(node(page, key)).to_be_visible()
    page.get_by_role("button", name="Lay out").click()
    page.get_by_role("button", name="Run all").click()
    nodes = page.locator(".react-flow__node-job")
    for key in ("txt2img", "resize", "invert"):
        expect(node(page, key).get_by_text(re.compile("succeeded|cached"))).to_be_visible()
    page.get_by_role("button", name="Run all").click()
    expect(nodes.get_by_text("cached")).to_have_count(3)
    choose(page, "txt2img")
    show("graph")


def lose_the_server(page: Page, server: RunningServer, show: Show) -> None:
    """Kill the server in the middle of a job, start it again and see the job finish."""
    page.goto(f"{server.url}/#/jobs/sd.txt2img")
    field(page, "Prompt").fill("a house in the snow")
    field(page, "Steps").fill("150")
    card = run(page)
    expect(card).to_have_attribute("aria-label", "sd.txt2img, running")
    server.kill()
    expect(page.get_by_text("Connection lost, trying again")).to_be_visible()
    server.start()
    expect(page.get_by_text("Connection lost, trying again")).to_be_hidden()
    expect(card).to_have_attribute("aria-label", "sd.txt2img, succeeded")


def bring_the_knobs_back(page: Page, server: RunningServer, show: Show) -> None:
    """Drop the saved file of the first picture: its job is there as it was."""
    saved = next(path for path in sorted(server.home.glob("outputs/*/*sd.txt2img*red-circle*-7-*.png")))
    page.goto(f"{server.url}/#/jobs/invert.invert")
    expect(page.get_by_role("heading", name="invert.invert")).to_be_visible()
    transfer = page.evaluate_handle(
        "bytes => { const all = new DataTransfer();"
        " all.items.add(new File([new Uint8Array(bytes)], 'picture.png', { type: 'image/png' })); return all; }",
        list(Path(saved).read_bytes()),
    )
    page.get_by_role("heading", name="invert.invert").dispatch_event("drop", {"dataTransfer": transfer})
    expect(field(page, "Prompt")).to_have_value(PROMPT)
    expect(field(page, "Seed")).to_have_value("7")
    expect(field(page, "Steps")).to_have_value("60")
    expect(page.get_by_text("are as they were for this file")).to_be_hidden()  # the note that says so goes by itself
    page.get_by_role("link", name="Gallery", exact=True).click()
    expect(page.get_by_role("button", name=PROMPT).first).to_be_visible()
    show("gallery")
