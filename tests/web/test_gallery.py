"""The gallery: found, walked through, liked, compared, sent on, deleted, restored; also what is made meanwhile."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import PIL.Image
import pytest
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Locator, Page, Route, expect
from running_server import RunningServer, until

pytestmark = pytest.mark.timeout(300)

OF_A1111 = (
    "a cat in the rain\nNegative prompt: blurry\nSteps: 12, Sampler: Euler, CFG scale: 6.5, Seed: 42, Size: 512x640"
)


def picture(color: str, size: int = 64, **texts: str) -> bytes:
    facts = PngInfo()
    for name, text in texts.items():
        facts.add_text(name, text)
    stream = io.BytesIO()
    PIL.Image.new("RGB", (size, size), color).save(stream, "png", pnginfo=facts)
    return stream.getvalue()


@pytest.fixture(scope="module")
def made(server: RunningServer) -> list[str]:
    """Make four pictures from colours without a model, the oldest first, and return the artifacts."""
    results = []
    for color in ("red", "lime", "blue", "yellow"):
        [result] = server.client.run("invert.invert", server.client.upload(io.BytesIO(picture(color)), "image/png"))
        results.append(str(result["id"]))
    [text] = server.client.run("sd.txt2img", "a purple needle in a haystack", seed=5, steps=2, width=64, height=64)
    return [*results, str(text["id"])]


def cells(page: Page) -> Locator:
    return page.get_by_test_id("gallery").get_by_role("listitem")


def artifacts_of(page: Page) -> list[str]:
    """Return the artifacts that are shown, in order."""
    sources = page.get_by_test_id("gallery").locator("img").evaluate_all("all => all.map(one => one.src)")
    return [str(source).rpartition("/")[2] for source in sources]


def opened(page: Page) -> str:
    """Return the artifact that is open."""
    return page.url.partition("#/gallery/")[2].partition("?")[0].rpartition("/")[2]


def open_gallery(page: Page, server: RunningServer, count: int, query: str = "") -> None:
    page.goto(f"{server.url}/?{query}#/gallery")
    expect(cells(page)).to_have_count(count)


def test_the_whole_history_is_searched_by_the_server(page: Page, server: RunningServer, made: list[str]) -> None:
    open_gallery(page, server, 5)
    with page.expect_request(re.compile(r"/v1/jobs\?.*text=needle")):
        page.get_by_label("Words of the prompt").fill("needle")
    expect(cells(page)).to_have_count(1)
    page.reload()
    expect(page.get_by_label("Words of the prompt")).to_have_value("needle")
    expect(cells(page)).to_have_count(1)
    page.get_by_label("Words of the prompt").fill("nothing like it")
    expect(page.get_by_text("Nothing like that")).to_be_visible()
    page.get_by_label("Words of the prompt").fill("")
    page.get_by_role("combobox", name="Job").click()
    page.get_by_role("option", name="invert.invert").click()
    expect(cells(page)).to_have_count(4)
    page.get_by_role("button", name="Any day").click()
    page.get_by_role("button", name="Today").click()
    expect(cells(page)).to_have_count(4)
    page.get_by_label("First day").fill("2020-01-01")
    page.get_by_label("Last day").fill("2020-01-31")
    expect(page.get_by_text("Nothing like that")).to_be_visible()


def test_arrows_walk_through_grid_and_viewer(page: Page, server: RunningServer, made: list[str]) -> None:
    open_gallery(page, server, 5)
    assert artifacts_of(page) == made[::-1]
    cells(page).first.get_by_role("button").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowLeft", "Home", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(made[3]))
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(made[2]))
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile(made[3]))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_end_goes_to_the_very_first_result_and_tells_how_far_it_is(page: Page, server: RunningServer) -> None:
    [template] = server.client.jobs(limit=1)
    outputs = {"image": [{"id": "0" * 64, "type": "image", "media_type": "image/png", "size": 1}]}
    count, held, hold = 650, [], True

    def answer(route: Route) -> None:
        [before] = parse_qs(urlsplit(route.request.url).query).get("before", [str(count)])
        numbers = range(int(before) - 1, max(int(before) - 201, -1), -1)
        more = {"state": "succeeded", "parent": None, "outputs": outputs}
        route.fulfill(json=[{**template, **more, "id": f"{one:020}", "created": one} for one in numbers])

    def pages(route: Route) -> None:
        if "before=" in route.request.url and hold:
            held.append(route)
        else:
            answer(route)

    page.goto("about:blank")  # the next page knows only what it is told
    page.route(re.compile("/v1/jobs.*state=succeeded"), pages)
    page.route(re.compile("/v1/jobs(?!.*state=succeeded)"), lambda route: route.fulfill(json=[]))
    page.goto(f"{server.url}/#/gallery")
    expect(page.get_by_text("200+", exact=True)).to_be_visible()
    cells(page).first.get_by_role("button").first.focus()
    page.keyboard.press("End")
    expect(page.get_by_role("status").get_by_text("Loading older results, 200 so far")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Loading older results")).to_be_hidden()
    cells(page).first.get_by_role("button").first.focus()
    page.keyboard.press("End")
    hold = False
    for route in held:
        answer(route)
    expect(page.locator(f"[data-at='{count - 1}']")).to_be_focused()
    expect(page.get_by_text("Loading older results")).to_be_hidden()
    expect(page.get_by_text(str(count), exact=True)).to_be_visible()


def test_a_picture_is_zoomed_and_moved(page: Page, server: RunningServer, made: list[str]) -> None:
    open_gallery(page, server, 5)
    cells(page).first.get_by_role("button").first.click()
    view = page.locator("[data-scale]")
    expect(view).to_have_attribute("data-scale", "1")
    view.hover()
    page.mouse.wheel(0, -400)
    expect(view).not_to_have_attribute("data-scale", "1")
    image = view.locator("img")
    before = image.evaluate("image => image.style.transform")
    page.mouse.down()
    page.mouse.move(300, 300)
    page.mouse.up()
    expect(image).not_to_have_attribute("style", re.compile(re.escape(before)))
    page.keyboard.press("0")
    expect(view).to_have_attribute("data-scale", "1")
    page.keyboard.press("+")
    expect(view).to_have_attribute("data-scale", "1.5")


def test_a_result_beside_its_form_opens_in_full_and_closes_to_the_form(
    page: Page, server: RunningServer, made: list[str]
) -> None:
    page.goto(f"{server.url}/#/jobs/invert.invert")
    page.get_by_role("article").first.get_by_role("link", name="invert.invert").click()
    expect(page).to_have_url(re.compile(made[3]))
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Send to").click()
    expect(page.get_by_role("menuitem").first).to_have_text("invert.invert image")
    expect(page.get_by_role("menu").locator("[data-autofocus]")).to_be_focused()  # without, the key is the dialog's
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_be_hidden()
    dialog.get_by_role("button", name="Close", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Run Ctrl")).to_be_visible()


def test_two_results_are_compared(page: Page, server: RunningServer, made: list[str]) -> None:
    open_gallery(page, server, 5)
    page.get_by_role("button", name="Select").click()
    bar = page.get_by_role("region", name="Selection")
    expect(bar.get_by_role("button", name="Compare")).to_be_disabled()
    for at in (1, 3):
        cells(page).nth(at).get_by_role("button").first.click()
    expect(bar.get_by_text("2 chosen")).to_be_visible()
    bar.get_by_role("button", name="Compare").click()
    other = page.get_by_alt_text("What it is compared with")
    expect(other).to_have_attribute("src", re.compile(made[1]))
    expect(page).to_have_url(re.compile(made[3]))
    divider = page.get_by_role("slider", name="Divider")
    expect(other.locator("..")).to_have_css("clip-path", re.compile(r"50%"))
    divider.press("Home")
    expect(other.locator("..")).to_have_css("clip-path", re.compile(r"0px|0%"))
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("menuitem", name="Its image").click()
    expect(other).to_have_attribute("src", re.compile(r"/v1/artifacts/[0-9a-f]{64}"))
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("menuitem", name="Stop comparing").click()
    expect(other).to_be_hidden()


def test_favourites_stay_and_are_found(page: Page, server: RunningServer, made: list[str]) -> None:
    open_gallery(page, server, 5)
    cells(page).nth(2).hover()
    cells(page).nth(2).get_by_role("button", name="Favourite").click()
    page.get_by_role("button", name="Favourites only").click()
    expect(cells(page)).to_have_count(1)
    page.reload()
    expect(cells(page)).to_have_count(1)
    assert artifacts_of(page) == [made[2]]
    page.get_by_label("Words of the prompt").fill("needle")
    expect(page.get_by_text("Nothing like that")).to_be_visible()


def test_favourites_are_the_same_on_every_page(page: Page, other: Page, server: RunningServer, made: list[str]) -> None:
    for one in (page, other):
        open_gallery(one, server, 5)
    for at, one, follower in ((3, page, other), (1, other, page)):
        cells(one).nth(at).hover()
        cells(one).nth(at).get_by_role("button", name="Favourite").click()
        expect(cells(follower).nth(at).get_by_role("button", name="No favourite")).to_be_attached()
    cells(other).nth(3).get_by_role("button", name="No favourite").click()
    expect(cells(page).nth(3).get_by_role("button", name="Favourite", exact=True)).to_be_attached()


def test_what_one_browser_kept_alone_is_taken_over_once(
    page: Page, other: Page, server: RunningServer, made: list[str]
) -> None:
    open_gallery(other, server, 5)
    [first] = server.client.jobs(job="invert.invert", limit=1)
    kept = {"favourite-results": {made[0]: first["id"]}, "queue-cleared": 5}
    for key, value in kept.items():
        other.evaluate("([key, value]) => localStorage.setItem(key, value)", [key, json.dumps(value)])
    open_gallery(page, server, 5)
    other.reload()
    for one in (page, other):
        expect(cells(one).nth(4).get_by_role("button", name="No favourite")).to_be_attached()
    other.wait_for_function("localStorage.getItem('favourite-results') === null")
    assert other.evaluate("localStorage.getItem('queue-cleared')") is None


def test_what_is_made_meanwhile_appears(page: Page, server: RunningServer, made: list[str]) -> None:
    open_gallery(page, server, 5)
    [new] = server.client.run("invert.invert", server.client.upload(io.BytesIO(picture("navy")), "image/png"))
    expect(cells(page)).to_have_count(6)
    assert artifacts_of(page)[0] == new["id"]
    page.goto(f"{server.url}/#/queue")
    server.client._send("DELETE", f"/v1/artifacts/{new['id']}")
    page.goto(f"{server.url}/#/gallery")
    expect(cells(page)).to_have_count(5)


def test_a_deleted_result_is_gone_everywhere(page: Page, other: Page, server: RunningServer) -> None:
    [result] = server.client.run("invert.invert", server.client.upload(io.BytesIO(picture("teal")), "image/png"))
    saved = Path(result["path"])
    assert saved.is_file()
    for one in (page, other):
        one.goto(f"{server.url}/#/gallery")
        expect(one.locator(f"img[src*='{result['id']}']")).to_be_visible()
    cells(page).first.get_by_role("button").first.click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("dialog", name="Delete this result?")).to_be_hidden()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete this result?").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog", name="Delete this result?")).to_be_hidden()
    for one in (page, other):
        expect(one.locator(f"img[src*='{result['id']}']")).to_have_count(0)
    assert opened(page)
    until(lambda: not saved.exists(), "the end of the file")


def test_several_are_deleted_at_once(page: Page, server: RunningServer, made: list[str]) -> None:
    for color in ("olive", "maroon"):
        server.client.run("invert.invert", server.client.upload(io.BytesIO(picture(color)), "image/png"))
    open_gallery(page, server, 7)
    for at in (0, 1):
        cells(page).nth(at).get_by_role("button").first.click(modifiers=["Control"])
    page.get_by_role("region", name="Selection").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete 2 results?").get_by_role("button", name="Delete").click()
    expect(cells(page)).to_have_count(5)
    assert artifacts_of(page) == made[::-1]


def test_what_made_a_result_is_copied_and_used(page: Page, server: RunningServer, made: list[str]) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_gallery(page, server, 1, "text=needle")
    cells(page).get_by_role("button").first.click()
    page.get_by_role("button", name="Copy all").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert (copied["job"], copied["inputs"]) == ("sd.txt2img", {"prompt": "a purple needle in a haystack"})
    assert copied["params"]["seed"] == 5
    page.get_by_role("button", name="Copy seed", exact=True).click()
    until(lambda: page.evaluate("navigator.clipboard.readText()") == "5", "the seed on the clipboard")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes() == server.client.download(made[4])
    page.get_by_role("button", name="Use these knobs").click()
    expect(page.get_by_role("textbox", name="Seed", exact=True)).to_have_value("5")
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("a purple needle in a haystack")


def test_what_was_set_stands_first_and_the_rest_is_folded_away(
    page: Page, server: RunningServer, made: list[str]
) -> None:
    open_gallery(page, server, 1, "text=needle")
    cells(page).get_by_role("button").first.click()
    facts = page.get_by_role("dialog")
    expect(facts.get_by_role("paragraph").filter(has_text="a purple needle in a haystack")).to_be_visible()
    rows = facts.get_by_role("row")
    expect(rows.first).to_have_accessible_name(re.compile("^seed 5"))
    for name in ("steps 2", "width 64", "Size 64 × 64", "Job sd.txt2img"):
        expect(facts.get_by_role("row", name=name, exact=False).first).to_be_visible()
    expect(facts.get_by_role("row", name="batch size 1")).to_have_count(0)
    assert rows.count() < 12
    facts.get_by_role("button", name=re.compile(r"^\d+ knobs as usual")).click()
    expect(facts.get_by_role("row", name="batch size 1")).to_be_visible()


def test_a_result_is_made_again(page: Page, server: RunningServer, made: list[str]) -> None:
    open_gallery(page, server, 1, "text=needle")
    cells(page).get_by_role("button").first.click()
    with page.expect_response(lambda answer: answer.url.endswith("/v1/jobs") and answer.status == 201) as submitted:
        page.get_by_role("button", name="Run again").click()
    again = server.ended(submitted.value.json()["id"])
    assert (again["cached"], again["outputs"]["image"][0]["id"]) == (False, made[4])


def dropped(page: Page, target: Locator, name: str, content: bytes) -> None:
    """Drop a file."""
    transfer = page.evaluate_handle(
        "([name, bytes]) => { const all = new DataTransfer();"
        " all.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/png' })); return all; }",
        [name, list(content)],
    )
    target.dispatch_event("drop", {"dataTransfer": transfer})


@pytest.mark.parametrize("path", ["gallery", "jobs/invert.invert"])
def test_a_picture_of_a1111_brings_its_knobs_back(page: Page, server: RunningServer, path: str) -> None:
    page.goto(f"{server.url}/#/{path}")
    target = page.get_by_role("heading", name="Gallery" if path == "gallery" else "invert.invert", exact=True)
    dropped(page, target, "00042.png", picture("gray", parameters=OF_A1111))
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("a cat in the rain")
    for name, value in {"Steps": "12", "Seed": "42", "Width": "512 px", "Height": "640 px"}.items():
        expect(page.get_by_role("textbox", name=name, exact=True)).to_have_value(value)


def test_a_picture_that_is_dropped_before_the_jobs_are_known_brings_its_knobs_back(
    page: Page, server: RunningServer
) -> None:
    held: list[Route] = []
    page.route("**/v1/signatures", lambda route: held.append(route))
    page.goto("about:blank")
    with page.expect_request("**/v1/signatures"):
        page.goto(f"{server.url}/#/gallery")
    dropped(page, page.get_by_role("heading", name="Gallery"), "42.png", picture("gray", parameters=OF_A1111))
    for one in held:
        one.continue_()
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("a cat in the rain")


def test_a_picture_without_data_says_so(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/gallery")
    dropped(page, page.get_by_role("heading", name="Gallery"), "plain.png", picture("gray"))
    expect(page.get_by_text("does not say which job made it")).to_be_visible()
