"""What tests do with the canvas of the graph page: nodes, ports, wires. It asserts nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import FilePayload, Locator, Page

Json = dict[str, Any]

CHAIN: Json = {
    "version": 1,
    "jobs": {
        "base": {"job": "sd.txt2img", "inputs": {"prompt": "a blue square"}, "params": {"seed": 3, "steps": 6}},
        "big": {"job": "image.resize", "inputs": {"image": {"job": "base"}}, "params": {"width": 96}},
        "inverse": {"job": "invert.invert", "inputs": {"image": {"job": "big"}}, "params": {}},
    },
}


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


def port(page: Page, key: str, name: str, side: str) -> Locator:
    """Return the handle of a port; `side` is source (an output) or target (an input)."""
    return node(page, key).locator(f'.react-flow__handle.{side}[data-handleid="{name}"]')


def center(target: Locator) -> tuple[float, float]:
    """Return the middle of what is seen, once it has come to rest."""
    before, box = None, target.bounding_box()
    while box != before:
        target.page.wait_for_timeout(120)  # longer than the canvas takes to begin to move
        before, box = box, target.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Pull with the mouse from one point to another."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 1, start[1])  # what is dragged moves from the second move on
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
    page.mouse.move(*end, steps=4)
    page.mouse.up()
