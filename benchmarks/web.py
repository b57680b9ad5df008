"""The web client in Chromium: sizes, first paint, a gallery of 10,000, 1,000 events a second."""

from __future__ import annotations

import argparse
import base64
import gzip
import io
import re
import shutil
import time
from collections.abc import Callable
from typing import Any

from bench import ServerProcess, fresh_home, median, report, running, spread
from history import fill
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from stable_core_client import Client
from stable_core_server.app import WEB_FOLDER

PICTURES = 300
"""Different pictures among the results: more than are seen at once, so that scrolling shows new ones."""
FRAMES = """
window.frames = [];
let last = performance.now();
const next = (now) => { window.frames.push(now - last); last = now; requestAnimationFrame(next); };
requestAnimationFrame(next);
"""
EVENTS = """
// In place of the server's stream: the same messages at a rate of our own, while the page does all it does with them.
class Stream {
  constructor() { window.stream = this; this.readyState = 1; setTimeout(() => this.onopen?.(), 0); }
  close() {}
  static CLOSED = 2;
}
window.EventSource = Stream;
const ask = window.fetch;
const job = (id) => ({
  id, job: "noop.noop", state: "queued", inputs: { prompt: "job " + id }, params: {}, outputs: {}, progress: null,
  error: null, attempt: 1, cached: false, owner: "local", graph: null, parent: null, key: null, priority: 0,
  created: Date.now() / 1000, started: null, finished: null, plugin_version: "1", host: "local",
});
window.fetch = (path, ...rest) => {
  const ids = /^\\/v1\\/jobs\\?.*ids=(made-.+)$/.exec(String(path))?.[1];
  return ids ? Promise.resolve(new Response(JSON.stringify(ids.split(",").map(job)))) : ask(path, ...rest);
};
window.pour = (seconds, perSecond, preview) => new Promise((resolve) => {
  let sent = 0;
  let seq = 0;
  const began = performance.now();
  const send = (id, type, data) => {
    const event = { seq: seq++, time: Date.now() / 1000, type, job: id, graph: null, owner: "local", data };
    window.stream.onmessage({ data: JSON.stringify(event) });
    sent++;
  };
  // Jobs of 40 events each, 20 at a time: queued, running, 36 steps with two previews, a result.
  const one = (number) => {
    const [round, place] = [Math.floor(number / 800), number % 20];
    const id = "made-" + (round * 20 + place);
    const step = Math.floor((number % 800) / 20);
    if (step === 0) send(id, "job.queued", {});
    else if (step === 1) send(id, "job.running", {});
    else if (step === 39) send(id, "job.succeeded", { outputs: {} });
    else if (step % 18 === 0) send(id, "job.preview", { media_type: "image/jpeg", data: preview });
    else send(id, "job.progress", { step, total: 38, message: "" });
  };
  const timer = setInterval(() => {
    const due = Math.min(seconds * perSecond, Math.floor(((performance.now() - began) / 1000) * perSecond));
    while (sent < due) one(sent);
    if (sent >= seconds * perSecond) { clearInterval(timer); resolve(sent); }
  }, 4);
});
"""


def bundle_sizes() -> dict[str, Any]:
    """Return bytes after gzip: of each file, and of all that the first page fetches."""
    files = {path.name: len(gzip.compress(path.read_bytes())) for path in WEB_FOLDER.rglob("*") if path.is_file()}
    first = re.findall(r'(?:src|href)="\./(?:assets/)?([^"]+)"', (WEB_FOLDER / "index.html").read_text("utf-8"))
    shown = {name: size for name, size in sorted(files.items(), key=lambda item: -item[1]) if size > 1000}
    total = files["index.html"] + sum(files.get(name, 0) for name in first)
    return {"first_load_gzip": total, "files_gzip": shown}


def first_paint(browser: Browser, server: ServerProcess, rounds: int) -> dict[str, Any]:
    """Time from the request to something on screen, and to the form of a job; nothing in the browser's cache."""
    painted, useful = [], []
    for _ in range(rounds):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        start = time.perf_counter()
        page.goto(server.url, wait_until="commit")
        page.get_by_role("button", name="Run Ctrl").wait_for()
        useful.append((time.perf_counter() - start) * 1000)
        painted.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"))
        context.close()
    return {"first_contentful_paint_ms": median(painted, 0), "form_visible_ms": median(useful, 0), "n": rounds}


def frames_during(page: Page, action: Callable[[], object]) -> dict[str, Any]:
    """Return the times between frames, and how busy the page's main thread was, during an action."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def busy() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))

    page.evaluate("window.frames.length = 0")
    before, began = busy(), time.perf_counter()
    action()
    share = (busy() - before) / (time.perf_counter() - began)
    times = page.evaluate("window.frames")
    session.detach()
    return {
        "frame_ms": {**spread(times, 1), "max": round(max(times), 1)},
        "frames_over_100_ms": sum(time > 100 for time in times),
        "main_thread_busy": round(share, 2),
    }


def scroll(page: Page, distance: int) -> Callable[[], object]:
    """Return what scrolls the gallery down as a finger would, by the browser's own gestures."""
    session = page.context.new_cdp_session(page)

    def gesture() -> None:
        for _ in range(3):
            session.send(
                "Input.synthesizeScrollGesture",
                {"x": 700, "y": 500, "yDistance": -distance // 3, "speed": 3000, "gestureSourceType": "mouse"},
            )

    return gesture


def gallery(browser: Browser, server: ServerProcess, count: int) -> dict[str, Any]:
    """Scroll through a gallery of many results; of an empty page the same time, for comparison."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(FRAMES)
    page.goto(f"{server.url}/#/gallery")
    start = time.perf_counter()
    page.locator("main img").first.wait_for()
    shown = (time.perf_counter() - start) * 1000
    page.wait_for_timeout(1500)
    idle = frames_during(page, lambda: page.wait_for_timeout(2000))
    scrolled = frames_during(page, scroll(page, 24_000))
    images = page.locator("main img").count()
    page.close()
    return {
        "results": count,
        "first_picture_ms": round(shown),
        "images_in_page": images,
        "idle": idle,
        "scroll": scrolled,
    }


def events(browser: Browser, server: ServerProcess, path: str, seconds: int) -> dict[str, Any]:
    """Let 1,000 events a second come in while a page shows them."""
    stream = io.BytesIO()
    Image.effect_noise((256, 256), 60).save(stream, "jpeg", quality=70)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(EVENTS + FRAMES)
    page.goto(f"{server.url}/#/{path}")
    page.get_by_role("main").locator("button, h2").first.wait_for()
    page.wait_for_timeout(1500)
    preview = base64.b64encode(stream.getvalue()).decode()
    pour = f"pour({seconds}, 1000, {preview!r})"
    found = frames_during(page, lambda: page.evaluate(pour))
    page.close()
    return {"events_per_second": 1000, "seconds": seconds, "preview_bytes": len(preview), **found}


def main() -> None:
    """Measure and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    wanted = parser.parse_args()
    with fresh_home("noop") as home, sync_playwright() as playwright:
        with running(home) as server:
            client = Client(server.url)
            for number in range(PICTURES):
                stream = io.BytesIO()
                Image.new("RGB", (256, 256), (number % 256, 7 * number % 256, 80)).save(stream, "png")
                client.run("image.blur", stream.getvalue(), radius=2)
            client.close()
        fill(home, wanted.results)
        found = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        with running(home) as server:
            numbers = {
                "bundle": bundle_sizes(),
                "first_paint": first_paint(browser, server, wanted.rounds),
                "gallery": gallery(browser, server, wanted.results),
                "events_on_the_queue_page": events(browser, server, "queue", wanted.seconds),
                "events_on_the_jobs_page": events(browser, server, "jobs/noop.noop", wanted.seconds),
            }
        browser.close()
    report("web", numbers)


if __name__ == "__main__":
    main()
