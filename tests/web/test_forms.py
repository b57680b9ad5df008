"""The forms of jobs in a real browser: knobs of every kind, ports of every type, counting and checking while typing."""

from __future__ import annotations

import base64
import io
import re
import struct
from typing import Any

import PIL.Image
import pytest
from graphs import box_of, center
from playwright.sync_api import Locator, Page, expect
from running_server import RunningServer, until

from stable_core.sdk.audio import Pcm, audio_from_pcm

pytestmark = pytest.mark.timeout(300)


def png(colour: str = "#c02030", size: tuple[int, int] = (64, 48)) -> bytes:
    stream = io.BytesIO()
    PIL.Image.new("RGB", size, colour).save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def form(page: Page, server: RunningServer) -> Page:
    """Return the form that has a knob of every kind."""
    page.goto(f"{server.url}/#/jobs/showcase.say")
    expect(page.get_by_role("heading", name="showcase.say")).to_be_visible()
    return page


def field(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name, exact=True)


def counting_jobs(server: RunningServer) -> list[dict[str, Any]]:
    return server.client.jobs(job="showcase.count", limit=1000)


def paste(page: Page, content: bytes, media_type: str, target: str = "document.body") -> None:
    page.evaluate(
        f"""([data, type]) => {{
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const all = new DataTransfer();
            all.items.add(new File([bytes], "pasted", {{ type }}));
            {target}.dispatchEvent(
                new ClipboardEvent("paste", {{ clipboardData: all, bubbles: true, cancelable: true }}));
        }}""",
        [base64.b64encode(content).decode(), media_type],
    )


def choose(page: Page, port: str, name: str, media_type: str, content: bytes) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=f"Choose {port}").click()
    chooser.value.set_files({"name": name, "mimeType": media_type, "buffer": content})


def film(page: Page) -> bytes:
    """Return a film of 16 x 16 pixels that the browser itself has made."""
    encoded = page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 16 });
            const context = canvas.getContext("2d");
            const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: "video/webm" });
            const parts = [];
            recorder.ondataavailable = (event) => parts.push(event.data);
            recorder.start();
            for (let step = 0; step < 20; step++) {
                context.fillStyle = step % 2 ? "#fff" : "#c03";
                context.fillRect(0, 0, 16, 16);
                await new Promise((resolve) => setTimeout(resolve, 40));
            }
            await new Promise((resolve) => { recorder.onstop = resolve; recorder.stop(); });
            const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
            return btoa(String.fromCharCode(...bytes));
        }"""
    )
    return base64.b64decode(encoded)


# -- knobs -------------------------------------------------------------------------------------------------------------


def test_a_knob_has_its_unit_help_and_way_back(form: Page) -> None:
    size = field(form, "Size")
    expect(size).to_have_value("512 px")
    expect(size).to_have_accessible_description("How large")
    expect(form.get_by_role("button", name="Reset Size")).to_have_count(0)
    size.fill("640")
    form.get_by_role("button", name="Reset Size").click()
    expect(size).to_have_value("512 px")
    slider = form.get_by_role("slider", name="Strength")
    slider.press("ArrowRight")
    expect(field(form, "Strength")).to_have_value("0.51")
    form.get_by_text("Strength", exact=True).hover()
    expect(form.get_by_role("tooltip", name="How strong")).to_be_visible()


def test_knobs_stand_in_groups_and_some_are_hidden_at_first(form: Page) -> None:
    expect(form.get_by_text("Numbers", exact=True)).to_be_visible()
    expect(field(form, "Wildness")).to_have_count(0)
    form.get_by_role("combobox", name="Mode").click()
    form.get_by_role("option", name="wild").click()
    expect(field(form, "Wildness")).to_have_value("3")
    expect(field(form, "Model")).to_be_hidden()
    form.get_by_role("button", name="More", exact=True).click()
    expect(field(form, "Model")).to_be_visible()
    expect(field(form, "Width")).to_be_hidden()
    form.get_by_role("button", name=re.compile("^Border")).click()
    expect(field(form, "Width")).to_have_value("2 px")


def test_examples_are_offered_and_anything_may_be_typed(form: Page) -> None:
    paper = form.get_by_role("combobox", name="Paper")
    expect(paper).to_have_value("plain")
    paper.click()
    expect(form.get_by_role("option")).to_have_text(["plain", "lined", "squared"])
    form.get_by_role("option", name="lined").click()
    expect(paper).to_have_value("lined")
    paper.fill("re")
    expect(form.get_by_role("option")).to_have_text(["squared"])
    paper.fill("wrapping")
    paper.press("Tab")
    expect(paper).to_have_value("wrapping")


def test_what_is_wrong_is_said_while_typing_and_nothing_runs(form: Page, server: RunningServer) -> None:
    before = len(server.client.jobs(job="showcase.say"))
    field(form, "Size").fill("5000")
    expect(form.get_by_role("alert")).to_have_text("5000 is greater than the maximum of 2048")
    field(form, "Size").fill("128")
    expect(form.get_by_role("alert")).to_have_count(0)
    form.get_by_role("button", name=re.compile("^Border")).click()
    field(form, "Width").fill("0")
    expect(form.get_by_role("alert")).to_have_text("0 is less than the minimum of 1")
    assert len(server.client.jobs(job="showcase.say")) == before


def test_ctrl_enter_runs_and_the_seed_of_the_run_can_be_used_again(form: Page, server: RunningServer) -> None:
    text = form.get_by_role("textbox", name="Text", exact=True)
    text.fill("hello")
    text.press("Control+Enter")
    card = form.get_by_role("article").first
    expect(card).to_have_attribute("aria-label", "showcase.say, succeeded")
    [job] = server.client.jobs(job="showcase.say", limit=1)
    form.get_by_role("button", name="Seed of the last run").click()
    expect(field(form, "Seed")).to_have_value(str(job["params"]["seed"]))
    form.get_by_role("button", name="Random seed").click()
    expect(field(form, "Seed")).to_have_value("-1")


def test_a_selected_word_gets_another_weight(form: Page) -> None:
    text = form.get_by_role("textbox", name="Text", exact=True)
    text.fill("a red circle")
    text.evaluate("field => field.setSelectionRange(2, 5)")
    text.press("Control+ArrowUp")
    expect(text).to_have_value("a (red:1.1) circle")
    text.press("Control+ArrowUp")
    expect(text).to_have_value("a (red:1.2) circle")
    for _ in range(2):
        text.press("Control+ArrowDown")
    expect(text).to_have_value("a red circle")


def test_the_weight_changes_as_often_as_the_keys_are_pressed(form: Page) -> None:
    text = form.get_by_role("textbox", name="Text", exact=True)
    text.fill("a red circle")
    text.evaluate(
        """async (field) => {
            field.setSelectionRange(2, 5);
            for (let press = 0; press < 3; press++) {  // all of them before the page is drawn again
                field.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", ctrlKey: true, bubbles: true }));
                await new Promise((resolve) => setTimeout(resolve));
            }
        }"""
    )
    expect(text).to_have_value("a (red:1.3) circle")


def test_the_jobs_of_a_plugin_appear_once_it_is_set_up(page: Page, server: RunningServer) -> None:
    signatures = server.client._list("/v1/signatures")
    others = [one for one in signatures if not one["name"].startswith("showcase.")]
    plugins = server.client._list("/v1/plugins")
    unready = [{**one, "signatures": []} if one["name"] == "showcase" else one for one in plugins]
    page.route("**/v1/signatures", lambda route: route.fulfill(json=others), times=1)
    page.route("**/v1/plugins", lambda route: route.fulfill(json=unready), times=1)
    page.goto("about:blank")
    page.goto(f"{server.url}/#/jobs/showcase.say")
    expect(page.get_by_text("There is no job showcase.say")).to_be_visible()
    expect(page.get_by_role("heading", name="showcase.say")).to_be_visible()


def test_a_new_model_is_there_after_a_look(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/sd.txt2img")
    picker = page.get_by_role("combobox", name="Checkpoint").first
    expect(picker).to_have_value("nano")
    folder = server.home / "models" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fresh.safetensors").write_bytes(b"no model")
    try:
        page.get_by_role("button", name="Look for new files").first.click()
        picker.fill("fre")
        page.get_by_role("option", name="fresh").click()
        expect(picker).to_have_value("fresh")
    finally:
        (folder / "fresh.safetensors").unlink()


def test_a_new_model_appears_by_itself(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/sd.txt2img")
    page.get_by_role("combobox", name="Checkpoint").first.click()
    expect(page.get_by_role("option", name="nano")).to_be_visible()
    folder = server.home / "models" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "unasked.safetensors").write_bytes(b"no model")
    try:
        expect(page.get_by_role("option", name="unasked")).to_be_visible(timeout=30_000)
    finally:
        (folder / "unasked.safetensors").unlink()


def test_a_plot_offers_every_axis(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/sd.xyz_plot")
    axis = page.get_by_role("combobox", name="X axis", exact=True)
    expect(axis).to_have_value("Nothing")
    axis.click()
    for name in ("Steps", "Prompt S/R", "Checkpoint name", "FP8 mode", "Size"):
        expect(page.get_by_role("option", name=name, exact=True)).to_have_count(1)
    axis.fill("guid")
    page.get_by_role("option", name="Negative Guidance minimum sigma").click()
    expect(axis).to_have_value("Negative Guidance minimum sigma")


# -- counting ----------------------------------------------------------------------------------------------------------


def test_the_length_of_a_text_is_told_while_it_is_typed(form: Page) -> None:
    text = form.get_by_role("textbox", name="Text", exact=True)
    text.press_sequentially("one two three")
    expect(form.get_by_text("3 / 8 tokens")).to_be_visible()
    field(form, "Size").fill("128")
    expect(form.get_by_text("3 / 2 tokens")).to_be_visible()
    expect(form.get_by_text("Too long. This is left out: three")).to_be_visible()
    field(form, "Caption").fill("four words are here")
    expect(form.get_by_text("4 / 3 tokens")).to_be_visible()
    text.fill("")
    expect(form.get_by_text("3 / 2 tokens")).to_have_count(0)


def test_counting_never_piles_up_behind_a_run(form: Page, server: RunningServer) -> None:
    blocker = server.submit("showcase.wait", "x")
    server.until_working(blocker)
    known = {job["id"] for job in counting_jobs(server)}
    text = form.get_by_role("textbox", name="Text", exact=True)

    def asked() -> list[str]:
        """Return the texts whose count is still waited for."""
        jobs = [job for job in counting_jobs(server) if job["id"] not in known]
        return [job["inputs"]["text"] for job in jobs if job["state"] in ("queued", "running", "waiting")]

    for words in ("a", "a b", "a b c", "a b c d"):
        text.fill(words)
        until(lambda words=words: asked() == [words], f"{words!r} to be counted and nothing else")
    server.client.cancel(blocker)
    expect(form.get_by_text("4 / 8 tokens")).to_be_visible()


def test_prompts_are_counted_as_the_plugin_says(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/sd.txt2img")
    field(page, "Prompt").fill("a red circle on a blue background")
    expect(page.get_by_text("7 / 75 tokens")).to_be_visible()
    field(page, "Negative prompt").fill("green")
    expect(page.get_by_text("1 / 75 tokens")).to_be_visible()


# -- ports -------------------------------------------------------------------------------------------------------------


def test_a_picture_is_pasted_wherever_the_focus_is(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/showcase.play")
    expect(page.get_by_role("button", name="Choose picture")).to_be_visible()
    paste(page, png(), "image/png")
    expect(page.get_by_alt_text("picture", exact=True)).to_be_visible()
    paste(page, png("#ffffff"), "image/png")
    expect(page.get_by_alt_text("mask", exact=True)).to_be_visible()
    page.get_by_role("button", name="Remove picture").click()
    expect(page.get_by_alt_text("picture", exact=True)).to_have_count(0)


def test_a_former_result_is_picked(page: Page, server: RunningServer) -> None:
    [made] = server.client.run("image.resize", png(), width=40)
    page.goto(f"{server.url}/#/jobs/showcase.play")
    page.get_by_role("button", name="Pick picture from the gallery").click()
    dialog = page.get_by_role("dialog", name="A result as picture")
    dialog.get_by_role("button", name="image.resize").first.click()
    expect(page.get_by_alt_text("picture", exact=True)).to_have_attribute("src", f"/v1/artifacts/{made['id']}")


@pytest.mark.parametrize("size", [(1600, 1200), (64, 1600)])
def test_a_large_result_leaves_room_for_others_and_keeps_its_shape(
    page: Page, server: RunningServer, size: tuple[int, int]
) -> None:
    server.client.run("image.resize", png(), width=size[0], height=size[1])
    page.goto(f"{server.url}/#/jobs/image.resize")
    picture = page.get_by_role("article").first.get_by_role("img")
    expect(picture).to_have_attribute("width", str(size[0]))
    box = box_of(picture)
    assert 300 < box["height"] < 600
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.05)


def test_results_of_a_sweep_say_what_they_differ_by(page: Page, server: RunningServer) -> None:
    swept = server.client.request("image.resize", png("#104060"), width={"each": [40, 20, 30]})
    server.ended(server.client.submit(swept)["id"])
    page.goto(f"{server.url}/#/jobs/image.resize")
    card = page.get_by_role("article").first
    expect(card.get_by_role("figure")).to_have_text(["Width 40", "Width 20", "Width 30"])
    card.get_by_role("figure", name="Width 20").get_by_role("link").click()
    viewer = page.get_by_role("dialog", name="image.resize, Width 20")
    expect(viewer.get_by_role("row", name="width 20")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog", name="image.resize, Width 30")).to_be_visible()
    page.goto(f"{server.url}/#/gallery")
    names = page.get_by_test_id("gallery").get_by_role("button", name="image.resize, Width")
    expect(names.nth(2)).to_be_visible()
    assert {name.get_attribute("title") for name in names.all()} == {
        f"image.resize, Width {one}" for one in (20, 30, 40)
    }
    names.first.click()
    expect(page.get_by_role("dialog", name=re.compile("image.resize, Width"))).to_be_visible()
    page.reload()
    expect(page.get_by_role("dialog", name=re.compile("image.resize, Width"))).to_be_visible()


def test_sound_and_film_play(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/showcase.play")
    beep = struct.pack("<8000h", *([3000, -3000] * 4000))
    sound = audio_from_pcm(Pcm(beep, 8000))
    choose(page, "sound", "beep.wav", "audio/wav", sound.content)
    player = page.get_by_label("sound", exact=True)
    expect(player).to_be_visible()
    page.wait_for_function("document.querySelector('audio').duration > 0.9")
    choose(page, "film", "film.webm", "video/webm", film(page))
    expect(page.get_by_label("film", exact=True)).to_be_visible()
    page.wait_for_function("document.querySelector('video').videoWidth === 16")
    page.get_by_role("button", name="Run Ctrl").click()
    expect(page.get_by_role("article").first).to_contain_text("sound, film")


def test_a_mask_is_painted_erased_inverted_and_undone(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/showcase.play")
    choose(page, "picture", "picture.png", "image/png", png(size=(200, 150)))
    page.get_by_role("button", name="Paint mask", exact=True).click()
    canvas = page.get_by_label("Mask", exact=True)
    expect(canvas).to_be_visible()

    def painted() -> float:
        return float(
            canvas.evaluate(
                "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
                " for (let i = 3; i < d.length; i += 4) if (d[i] > 127) n++; return n / (d.length / 4); }"
            )
        )

    def stroke() -> None:
        box = box_of(canvas)
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.5 * box["height"], steps=6)
        page.mouse.up()

    stroke()
    once = painted()
    assert 0.02 < once < 0.5
    page.get_by_role("button", name="Invert").click()
    assert painted() == pytest.approx(1 - once, abs=0.02)
    page.keyboard.press("e")
    stroke()
    assert painted() < 1 - once + 0.001
    page.keyboard.press("Control+z")
    page.get_by_role("button", name="Undo").click()
    assert painted() == pytest.approx(once, abs=0.001)
    page.get_by_role("button", name="Use this mask").click()
    expect(page.get_by_alt_text("mask", exact=True)).to_be_visible()


@pytest.mark.parametrize(("window", "size"), [((390, 844), (200, 200)), ((1440, 900), (800, 100))])
def test_a_mask_is_painted_where_it_is_seen(
    page: Page, server: RunningServer, window: tuple[int, int], size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": window[0], "height": window[1]})
    page.goto(f"{server.url}/#/jobs/showcase.play")
    choose(page, "picture", "picture.png", "image/png", png(size=size))
    page.get_by_role("button", name="Paint mask", exact=True).click()
    canvas = page.get_by_label("Mask", exact=True)
    x, y = center(canvas)
    box = box_of(canvas)
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.02)
    page.mouse.click(x, y)
    painted = canvas.evaluate(
        "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0, x = 0, y = 0;"
        " for (let i = 3; i < d.length; i += 4) if (d[i] > 127) {"
        " n++; x += (i >> 2) % c.width; y += Math.floor((i >> 2) / c.width); }"
        " return [x / n / c.width, y / n / c.height]; }"
    )
    assert painted == pytest.approx([0.5, 0.5], abs=0.02)


def test_on_a_phone_only_the_last_run_stands_above_the_knobs(page: Page, server: RunningServer) -> None:
    for text in ("one", "two"):
        server.ended(server.submit("showcase.say", text))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/#/jobs/showcase.say")
    expect(page.get_by_role("article")).to_have_count(1)
    expect(page.get_by_role("article")).to_contain_text("two")
    expect(page.get_by_text("Older results are in the gallery.")).to_be_visible()


@pytest.mark.parametrize("window", [(1440, 900), (390, 844)])
@pytest.mark.parametrize("job", ["sd.txt2img", "sd.img2img"])
def test_run_stays_in_view_and_covers_nothing(
    page: Page, server: RunningServer, window: tuple[int, int], job: str
) -> None:
    page.set_viewport_size({"width": window[0], "height": window[1]})
    page.goto(f"{server.url}/#/jobs/{job}")
    run = page.get_by_role("button", name=re.compile("^Run"))
    expect(run).to_be_in_viewport(ratio=0.999)
    for name in ("Prompt", "Negative prompt", "Batch count", "Steps", "Prompt"):
        one = field(page, name)
        one.focus()  # which scrolls
        expect(run).to_be_in_viewport(ratio=0.999)
        one.click()  # which fails when something lies over it
    card = page.get_by_role("group", name="Run")
    assert card.evaluate(
        "one => one.contains(document.elementFromPoint(...(({ x, y, width, height }) =>"
        " [x + width / 2, y + height / 2])(one.getBoundingClientRect())))"
    )


def test_what_keeps_a_job_from_running_comes_into_view(page: Page, server: RunningServer) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/#/jobs/sd.img2img")
    field(page, "Batch count").focus()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("sd.img2img needs the input 'image'. It takes image.")
    expect(page.get_by_role("alert")).to_be_in_viewport(ratio=0.999)


def test_a_missing_input_is_named_at_its_port(page: Page, server: RunningServer) -> None:
    page.goto(f"{server.url}/#/jobs/image.resize")
    page.get_by_role("button", name="Run Ctrl").click()
    expect(page.get_by_role("alert")).to_have_text("image.resize needs the input 'image'. It takes image.")
    paste(page, png(), "image/png")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_palette_is_searched_with_the_keyboard(page: Page) -> None:
    page.get_by_role("heading", level=2).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("showcase sa")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="showcase.say")).to_be_visible()


def test_counting_is_no_work_in_the_queue(form: Page, server: RunningServer) -> None:
    blocker = server.submit("showcase.wait", "x")
    server.until_working(blocker)
    form.get_by_role("textbox", name="Text", exact=True).fill("never counted before")
    until(lambda: any(job["state"] == "queued" for job in counting_jobs(server)), "the question for the count")
    expect(form.get_by_label("1 unfinished")).to_be_visible()
    form.get_by_role("link", name="Queue").click()
    expect(form.get_by_role("article", name=re.compile("showcase.wait"))).to_be_visible()
    expect(form.get_by_text("showcase.count")).to_have_count(0)
    server.client.cancel(blocker)
