"""Make the pictures of docs/web.md: `python tests/web/screenshots.py FOLDER`. Not a test.

Without `--all` it makes the few that the documentation shows, else every page in both sizes and both themes.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))  # for running_server
from running_server import RunningServer

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
SHOWN = {("jobs", "wide", "light"), ("gallery", "wide", "dark"), ("graph", "wide", "light"), ("jobs", "phone", "dark")}
PROMPTS = ["a red circle on a blue background", "a house in the snow", "a green star", "a sunset sea with a boat"]
GRAPH = {
    "version": 1,
    "jobs": {
        "base": {"job": "sd.txt2img", "inputs": {"prompt": "a blue heart"}, "params": {"seed": 3}},
        "big": {"job": "image.resize", "inputs": {"image": {"job": "base"}}, "params": {"width": 256}},
        "inverse": {"job": "invert.invert", "inputs": {"image": {"job": "big"}}, "params": {}},
    },
}


def make_results(server: RunningServer) -> None:
    """Run a few jobs, so that there is something to see."""
    for prompt in PROMPTS:
        for seed in (1, 2):
            server.client.run("sd.txt2img", prompt, seed=seed)


def open_page(browser: Browser, server: RunningServer, path: str, size: str, theme: str) -> Page:
    """Return a page as it is a moment after it was opened."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    page.goto(f"{server.url}/#/{path}")
    page.wait_for_load_state("networkidle", timeout=3000) if path == "settings" else page.wait_for_timeout(2500)
    return page


def show_graph(page: Page, folder: Path) -> None:
    """Open a graph, run it and wait until it is done."""
    file = folder / "graph.json"
    file.write_text(json.dumps(GRAPH), "utf-8")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open a file").click()
    chooser.value.set_files(file)
    page.get_by_role("button", name="Run all").click()
    page.locator(".react-flow__node").get_by_text(re.compile("succeeded|cached")).nth(2).wait_for(timeout=60_000)
    page.locator(".react-flow__node").first.click()
    page.wait_for_timeout(1500)


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        server = RunningServer(Path(scratch) / "home").start()
        try:
            make_results(server)
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for path in ("jobs", "queue", "gallery", "graph", "plugins", "settings"):
                for size in SIZES:
                    for theme in ("light", "dark"):
                        if arguments.all or (path, size, theme) in SHOWN:
                            page = open_page(browser, server, path, size, theme)
                            if path == "graph":
                                show_graph(page, Path(scratch))
                            page.screenshot(path=arguments.folder / f"web_{path}_{size}_{theme}.png")
                            page.context.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
