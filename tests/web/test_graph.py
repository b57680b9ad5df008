"""The graph page in a real browser: wires, groups, undo, copies, runs, files and programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from graphs import (
    CHAIN,
    Json,
    add_job,
    box_of,
    center,
    choose,
    drag,
    node,
    open_graph,
    panel,
    port,
    save_graph,
    take_found,
)
from playwright.sync_api import Page, expect
from running_server import RunningServer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def canvas(page: Page, server: RunningServer) -> Page:
    """Return the empty graph page."""
    page.goto(f"{server.url}/#/graph")
    expect(page.get_by_text("An empty canvas")).to_be_visible()
    return page


def wires(page: Page) -> int:
    return page.locator(".react-flow__edge").count()


def test_a_wire_that_is_let_go_brings_the_jobs_it_fits(canvas: Page) -> None:
    add_job(canvas, "sd.txt2img")
    x, y = center(port(canvas, "txt2img", "image", "source"))
    drag(canvas, (x, y), (x - 300, y + 150))
    dialog = canvas.get_by_role("dialog", name="Jobs that take image")
    expect(dialog.get_by_role("button", name="image.resize")).to_be_visible()
    expect(dialog.get_by_role("button", name="sd.tokenize")).to_have_count(0)
    dialog.get_by_role("button", name="image.resize").click()
    expect(node(canvas, "resize")).to_be_visible()
    expect(canvas.locator(".react-flow__edge")).to_have_count(1)
    placed = box_of(node(canvas, "resize"))
    assert abs(placed["x"] - x + 300) < 5
    assert abs(placed["y"] - y - 150) < 5


def test_a_wire_between_wrong_types_is_refused_with_a_word_why(canvas: Page) -> None:
    jobs = {
        "picture": {"job": "sd.txt2img", "inputs": {"prompt": "x"}, "params": {}},
        "count": {"job": "sd.tokenize", "inputs": {"prompt": "x"}, "params": {}},
        "turn": {"job": "image.rotate", "inputs": {"image": {"job": "picture"}}, "params": {}},
    }
    open_graph(canvas, {"version": 1, "jobs": jobs})
    expect(canvas.locator(".react-flow__edge")).to_have_count(1)
    drag(canvas, center(port(canvas, "count", "data", "source")), center(port(canvas, "turn", "image", "target")))
    expect(canvas.get_by_text("image takes image, not data.")).to_be_visible()
    drag(canvas, center(port(canvas, "turn", "image", "source")), center(port(canvas, "turn", "image", "target")))
    expect(canvas.get_by_text("turn waits for turn: that would be a circle.")).to_be_visible()
    assert wires(canvas) == 1
    drag(canvas, center(port(canvas, "count", "data", "source")), center(port(canvas, "picture", "prompt", "target")))
    expect(canvas.locator(".react-flow__edge")).to_have_count(2)


def test_undo_redo_copy_and_paste(canvas: Page) -> None:
    open_graph(canvas, CHAIN)
    expect(canvas.locator(".react-flow__node")).to_have_count(3)
    canvas.keyboard.press("Control+a")
    canvas.keyboard.press("Control+c")
    canvas.keyboard.press("Control+v")
    expect(canvas.locator(".react-flow__node")).to_have_count(6)
    expect(node(canvas, "base_2")).to_be_visible()
    expect(canvas.locator(".react-flow__edge")).to_have_count(4)
    canvas.keyboard.press("Delete")
    expect(canvas.locator(".react-flow__node")).to_have_count(3)
    canvas.get_by_role("button", name="Undo").click()
    expect(canvas.locator(".react-flow__node")).to_have_count(6)
    canvas.keyboard.press("Control+z")
    expect(canvas.locator(".react-flow__node")).to_have_count(3)
    canvas.keyboard.press("Control+Shift+z")
    expect(canvas.locator(".react-flow__node")).to_have_count(6)


def test_letters_typed_into_one_knob_are_undone_together(canvas: Page) -> None:
    open_graph(canvas, CHAIN)
    choose(canvas, "base")
    prompt = panel(canvas, "base").get_by_role("textbox", name="Prompt", exact=True)
    prompt.press_sequentially(" and a star")
    canvas.get_by_role("button", name="Undo").click()
    choose(canvas, "base")
    expect(prompt).to_have_value("a blue square")


def test_a_node_has_its_texts_and_knobs_and_they_are_set_there(canvas: Page, tmp_path: Path) -> None:
    jobs = json.loads(json.dumps(CHAIN["jobs"]))
    jobs["base"]["params"] |= {"steps": {"each": [2, 3]}, "hires": {"enabled": True}}
    jobs["told"] = {"job": "sd.tokenize", "inputs": {"prompt": "a star"}, "params": {}}
    jobs["other"] = {"job": "sd.txt2img", "inputs": {"prompt": {"job": "told"}}, "params": {}}
    open_graph(canvas, {"version": 1, "jobs": jobs})
    base = node(canvas, "base")
    expect(base.get_by_role("textbox", name="Seed", exact=True)).to_have_value("3")
    expect(base.locator(".mantine-Pill-label")).to_have_text(["2", "3"])
    expect(base.get_by_role("switch", name="Hires · Enabled")).to_be_checked()
    expect(node(canvas, "big").get_by_role("textbox", name="Resampling")).to_have_count(0)
    expect(node(canvas, "other").get_by_role("textbox", name="Negative prompt")).to_be_visible()
    expect(node(canvas, "other").get_by_role("textbox", name="Prompt", exact=True)).to_have_count(0)
    base.get_by_role("textbox", name="Prompt", exact=True).fill("a red heart")
    base.get_by_role("textbox", name="Seed", exact=True).fill("4")
    saved = json.loads(save_graph(canvas, tmp_path).read_text("utf-8"))["jobs"]["base"]
    assert saved["inputs"] == {"prompt": "a red heart"}
    assert saved["params"] == {**jobs["base"]["params"], "seed": 4}
    for _ in range(2):
        canvas.get_by_role("button", name="Undo").click()
    assert json.loads(save_graph(canvas, tmp_path).read_text("utf-8"))["jobs"] == jobs
    width = node(canvas, "big").get_by_role("textbox", name="Width", exact=True)
    width.fill("-5")
    expect(node(canvas, "big").get_by_role("alert")).to_contain_text("0")


def test_fields_at_a_node_leave_the_node_and_the_canvas_alone(canvas: Page) -> None:
    open_graph(canvas, CHAIN)
    choose(canvas, "base")
    base = node(canvas, "base")
    place = center(base.locator(".node-head"))
    prompt = base.get_by_role("textbox", name="Prompt", exact=True)
    prompt.press("Control+a")
    prompt.press("Backspace")
    expect(prompt).to_have_value("")
    prompt.hover()
    canvas.mouse.wheel(0, 300)
    assert center(base.locator(".node-head")) == pytest.approx(place, abs=0.01)
    slider = base.get_by_role("slider", name="Steps")
    x, y = center(slider)
    drag(canvas, (x, y), (x + 40, y))
    canvas.keyboard.press("ArrowRight")
    canvas.keyboard.press("Delete")
    expect(slider).not_to_have_attribute("aria-valuenow", "6")
    assert center(base.locator(".node-head")) == pytest.approx(place, abs=0.01)
    node(canvas, "big").get_by_role("textbox", name="Width", exact=True).click()
    expect(panel(canvas, "base")).to_be_visible()  # the other node was not chosen by that


def test_a_folded_node_keeps_only_what_was_changed_and_is_saved_so(canvas: Page, tmp_path: Path) -> None:
    open_graph(canvas, CHAIN)
    fold = node(canvas, "base").get_by_role("button", name="Less")
    expect(fold).to_have_attribute("aria-expanded", "true")
    before = box_of(node(canvas, "base"))
    fold.click()
    expect(node(canvas, "base").get_by_role("button", name="more")).to_have_attribute("aria-expanded", "false")
    knobs = node(canvas, "base").locator("label")
    expect(knobs).to_have_text(["Prompt", "Steps", "Seed"])
    folded = box_of(node(canvas, "base"))
    assert folded["height"] < before["height"] / 2
    steps = node(canvas, "base").get_by_role("textbox", name="Steps")
    steps.fill("20")  # the default: it stays while it is typed
    expect(steps).to_be_visible()
    saved = json.loads(save_graph(canvas, tmp_path).read_text("utf-8"))
    assert saved["ui"]["folded"] == ["base"]
    canvas.reload()
    expect(knobs).to_have_text(["Prompt", "Seed"])
    node(canvas, "base").get_by_role("button", name="more").click()
    expect(node(canvas, "base").get_by_role("textbox", name="Width", exact=True)).to_be_visible()


def test_from_afar_knobs_are_shown_as_text(canvas: Page) -> None:
    open_graph(canvas, CHAIN)
    expect(node(canvas, "base").get_by_role("textbox", name="Prompt", exact=True)).to_be_visible()
    for _ in range(5):
        canvas.get_by_role("button", name="Zoom Out").click()
    expect(node(canvas, "base").get_by_role("textbox")).to_have_count(0)
    expect(node(canvas, "base").get_by_text("a blue square")).to_be_visible()
    canvas.get_by_role("button", name="Fit View").click()
    expect(node(canvas, "base").get_by_role("textbox", name="Prompt", exact=True)).to_be_visible()


def test_lay_out_puts_every_node_right_of_what_it_needs(canvas: Page) -> None:
    jobs = {
        **CHAIN["jobs"],
        "sheet": {"job": "image.grid", "inputs": {"images": [{"job": "base"}, {"job": "inverse"}]}, "params": {}},
        "small": {"job": "image.resize", "inputs": {"image": {"job": "base"}}, "params": {"width": 32}},
    }
    everywhere = {key: {"x": 10, "y": 10} for key in jobs}
    open_graph(canvas, {"version": 1, "jobs": jobs, "ui": {"positions": everywhere}})
    canvas.get_by_role("button", name="Lay out").click()
    expect(canvas.locator(".react-flow__edge")).to_have_count(5)
    boxes = {key: box_of(node(canvas, key)) for key in jobs}
    expect(node(canvas, "sheet")).to_be_in_viewport()
    order = [boxes[key]["x"] for key in ("base", "big", "inverse", "sheet")]
    assert order == sorted(order)
    assert len(set(order)) == 4
    for one in boxes.values():
        for other in boxes.values():
            apart_x = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            apart_y = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
            assert one is other or apart_x or apart_y


def test_a_group_has_a_name_takes_its_nodes_along_and_is_saved(
    canvas: Page, server: RunningServer, tmp_path: Path
) -> None:
    open_graph(canvas, CHAIN)
    choose(canvas, "base")
    choose(canvas, "big", too=True)
    canvas.get_by_role("button", name="Group", exact=True).click()
    title = canvas.get_by_label("Name of the group")
    title.fill("Pictures")
    before = {key: center(node(canvas, key)) for key in ("frame", "base", "big", "inverse")}
    x, y = center(canvas.locator(".frame-title"))
    drag(canvas, (x + 60, y), (x + 110, y + 90))
    after = {key: center(node(canvas, key)) for key in before}
    moved = {key: (after[key][0] - before[key][0], after[key][1] - before[key][1]) for key in after}
    assert moved["frame"][0] > 30
    assert moved["frame"][1] > 60
    assert moved["base"] == pytest.approx(moved["frame"], abs=1.5)
    assert moved["big"] == pytest.approx(moved["frame"], abs=1.5)
    assert after["inverse"] == before["inverse"]
    saved = save_graph(canvas, tmp_path)
    [frame] = json.loads(saved.read_text("utf-8"))["ui"]["frames"].values()
    assert frame["title"] == "Pictures"
    canvas.get_by_role("button", name="Clear").click()
    open_graph(canvas, json.loads(saved.read_text("utf-8")))
    expect(title).to_have_value("Pictures")
    command = [sys.executable, "-m", "stable_core_cli", "--home", str(server.home), "graph", "run", str(saved)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert {job["state"] for job in json.loads(done.stdout)["jobs"].values()} == {"succeeded"}


def test_a_graph_runs_twice_the_second_time_from_the_cache(canvas: Page, tmp_path: Path) -> None:
    open_graph(canvas, {**CHAIN, "jobs": {**CHAIN["jobs"]}})
    canvas.get_by_role("button", name="Run all").click()
    for key in CHAIN["jobs"]:
        expect(node(canvas, key).get_by_text(re.compile("succeeded|cached"))).to_be_visible()
        expect(node(canvas, key).get_by_alt_text(f"Result of {key}")).to_be_visible()
    canvas.get_by_role("button", name="Run all").click()
    expect(canvas.locator(".react-flow__node").get_by_text("cached")).to_have_count(3)
    saved = json.loads(save_graph(canvas, tmp_path).read_text("utf-8"))
    assert saved["jobs"]["big"]["inputs"] == {"image": {"job": "base"}}
    assert set(saved["ui"]["positions"]) == set(CHAIN["jobs"])
    canvas.reload()
    expect(canvas.locator(".react-flow__node").get_by_text("cached")).to_have_count(3)


def test_run_to_here_leaves_later_nodes_alone_and_a_change_is_shown(canvas: Page) -> None:
    open_graph(canvas, CHAIN)
    choose(canvas, "big")
    canvas.get_by_role("button", name="Run to here").click()
    expect(node(canvas, "big").get_by_text(re.compile("succeeded|cached"))).to_be_visible()
    expect(node(canvas, "inverse").get_by_text(re.compile("succeeded|cached"))).to_have_count(0)
    panel(canvas, "big").get_by_role("textbox", name="Width", exact=True).fill("64")
    expect(node(canvas, "big").get_by_text("changed")).to_be_visible()
    expect(node(canvas, "base").get_by_text("changed")).to_have_count(0)


def test_sweeps_and_lists_show_how_often_a_job_runs(canvas: Page) -> None:
    jobs = json.loads(json.dumps(CHAIN["jobs"]))
    jobs["base"]["params"] = {"steps": {"each": [2, 3, 4]}, "seed": 3}
    jobs["sheet"] = {"job": "image.grid", "inputs": {"images": {"job": "big"}}, "params": {}}
    open_graph(canvas, {"version": 1, "jobs": jobs})
    expect(node(canvas, "base").get_by_label("Runs 3 times")).to_have_text("×3")
    expect(node(canvas, "big").get_by_label("Runs once for each of what comes in")).to_have_text("×n")
    canvas.get_by_role("button", name="Run all").click()
    expect(node(canvas, "inverse").get_by_text("succeeded")).to_be_visible()
    expect(node(canvas, "inverse").get_by_label("Runs 3 times")).to_be_visible()
    expect(node(canvas, "inverse").get_by_text("3 pictures")).to_be_visible()
    expect(node(canvas, "sheet").get_by_text(re.compile("succeeded|cached"))).to_be_visible()
    expect(node(canvas, "sheet").get_by_text("×")).to_have_count(0)


def test_the_programs_run(canvas: Page) -> None:
    jobs = json.loads(json.dumps(CHAIN["jobs"]))
    jobs["base"]["inputs"]["prompt"] = 'it\'s a "blue" square\nbelow'
    open_graph(canvas, {"version": 1, "jobs": jobs})
    canvas.get_by_role("button", name="As a program").click()
    python = canvas.get_by_label("python program").text_content() or ""
    done = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[:2] for line in done.stdout.splitlines()) == [[key, "succeeded"] for key in sorted(jobs)]
    curl = canvas.get_by_label("curl program").text_content() or ""
    done = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["jobs"]
    assert made["base"]["inputs"]["prompt"] == jobs["base"]["inputs"]["prompt"]


def test_a_result_brings_the_graph_that_made_it(canvas: Page, server: RunningServer) -> None:
    made = server.client.graph(CHAIN)["jobs"]
    last = server.client.wait(made["inverse"]["id"])
    [artifact] = last["outputs"]["image"]
    for kind in ("artifact", "file"):
        content = list(Path(artifact["path"]).read_bytes())
        transfer = canvas.evaluate_handle(
            """([kind, id, bytes]) => {
                const all = new DataTransfer();
                if (kind === "artifact") all.setData("application/x-stable-core-artifact", id);
                else all.items.add(new File([new Uint8Array(bytes)], "picture.png", { type: "image/png" }));
                return all;
            }""",
            [kind, artifact["id"], content],
        )
        canvas.locator(".react-flow").dispatch_event("drop", {"dataTransfer": transfer})
        expect(canvas.locator(".react-flow__node")).to_have_count(3)
        expect(canvas.locator(".react-flow__edge")).to_have_count(2)
        expect(node(canvas, "inverse")).to_be_visible()
        canvas.get_by_role("button", name="Clear").click()
        expect(canvas.locator(".react-flow__node")).to_have_count(0)
    canvas.goto(f"{server.url}/#/gallery")
    canvas.get_by_role("button", name="a blue square").or_(
        canvas.get_by_role("button", name="invert.invert")
    ).first.click()
    canvas.get_by_role("dialog").get_by_role("button", name="Its graph").click()
    expect(node(canvas, "inverse")).to_be_visible()


def test_a_graph_is_built_with_the_keyboard_alone(canvas: Page) -> None:
    for job in ("sd.txt2img", "invert.invert"):
        canvas.get_by_role("button", name="Add a job").press("Enter")
        expect(canvas.get_by_label("Search jobs to add")).to_be_focused()
        canvas.keyboard.type(job)
        take_found(canvas, job)
    source = canvas.get_by_role("combobox", name="Image from")
    source.press("ArrowDown")
    canvas.get_by_role("option", name="txt2img · image").wait_for()
    source.press("ArrowDown")
    source.press("Enter")
    expect(canvas.locator(".react-flow__edge")).to_have_count(1)
    name = canvas.get_by_role("textbox", name="Name", exact=True)
    name.fill("inverse")
    name.press("Enter")
    expect(node(canvas, "inverse")).to_be_visible()
    expect(canvas.locator(".react-flow__edge")).to_have_count(1)


def test_what_runs_of_a_graph_is_cancelled_from_its_page(canvas: Page) -> None:
    long: Json = {"job": "showcase.wait", "inputs": {"text": "a"}, "params": {}}
    jobs = {
        "one": long,
        "two": {**long, "inputs": {"text": {"job": "one"}}},
        "other": {**long, "inputs": {"text": "b"}},
    }
    open_graph(canvas, {"version": 1, "jobs": jobs})
    cancel = canvas.get_by_role("toolbar", name="Graph").get_by_role("button", name="Cancel")
    expect(cancel).to_be_disabled()
    canvas.get_by_role("button", name="Run all").click()
    expect(cancel).to_be_enabled()
    choose(canvas, "two")
    panel(canvas, "two").get_by_role("button", name="Cancel").click()
    expect(node(canvas, "two").get_by_text("cancelled")).to_be_visible()
    expect(panel(canvas, "two").get_by_role("button", name="Cancel")).to_have_count(0)
    expect(node(canvas, "one").get_by_text("cancelled")).to_have_count(0)
    cancel.click()
    for key in ("one", "other"):
        expect(node(canvas, key).get_by_text("cancelled")).to_be_visible()
    expect(cancel).to_be_disabled()


def test_a_graph_that_is_refused_says_so_at_the_node_that_is_to_blame(canvas: Page) -> None:
    jobs = json.loads(json.dumps(CHAIN["jobs"]))
    del jobs["big"]["inputs"]["image"]
    open_graph(canvas, {"version": 1, "jobs": jobs})
    canvas.get_by_role("button", name="Run all").click()
    told = "image.resize needs the input 'image'"
    expect(node(canvas, "big").get_by_role("alert")).to_have_text(told)
    expect(panel(canvas, "big").get_by_role("alert")).to_contain_text(told)
    expect(node(canvas, "big")).to_be_in_viewport(ratio=0.999)
    canvas.get_by_role("button", name="Run to here").click()
    expect(node(canvas, "big").get_by_role("alert")).to_be_visible()
    node(canvas, "big").get_by_role("textbox", name="Width", exact=True).fill("64")
    expect(node(canvas, "big").get_by_role("alert")).to_have_count(0)


def test_the_chosen_node_is_in_sight_beside_its_panel(canvas: Page) -> None:
    expect(canvas.get_by_role("img", name="Map of the graph")).to_have_count(0)
    open_graph(canvas, CHAIN)
    head = center(node(canvas, "inverse").locator(".node-head"))
    drag(canvas, head, (head[0], 840))
    expect(panel(canvas, "inverse")).to_be_visible()
    canvas.keyboard.press("Escape")
    canvas.locator(".react-flow__pane").click(position={"x": 500, "y": 300})
    expect(panel(canvas, "inverse")).to_have_count(0)
    choose(canvas, "inverse")
    expect(panel(canvas, "inverse")).to_be_visible()
    box, beside = box_of(node(canvas, "inverse")), box_of(panel(canvas, "inverse"))
    maps = box_of(canvas.get_by_role("img", name="Map of the graph"))
    assert box["x"] + box["width"] < beside["x"]
    assert box["y"] + box["height"] < maps["y"]


def test_a_result_at_a_node_opens_in_full_and_leaves_the_canvas_as_it_was(canvas: Page) -> None:
    open_graph(canvas, CHAIN)
    canvas.get_by_role("button", name="Run all").click()
    result = node(canvas, "big").get_by_role("button", name="Open the result of big")
    expect(result).to_be_visible()
    result.click()
    viewer = canvas.get_by_role("dialog", name="image.resize")
    expect(viewer.get_by_role("button", name="Its graph")).to_be_visible()
    canvas.keyboard.press("Escape")
    expect(viewer).to_have_count(0)
    expect(canvas.locator(".react-flow__node.selected")).to_have_count(0)
    expect(canvas.get_by_role("button", name="Undo")).to_be_enabled()


def test_on_a_phone_a_graph_goes_down_and_can_be_read(canvas: Page) -> None:
    canvas.set_viewport_size({"width": 390, "height": 844})
    toolbar = box_of(canvas.get_by_role("toolbar", name="Graph"))
    assert toolbar["height"] < 50
    canvas.get_by_role("button", name="More", exact=True).click()
    with canvas.expect_file_chooser() as chooser:
        canvas.get_by_role("menuitem", name="Open a file").click()
    chooser.value.set_files([{"name": "g.json", "mimeType": "application/json", "buffer": json.dumps(CHAIN).encode()}])
    expect(node(canvas, "base").locator(".node-head")).to_be_in_viewport(ratio=0.999)
    places = [center(node(canvas, key).locator(".node-head")) for key in CHAIN["jobs"]]
    assert len({x for x, _ in places}) == 1
    assert [y for _, y in places] == sorted(y for _, y in places)
    base = box_of(node(canvas, "base"))
    assert base["width"] > 0.7 * 300
    node(canvas, "base").get_by_role("textbox", name="Prompt", exact=True).click()
    expect(canvas.get_by_role("dialog")).to_have_count(0)  # typing at a node does not open what is below the canvas
    canvas.reload()
    expect(node(canvas, "base").locator(".node-head")).to_be_in_viewport(ratio=0.999)
    assert center(node(canvas, "base").locator(".node-head"))[0] == pytest.approx(places[0][0], abs=2)
    expect(canvas.get_by_role("img", name="Map of the graph")).to_have_count(0)
