"""Make the pictures of docs/web.md: `python tests/web/screenshots.py FOLDER`. Not a test.

They are taken on the tour. With `--all` it shows every page instead, in both sizes and both themes, to be looked at.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path += [str(Path(__file__).parents[1] / "e2e"), str(Path(__file__).parent)]  # for running_server and tour
from graphs import choose
from running_server import RunningServer
from tour import take_tour

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
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


def fill_queue(server: RunningServer) -> None:
    """Start more than can be done at once."""
    ids = []
    for seed, prompt in enumerate([*PROMPTS, "a yellow square"]):
        request = server.client.request("sd.txt2img", prompt, seed=seed, steps=150)
        ids.append(server.client.submit({**request, "cache": False})["id"])
    swept = server.client.request("sd.txt2img", "a red heart", steps={"each": [20, 30, 40]})
    server.client.submit({**swept, "cache": False})
    server.until_event(ids[0], "job.preview")


def compared(server: RunningServer) -> str:
    """Return the path of two results that are compared."""
    jobs = server.client.jobs(job="sd.txt2img", state="succeeded", limit=2)
    first, second = (job["outputs"]["image"][0]["id"] for job in jobs)
    return f"gallery/{jobs[0]['id']}/image/{first}?with={second}"


def open_page(browser: Browser, server: RunningServer, path: str, size: str, theme: str) -> Page:
    """Return a page as it is a moment after it was opened."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    place, _, query = path.partition("?")
    page.goto(f"{server.url}/?{query}#/{place}")
    page.wait_for_load_state("networkidle", timeout=3000) if path == "settings" else page.wait_for_timeout(2500)
    return page


def show_graph(page: Page, folder: Path) -> None:
    """Open a graph, run it and wait until it is done."""
    file = folder / "graph.json"
    file.write_text(json.dumps(GRAPH), "utf-8")
    more, name = page.get_by_role("button", name="More", exact=True), "Open a file"
    if more.is_visible():  # on a phone
        more.click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=name).or_(page.get_by_role("menuitem", name=name)).click()
    chooser.value.set_files(file)
    page.get_by_role("button", name="Run all").click()
    page.locator(".react-flow__node").get_by_text(re.compile("succeeded|cached")).nth(2).wait_for(timeout=60_000)
    choose(page, "base")
    page.wait_for_timeout(1500)


def show_tour(browser: Browser, server: RunningServer, folder: Path) -> None:
    """Make the pictures of the documentation: those of the tour, and those of what it does not show."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    take_tour(page, server, lambda name: page.wait_for_timeout(1500) or shoot(page, folder / f"web_{name}.png"))
    phone = open_page(browser, server, "jobs/sd.txt2img", "phone", "dark")
    phone.get_by_role("textbox", name="Prompt", exact=True).fill("a red circle on a blue background")
    phone.wait_for_timeout(1500)
    shoot(phone, folder / "web_phone.png")
    make_results(server)
    shoot(open_page(browser, server, "plugins", "wide", "light"), folder / "web_plugins.png")
    shoot(open_page(browser, server, compared(server), "wide", "dark"), folder / "web_compare.png")
    fill_queue(server)
    shoot(open_page(browser, server, "queue", "wide", "light"), folder / "web_queue.png")


def shoot(page: Page, path: Path) -> None:
    """Write what is seen as a small PNG."""
    page.mouse.move(0, 0)
    page.screenshot(path=path)


def show_all(browser: Browser, server: RunningServer, folder: Path, scratch: Path) -> None:
    """Make a picture of every page in both sizes and both themes."""
    make_results(server)
    names = {"jobs": "jobs", "queue/finished": "queue", "gallery": "gallery", "graph": "graph", "plugins": "plugins"}
    names |= {"settings": "settings", compared(server): "compare", "queue": "queue_full"}
    for path, name in names.items():
        if path == "queue":
            fill_queue(server)
        for size in SIZES:
            for theme in ("light", "dark"):
                page = open_page(browser, server, path, size, theme)
                if path == "graph":
                    show_graph(page, scratch)
                shoot(page, folder / f"web_{name}_{size}_{theme}.png")
                page.context.close()


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=90_000)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        server = RunningServer(Path(scratch) / "home").start()
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            if arguments.all:
                show_all(browser, server, arguments.folder, Path(scratch))
            else:
                show_tour(browser, server, arguments.folder)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
