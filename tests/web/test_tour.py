"""A tour through the web client in a real browser, against a real server with real workers and the built-in model."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect
from running_server import RunningServer

pytestmark = pytest.mark.timeout(300)


def run(page: Page) -> Locator:
    """Press Run and return the card of the run."""
    page.get_by_role("button", name="Run Ctrl").click()
    return page.get_by_role("article").first


def test_a_picture_takes_shape_before_it_is_there(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/sd.txt2img")
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a red circle on a blue background")
    page.get_by_role("textbox", name="Steps", exact=True).fill("60")
    page.get_by_role("textbox", name="Seed", exact=True).fill("7")
    card = run(page)
    preview = card.get_by_alt_text("Preview")
    expect(preview).to_be_visible()
    assert (preview.get_attribute("src") or "").startswith("data:image/jpeg;base64,")
    expect(card).to_have_attribute("aria-label", "sd.txt2img, succeeded")
    expect(card.get_by_alt_text("a red circle on a blue background")).to_be_visible()


def test_the_server_says_what_is_wrong_at_the_knob(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/image.resize")
    page.get_by_role("button", name="Run Ctrl").click()
    expect(page.get_by_role("alert").first).to_be_visible()


def test_a_sweep_runs_once_for_each_value(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/sd.txt2img")
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a green star")
    page.get_by_role("button", name="More for steps").click()
    page.get_by_role("menuitem", name="Try several values").click()
    sweep = page.get_by_placeholder("One run for each value")
    for steps in ("3", "4"):
        sweep.fill(steps)
        sweep.press("Enter")
    card = run(page)
    expect(card).to_have_attribute("aria-label", "sd.txt2img, succeeded")
    expect(card.get_by_role("img")).to_have_count(3)


def test_a_result_is_found_looked_at_and_sent_on(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/gallery")
    page.get_by_label("Words of the prompt").fill("red circle")
    page.get_by_role("button", name="a red circle on a blue background").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("cell", name="a red circle on a blue background")).to_be_visible()
    dialog.get_by_role("button", name="Send to").click()
    page.get_by_role("menuitem", name="invert.invert").click()
    card = run(page)
    expect(card).to_have_attribute("aria-label", "invert.invert, succeeded")


def test_a_dropped_picture_brings_its_knobs_back(page: Page, server: RunningServer) -> None:
    saved = next(path for path in server.home.glob("outputs/*/*sd.txt2img*red-circle*.png"))
    page.goto(f"{server.url}/#/jobs/invert.invert")
    content = list(saved.read_bytes())
    transfer = page.evaluate_handle(
        "bytes => { const all = new DataTransfer();"
        " all.items.add(new File([new Uint8Array(bytes)], 'picture.png', { type: 'image/png' })); return all; }",
        content,
    )
    page.get_by_text("Nothing yet").or_(page.get_by_role("article").first).first.dispatch_event(
        "drop", {"dataTransfer": transfer}
    )
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("a red circle on a blue background")
    expect(page.get_by_role("textbox", name="Seed", exact=True)).to_have_value("7")


def test_a_job_survives_the_server(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/sd.txt2img")
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a house in the snow")
    page.get_by_role("textbox", name="Steps", exact=True).fill("150")
    card = run(page)
    expect(card).to_have_attribute("aria-label", "sd.txt2img, running")
    server.kill()
    expect(page.get_by_text("Connection lost, trying again")).to_be_visible()
    server.start()
    expect(page.get_by_text("Connection lost, trying again")).to_be_hidden()
    expect(card).to_have_attribute("aria-label", "sd.txt2img, succeeded")


def test_a_mask_is_painted_over_the_picture_beside_it(page: Page, server: RunningServer) -> None:
    saved = next(path for path in server.home.glob("outputs/*/*sd.txt2img*red-circle*.png"))
    page.goto(f"{server.url}/#/jobs/sd.img2img")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose image").click()
    chooser.value.set_files(saved)
    page.get_by_role("button", name="Paint mask", exact=True).click()
    canvas = page.get_by_label("Mask", exact=True)
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.7, steps=8)
    page.mouse.up()
    page.get_by_role("button", name="Use this mask").click()
    expect(page.get_by_alt_text("mask", exact=True)).to_be_visible()
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a yellow star")
    card = run(page)
    expect(card).to_have_attribute("aria-label", "sd.img2img, succeeded")
