"""What tests do with the canvas of the graph page: nodes, ports, wires. It waits for what it does and tests nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import FilePayload, Locator, Page, expect

Json = dict[str, Any]

CHAIN: Json = {
    "version": 1,
    "jobs": {
        "base": {"job": "sd.txt2img", "inputs": {"prompt": "a blue square"}, "params": {"seed": 3, "steps": 6}},
        "big": {"job": "image.resize", "inputs": {"image": {"job": "base"}}, "params": {"width": 96}},
        "inverse": {"job": "invert.invert", "inputs": {"image": {"job": "big"}}, "params": {}},
    },
}

AT_REST = """async (element) => {
    let [before, still] = ["", 0];
    while (still < 10) {
        await new Promise(requestAnimationFrame);
        const { x, y, width, height } = element.getBoundingClientRect();
        const now = [x, y, width, height].join();
        [before, still] = [now, now === before ? still + 1 : 0];
    }
    const { x, y, width, height } = element.getBoundingClientRect();
    return { x, y, width, height };
}"""
"""Counts frames, not time: the canvas begins to move a few frames after what makes it move, however long they take."""


def add_job(page: Page, job: str) -> None:
    """Add a job by the search."""
    page.get_by_role("button", name="Add a job").click()
    page.get_by_label("Search jobs to add").fill(job)
    take_found(page, job)


def take_found(page: Page, job: str) -> None:
    """Take the first of the jobs that the search has found."""
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button").and_(dialog.locator(".list-row")).first).to_contain_text(job)
    page.get_by_label("Search jobs to add").press("Enter")
    expect(dialog).to_be_hidden()


def open_graph(page: Page, document: Json) -> None:
    """Open a document by the button."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open a file").click()
    payload: FilePayload = {
        "name": "graph.json",
        "mimeType": "application/json",
        "buffer": json.dumps(document).encode(),
    }
    chooser.value.set_files(payload)
    for key in document["jobs"]:
        expect(node(page, key)).to_be_visible()
    for _ in range(3):  # a graph without places is laid out some frames after its nodes were drawn, and then shown
        box_of(node(page, next(iter(document["jobs"]))))


def save_graph(page: Page, folder: Path) -> Path:
    """Save the document by the button and return the file."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a file").click()
    path = folder / "saved.json"
    download.value.save_as(path)
    return path


def node(page: Page, key: str) -> Locator:
    """Return a node."""
    return page.locator(f'.react-flow__node[data-id="{key}"]')


def panel(page: Page, key: str) -> Locator:
    """Return what stands beside the canvas while a node is chosen."""
    return page.get_by_role("region", name=f"Node {key}")


def choose(page: Page, key: str, *, too: bool = False) -> None:
    """Choose a node by its head, alone or beside those that are chosen."""
    node(page, key).locator(".node-head").click(modifiers=["Control"] if too else [])


def port(page: Page, key: str, name: str, side: str) -> Locator:
    """Return the handle of a port; `side` is source (an output) or target (an input)."""
    return node(page, key).locator(f'.react-flow__handle.{side}[data-handleid="{name}"]')


def box_of(target: Locator) -> dict[str, float]:
    """Return where something is seen (x, y, width, height), once it has come to rest."""
    box: dict[str, float] = target.evaluate(AT_REST)
    return box


def center(target: Locator) -> tuple[float, float]:
    """Return the middle of what is seen, once it has come to rest."""
    box = box_of(target)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Pull with the mouse from one point to another."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 1, start[1])  # what is dragged moves from the second move on
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
    page.mouse.move(*end, steps=4)
    page.mouse.up()
