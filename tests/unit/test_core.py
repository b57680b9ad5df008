"""The core's door: requests, idempotency, uploads, restarts, clean-up, settings; real store, real worker."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from stable_core import plugin_registry
from stable_core.core import Core
from stable_core.errors import BadRequest, Conflict, InvalidInput, InvalidParams, NotFound, StorageFull, TooLarge

pytestmark = pytest.mark.anyio

ECHO = {"job": "probe.echo", "inputs": {"text": "hi"}}


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def png(color: str = "red") -> bytes:
    stream = io.BytesIO()
    PIL.Image.new("RGB", (5, 3), color).save(stream, "PNG")
    return stream.getvalue()


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"job": "probe.ecko"}, NotFound, "probe.ecko"),
        ({"job": "prope.echo"}, NotFound, "prope.echo"),
        ({"job": ""}, NotFound, ""),
        ({"job": "\0"}, NotFound, ""),
        ({"inputs": {}}, InvalidInput, "needs the input 'text'"),
        ({"inputs": {"text": None}}, InvalidInput, "needs the input 'text'"),
        ({"inputs": {"text": "a", "image": "b"}}, InvalidInput, "no input 'image'"),
        ({"inputs": {"text": 7}}, InvalidInput, "7"),
        ({"inputs": {"text": [None]}}, InvalidInput, "null"),
        ({"inputs": {"text": {"job": "x", "other": 1}}}, InvalidInput, "other"),
        ({"job": "probe.flip", "inputs": {"image": {"data": {}}}}, InvalidInput, "takes image"),
        ({"params": {"number": 101}}, InvalidParams, "number"),
        ({"params": {"number": "3"}}, InvalidParams, "number"),
        ({"params": {"unknown": 1, "suffix": 2}}, InvalidParams, "unknown"),
        ({"params": {"number": {"each": [1, 101]}}}, InvalidParams, "number"),
        ({"params": {"number": {"each": [{"each": [1]}]}}}, InvalidParams, "number"),
        ({"params": {"number": {"each": 3}}}, InvalidParams, "number"),
        ({"job": "probe.refine", "inputs": {}, "params": {"refiner": {"steps": 0}}}, InvalidParams, "refiner.steps: "),
        ({"job": "probe.refine", "inputs": {}, "params": {"second": {"stepz": 1}}}, InvalidParams, "stepz"),
        ({"priority": 2**40}, BadRequest, "priority"),
        ({"timeout": -1}, BadRequest, "timeout"),
        ({"timeout": 0}, BadRequest, "timeout"),
        ({"timeout": float("inf")}, BadRequest, "JSON"),
        ({"params": {"number": float("nan")}}, BadRequest, "JSON"),
        ({"inputs": {"text": "\ud800"}}, BadRequest, "Unicode"),
        ({"inputs": {"text": object()}}, BadRequest, "JSON"),
    ],
)
async def test_a_wrong_request_is_refused_and_stores_nothing(
    core: Core, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    last = core.last_event()
    with pytest.raises(error) as refused:
        await core.submit({**ECHO, **change})
    assert words in str(refused.value)
    assert core.last_event() == last


async def test_a_graph_is_stored_whole_or_not_at_all(core: Core) -> None:
    last, before = core.last_event(), core.list_jobs(limit=1)
    for wrong in (
        {**ECHO, "job": "probe.ecko"},
        {**ECHO, "params": {"x": 1}},
        {**ECHO, "inputs": {"text": {"job": "c"}}},
    ):
        with pytest.raises((NotFound, InvalidParams, InvalidInput), match=r"^Job 'b': ") as refused:
            await core.submit_graph({"version": 1, "jobs": {"a": ECHO, "b": wrong}})
        assert refused.value.hint
    assert (core.last_event(), core.list_jobs(limit=1)) == (last, before)


async def test_a_text_does_not_fit_an_image(core: Core, lab: Any) -> None:
    with pytest.raises(InvalidInput, match="takes image, not text") as refused:
        await core.submit({"job": "probe.flip", "inputs": {"image": "a cat"}})
    assert "Upload" in refused.value.hint
    text = await lab.run(core, "echo", inputs={"text": "hi"})
    with pytest.raises(InvalidInput, match="takes image, not text"):
        await core.submit({"job": "probe.flip", "inputs": {"image": {"job": text["id"]}}})
    with pytest.raises(InvalidInput, match="no output 'image'"):
        await core.submit({"job": "probe.echo", "inputs": {"text": {"job": text["id"], "output": "image"}}})


async def test_a_view_has_the_fields_of_the_contract(core: Core, lab: Any) -> None:
    job = await lab.run(core, "picture", params={"color": "teal"})
    wanted = (
        "id job state inputs params outputs progress error attempt cached owner graph parent created started finished"
    )
    assert {*wanted.split(), "plugin_version", "host"} <= job.keys()
    assert job["created"] <= job["started"] <= job["finished"]
    assert (job["host"], job["attempt"], job["cached"], job["error"]) == ("local", 1, False, None)
    made = job["outputs"]["image"][0]
    assert (made["type"], made["media_type"], made["width"], made["height"]) == ("image", "image/png", 8, 8)
    assert json.loads(json.dumps(job)) == job
    assert job["params"]["count"] == 1, "defaults are filled in"


async def test_other_owners_jobs_are_not_found(core: Core, lab: Any) -> None:
    job = await lab.run(core, "echo", "ann", inputs={"text": "mine"})
    assert core.get_job(job["id"], "ann")["owner"] == "ann"
    for call in (core.cancel, core.retry):
        with pytest.raises(NotFound):
            await call(job["id"], "bob")
    with pytest.raises(NotFound):
        core.get_job(job["id"], "bob")
    with pytest.raises(InvalidInput):
        await core.submit({**ECHO, "inputs": {"text": {"job": job["id"]}}}, "bob")
    assert job["id"] in [row["id"] for row in core.list_jobs(owner="ann")]
    assert job["id"] not in [row["id"] for row in core.list_jobs(owner="bob")]


async def test_waiting_ends_early_or_in_time(core: Core, lab: Any, gate: Any) -> None:
    job = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    for seconds in (0, 0.01):
        assert not (await core.wait(job["id"], seconds))["state"].is_final
    waits = [asyncio.create_task(core.wait(job["id"])) for _ in range(3)]
    gate.open()
    assert {ended["state"] for ended in await asyncio.gather(*waits)} == {"succeeded"}
    with pytest.raises(NotFound):
        await core.wait("nobody", 1)


# -- idempotency -------------------------------------------------------------------------------------------------------


async def test_a_key_makes_one_job(core: Core, lab: Any) -> None:
    first = await core.submit(ECHO, idempotency_key="k1")
    again = await asyncio.gather(*(core.submit(ECHO, idempotency_key="k1") for _ in range(5)))
    assert {job["id"] for job in again} == {first["id"]}
    other = await core.submit(ECHO, "ann", "k1")
    assert other["id"] != first["id"], "a key is its owner's"
    with pytest.raises(Conflict):
        await core.submit({**ECHO, "priority": 1}, idempotency_key="k1")
    for job in (first, other):  # the tests of uploads look at what is stored
        await lab.end(core, job["id"])


async def test_a_key_makes_one_graph(core: Core, lab: Any) -> None:
    document = {"version": 1, "jobs": {"a": ECHO, "b": {**ECHO, "inputs": {"text": {"job": "a"}}}}}
    first = await core.submit_graph(document, idempotency_key="k2")
    again = await core.submit_graph(document, idempotency_key="k2")
    assert again["id"] == first["id"]
    assert {key: job["id"] for key, job in again["jobs"].items()} == {
        key: job["id"] for key, job in first["jobs"].items()
    }
    assert len(core.list_jobs(graph=first["id"])) == 2
    await lab.end(core, first["jobs"]["b"]["id"])


async def test_a_key_sent_twice_at_once_for_a_new_plugin(lab: Any) -> None:
    home = lab.home()
    (home / "plugins" / "probe.py").rename(home / "probe.py")
    async with lab.open(home) as core:
        (home / "probe.py").rename(home / "plugins" / "probe.py")
        made = await asyncio.gather(*(core.submit(ECHO, idempotency_key="k") for _ in range(3)))
        assert len({job["id"] for job in made}) == 1
        assert len(core.list_jobs()) == 1


# -- uploads -----------------------------------------------------------------------------------------------------------


def left(core: Core) -> list[Path]:
    return [path for path in (core.home / "artifacts").rglob("*") if path.is_file()]


async def test_an_upload_is_an_artifact(core: Core, lab: Any) -> None:
    content = png()
    made = await core.store_artifact(chunks(content[:10], b"", content[10:]), filename="../../a cat.png")
    assert made["id"] == hashlib.sha256(content).hexdigest()
    assert (made["type"], made["width"], made["height"], made["filename"]) == ("image", 5, 3, "a cat.png")
    assert core.artifact_path(made["id"]).read_bytes() == content
    again = await core.store_artifact(chunks(content), sha256=made["id"].upper())
    assert again["id"] == made["id"]
    job = await lab.run(core, "flip", inputs={"image": {"artifact": made["id"]}})
    assert job["state"] == "succeeded", job["error"]
    assert job["id"] in core.artifact(made["id"])["jobs"]


@pytest.mark.parametrize(
    ("content", "options", "error"),
    [
        (b"", {}, InvalidInput),
        (b"text", {"sha256": "0" * 64}, InvalidInput),
        (b"text", {"sha256": "nonsense"}, InvalidInput),
        (b"text", {"media_type": "image/png"}, InvalidInput),
        (png()[:40], {}, InvalidInput),
        (b"x" * (2**20 + 1), {}, TooLarge),
    ],
)
async def test_a_wrong_upload_leaves_nothing(
    core: Core, content: bytes, options: dict[str, Any], error: type[Exception]
) -> None:
    core.update_settings({"upload_limit_mb": 1})
    before = left(core)
    try:
        with pytest.raises(error):
            await core.store_artifact(chunks(content), **options)
    finally:
        core.update_settings({"upload_limit_mb": None})
    assert left(core) == before


async def test_an_upload_that_is_cut_off_leaves_nothing(core: Core) -> None:
    before = left(core)

    async def cut_off() -> AsyncIterator[bytes]:
        yield b"the first half"
        raise EOFError("gone")

    with pytest.raises(EOFError):
        await core.store_artifact(cut_off())
    never = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"the first half"
        await never.wait()

    uploading = asyncio.create_task(core.store_artifact(stuck()))
    await asyncio.sleep(0)
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    assert left(core) == before


async def test_clean_up_finds_an_upload_that_was_cut_off_with_the_server(lab: Any) -> None:
    async with lab.open() as core:
        never = asyncio.Event()

        async def stuck() -> AsyncIterator[bytes]:
            yield b"the first half"
            await never.wait()

        before = left(core)
        uploading = asyncio.create_task(core.store_artifact(stuck()))
        await asyncio.sleep(0)
        [half] = set(left(core)) - set(before)
        os.utime(half, (1, 1))
        assert await core.clean() == 1
        never.set()
        with pytest.raises(InvalidInput):
            await uploading


async def test_a_full_disk_leaves_nothing_of_an_upload(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    before = left(core)

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageFull, match="No space left"):
        await core.store_artifact(chunks(b"new text"))
    monkeypatch.undo()
    assert left(core) == before


@pytest.mark.parametrize("artifact_id", ["", "..", "../core.lock", "0" * 64, "\0"])
async def test_an_unknown_artifact_is_not_found(core: Core, artifact_id: str) -> None:
    with pytest.raises(NotFound):
        core.artifact_path(artifact_id)


async def test_clean_up_keeps_all_that_jobs_have(core: Core, lab: Any) -> None:
    source = await core.store_artifact(chunks(png("blue")))
    unused = await core.store_artifact(chunks(b"nobody wants me"))
    job = await lab.run(core, "flip_twice", inputs={"image": {"artifact": source["id"]}})
    own = await lab.run(core, "paint_and_flip", params={"color": "#abcdef"})
    core.update_settings({"artifact_grace_hours": 0})
    try:
        await core.clean()
    finally:
        core.update_settings({"artifact_grace_hours": None})
    for kept in (source, *job["outputs"]["image"], *own["outputs"]["image"]):
        assert core.artifact_path(kept["id"]).is_file()
    for row in core.list_jobs(limit=1000):
        for made in (artifact for artifacts in row["outputs"].values() for artifact in artifacts):
            if not row["error"]:
                core.artifact(made["id"])
    with pytest.raises(NotFound):
        core.artifact(unused["id"])
    again = await lab.run(core, "flip_twice", inputs={"image": {"artifact": source["id"]}})
    assert again["outputs"] == job["outputs"]


# -- saved results -----------------------------------------------------------------------------------------------------


async def test_a_result_is_saved_with_its_data_and_without_secrets(lab: Any) -> None:
    async with lab.open(token="t0ken") as core:
        await core.update_plugin_settings("probe", {"password": "s3cret"})
        picture = await lab.run(core, "picture", params={"color": "red"})
        greeting = await lab.run(core, "greet", inputs={"name": "Ann"})
        with PIL.Image.open(picture["outputs"]["image"][0]["path"]) as saved:
            saved.load()
            facts = json.loads(saved.text["stable-core"])  # type: ignore[attr-defined]
        assert (facts["job"], facts["params"]["color"], facts["id"]) == ("probe.picture", "red", picture["id"])
        text = Path(greeting["outputs"]["text"][0]["path"])
        assert text.read_text("utf-8") == "hello Ann"
        assert json.loads(text.with_name(text.name + ".json").read_text("utf-8"))["inputs"] == {"name": "Ann"}
        for path in [*(core.home / "outputs").rglob("*"), *(core.home / "logs").rglob("*")]:
            assert not path.is_file() or not any(word in path.read_bytes() for word in (b"s3cret", b"t0ken"))
    assert b"s3cret" not in (core.home / "stable-core.db").read_bytes()


async def test_data_is_an_answer_and_no_file(lab: Any) -> None:
    async with lab.open() as core:
        told = await lab.run(core, "same", inputs={"value": {"data": [1, 2]}})
        [answer] = next(iter(told["outputs"].values()))
        assert "path" not in answer
        assert answer["value"] == [1, 2]
        assert [path for path in (core.home / "outputs").rglob("*") if path.is_file()] == []


async def test_results_are_not_saved_when_nobody_wants_that(lab: Any) -> None:
    async with lab.open(save_results=False) as core:
        picture = await lab.run(core, "picture")
        assert "path" not in picture["outputs"]["image"][0]
        assert not (core.home / "outputs").exists()


async def test_a_folder_that_cannot_be_written_fails_the_job_and_keeps_the_artifact(lab: Any) -> None:
    async with lab.open() as core:
        (core.home / "outputs").write_text("a file is in the way")
        job = await lab.run(core, "picture")
        assert (job["state"], job["error"]["code"]) == ("failed", "storage_full")
        assert core.artifact_path(job["outputs"]["image"][0]["id"]).is_file()
        (core.home / "outputs").unlink()
        await core.retry(job["id"])
        assert (await lab.end(core, job["id"]))["state"] == "succeeded"


# -- restarts ----------------------------------------------------------------------------------------------------------


async def test_a_second_core_is_refused(lab: Any) -> None:
    home = lab.home()
    async with lab.open(home) as core:
        with pytest.raises(Conflict, match="Another stable-core") as refused:
            await lab.open(home).start()
        assert "--home" in refused.value.hint
        assert (await lab.run(core, "echo", inputs={"text": "still here"}))["state"] == "succeeded"
    async with lab.open(home):
        pass


async def test_a_start_that_fails_lets_go_of_the_home(lab: Any) -> None:
    home = lab.home()
    (home / "stable-core.db").mkdir()
    with pytest.raises(Exception, match=r"unable to open|cannot be used"):
        await lab.open(home).start()
    (home / "stable-core.db").rmdir()
    async with lab.open(home) as core:
        assert core.health()["status"] == "ok"


async def test_the_cache_and_the_history_outlive_a_restart(lab: Any) -> None:
    home, tally = lab.home(), lab.tally()
    request: dict[str, Any] = {"inputs": {"text": ["a", "b"]}, "params": {"tally": str(tally)}}
    async with lab.open(home) as core:
        first = await lab.run(core, "echo", **request)
        last = core.last_event()
    async with lab.open(home) as core:
        assert core.last_event() >= last
        assert core.get_job(first["id"]) == first
        second = await lab.run(core, "echo", **request)
        assert second["outputs"] == first["outputs"]
        assert core.health()["workers"] == {}, "no worker was needed"
    assert tally.read_text() == "ran\n" * 2


async def test_an_edited_plugin_does_not_use_old_results(lab: Any) -> None:
    home, tally = lab.home(), lab.tally()
    request: dict[str, Any] = {"inputs": {"text": "a"}, "params": {"tally": str(tally)}}
    async with lab.open(home) as core:
        await lab.run(core, "echo", **request)
    plugin = home / "plugins" / "probe.py"
    plugin.write_text(plugin.read_text() + "\n# edited\n")
    async with lab.open(home) as core:
        again = await lab.run(core, "echo", **request)
        assert not again["cached"]
    assert tally.read_text() == "ran\n" * 2


async def test_a_stop_puts_running_jobs_back(lab: Any, gate: Any) -> None:
    home = lab.home()
    async with lab.open(home) as core:
        job = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
        await lab.until(core, "job.running", job["id"])
        waiting = asyncio.create_task(core.wait(job["id"]))
        await asyncio.sleep(0)
    assert (await waiting)["state"] == "queued", "whoever waits is let go"
    gate.open()
    async with lab.open(home) as core:
        ended = await lab.end(core, job["id"])
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1)


def as_if_killed(home: Path, job_id: str, attempt: int) -> None:
    """Leave a row as a killed server leaves it."""
    database = sqlite3.connect(home / "stable-core.db")
    with database:
        database.execute("UPDATE jobs SET state='running', attempt=? WHERE id=?", (attempt, job_id))
    database.close()


async def _stopped_with(lab: Any, gate: Any, jobs: dict[str, Any]) -> tuple[Path, dict[str, str]]:
    """Submit a graph whose worker waits, stop the core and return the home and the ids."""
    home = lab.home()
    async with lab.open(home) as core:
        made = await core.submit_graph({"version": 1, "jobs": jobs})
        await lab.until(core, "job.running", made["jobs"]["a"]["id"])
    return home, {key: job["id"] for key, job in made["jobs"].items()}


async def test_a_killed_servers_jobs_run_again(lab: Any, gate: Any) -> None:
    hold = {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    after = {"job": "probe.echo", "inputs": {"text": {"job": "a"}}}
    home, ids = await _stopped_with(lab, gate, {"a": hold, "b": after})
    as_if_killed(home, ids["a"], attempt=1)
    gate.open()
    async with lab.open(home) as core:
        assert (await lab.end(core, ids["a"]))["attempt"] == 2
        assert (await lab.end(core, ids["b"]))["state"] == "succeeded"


async def test_a_job_that_always_takes_the_server_along_is_given_up(lab: Any, gate: Any) -> None:
    hold = {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    after = {"job": "probe.echo", "inputs": {"text": {"job": "a"}}}
    home, ids = await _stopped_with(lab, gate, {"a": hold, "b": after})
    as_if_killed(home, ids["a"], attempt=5)
    async with lab.open(home) as core:
        a, b = core.get_job(ids["a"]), core.get_job(ids["b"])
        assert (a["state"], a["error"]["code"]) == ("failed", "worker_died")
        assert (b["state"], b["error"]["code"]) == ("failed", "input_failed")


async def test_a_job_whose_inputs_ended_unseen_goes_on(lab: Any, gate: Any) -> None:
    """The server died between the end of a job and the start of the next."""
    hold = {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    after = {"job": "probe.echo", "inputs": {"text": {"job": "a"}}}
    home, ids = await _stopped_with(
        lab, gate, {"a": hold, "b": after, "c": {**after, "inputs": {"text": {"job": "b"}}}}
    )
    database = sqlite3.connect(home / "stable-core.db")
    with database:
        database.execute("UPDATE jobs SET state='cancelled' WHERE id=?", (ids["a"],))
    database.close()
    async with lab.open(home) as core:
        assert [core.get_job(ids[key])["state"] for key in "abc"] == ["cancelled", "failed", "failed"]


async def test_a_map_cut_by_a_kill_is_gathered(lab: Any, gate: Any) -> None:
    home = lab.home()
    async with lab.open(home) as core:
        job = await core.submit({"job": "probe.holds", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
        children = (await lab.until(core, "job.waiting", job["id"]))["data"]["jobs"]
        gate.open()
        await lab.end(core, children[0])
        await lab.until(core, "job.running", children[1])
    as_if_killed(home, children[1], attempt=1)
    gate.open()
    async with lab.open(home) as core:
        assert lab.texts(core, await lab.end(core, job["id"])) == ["x", "x"]
        assert core.get_job(children[0])["attempt"] == 1


async def test_jobs_of_a_plugin_that_is_gone_fail_at_the_start(lab: Any, gate: Any) -> None:
    hold = {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    home, ids = await _stopped_with(
        lab, gate, {"a": hold, "b": {"job": "probe.echo", "inputs": {"text": {"job": "a"}}}}
    )
    (home / "plugins" / "probe.py").unlink()
    async with lab.open(home) as core:
        a = await lab.end(core, ids["a"])
        assert (a["state"], a["error"]["code"]) == ("failed", "not_found")
        shutil.copy(Path(__file__).parent / "plugins" / "probe.py", home / "plugins")
        await core.signatures()
        gate.open()
        await core.retry(ids["b"])
        assert (await lab.end(core, ids["b"]))["state"] == "succeeded"


async def test_a_job_whose_plugin_is_away_when_the_core_stops_waits_for_the_next_start(lab: Any, gate: Any) -> None:
    home = lab.home()
    plugin, away = home / "plugins" / "probe.py", home / "probe.py"
    async with lab.open(home) as core:
        job = await core.submit({"job": "probe.glance", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
        await lab.until(core, "job.running", job["id"])
        plugin.rename(away)
        assert await core.plugins() == []
    away.rename(plugin)
    gate.open()
    async with lab.open(home) as core:
        assert (await lab.end(core, job["id"]))["state"] == "succeeded"


async def test_a_job_that_is_cancelled_just_before_the_end_does_not_run_again(lab: Any, gate: Any) -> None:
    home = lab.home()
    async with lab.open(home, cancel_grace_seconds=60) as core:
        job = await core.submit({"job": "probe.glance", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
        await lab.until(core, "job.running", job["id"])
        assert (await core.cancel(job["id"]))["state"] == "running"  # it never looks up
    async with lab.open(home) as core:
        assert core.get_job(job["id"])["state"] == "cancelled"


@pytest.mark.parametrize("light", [False, True])
async def test_jobs_of_a_plugin_that_announces_late_wait_for_it(
    lab: Any, gate: Any, monkeypatch: pytest.MonkeyPatch, light: bool
) -> None:
    """As after an update of stable-core, when all plugins are asked again."""
    hold = {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    mapped = {"job": "probe.glance" if light else "probe.echo", "inputs": {"text": ["1", "2"]}, "cache": False}
    home, ids = await _stopped_with(lab, gate, {"a": hold, "b": mapped, "c": {**mapped, "inputs": {"text": "3"}}})
    (home / "cache" / "announcements.json").unlink()
    monkeypatch.setattr(plugin_registry, "PATIENCE_SECONDS", 0)
    async with lab.open(home):
        pass  # and they still wait when it stops meanwhile
    async with lab.open(home) as core:
        assert core.get_job(ids["a"])["state"] == "queued"
        gate.open()
        ended = [await lab.end(core, job_id) for job_id in ids.values()]
        assert [(job["state"], job["error"]) for job in ended] == [("succeeded", None)] * 3


# -- a database that is full -------------------------------------------------------------------------------------------


async def test_the_core_goes_on_when_there_is_room_again(lab: Any, gate: Any) -> None:
    async with lab.open() as core:
        running = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
        await lab.until(core, "job.running", running["id"])
        database = core._store._db
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StorageFull):
            await core.submit({**ECHO, "inputs": {"text": "x" * 1_000_000}})
        kept = len(core.list_jobs())
        await asyncio.sleep(0)
        assert core.health()["status"] == "stalled"
        gate.open(2)  # it runs again if it ends before that transaction was undone
        database.execute("PRAGMA max_page_count=1000000")
        assert (await lab.end(core, running["id"]))["state"] == "succeeded"
        assert lab.texts(core, await lab.run(core, "echo", inputs={"text": "room"})) == ["room"]
        assert (kept, core.health()["status"]) == (1, "ok")


async def test_a_job_that_ends_while_nothing_can_be_stored_runs_again(lab: Any, gate: Any) -> None:
    async with lab.open(save_results=False) as core:
        running = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
        await lab.until(core, "job.running", running["id"])
        database = core._store._db
        database.execute("PRAGMA query_only=ON")
        gate.open(2)
        async with asyncio.timeout(120):
            while "busy" in core.health()["workers"].values():  # noqa: ASYNC110 - no event can be told
                await asyncio.sleep(0.01)
        database.execute("PRAGMA query_only=OFF")
        ended = await lab.end(core, running["id"])
        assert ended["state"] == "succeeded"
        assert lab.texts(core, await lab.run(core, "echo", inputs={"text": "room"})) == ["room"]


async def test_a_core_stops_though_nothing_can_be_stored(lab: Any, gate: Any) -> None:
    core = lab.open()
    await core.start()
    job = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    await lab.until(core, "job.preview", job["id"])
    await core._store.commit()
    with contextlib.closing(sqlite3.connect(core.home / "stable-core.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        await core.stop()
    async with lab.open(core.home) as again:
        assert again.get_job(job["id"])["state"] == "queued"


async def test_a_core_that_never_lives_long_cleans_up_too(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a command does, which lives for seconds."""
    monkeypatch.setattr("stable_core.core.LOOK_SECONDS", 0.01)
    home = lab.home()
    for is_due in (True, False):
        old = home / "logs" / "old.log"
        old.parent.mkdir(exist_ok=True)
        old.touch()
        os.utime(old, (1, 1))
        async with lab.open(home) as core:
            async with asyncio.timeout(60):
                while is_due and old.exists():  # noqa: ASYNC110 - no event can be told
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert core.health()["status"] == "ok"
        assert old.exists() is not is_due


async def test_clean_up_deletes_old_logs_and_environments_that_no_plugin_needs(lab: Any) -> None:
    home = lab.home()
    shared = home / "environments"
    shared.unlink()
    shutil.copytree(lab.folder / "template" / "environments", shared, symlinks=True)
    async with lab.open(home) as core:
        job = await lab.run(core, "echo", inputs={"text": "logged"})
        needed = core._registry.environments.python_of(core._registry.plugin("probe").environment)
        assert needed is not None
        old, young = shared / "old", shared / "young"
        for folder in (needed.parent.parent, old, young):
            folder.mkdir(exist_ok=True)
            (folder / "complete").touch()
        logs = [home / "logs" / "ancient.log", home / "logs" / f"{job['id']}.log"]
        for log in logs:
            log.touch()
        for path in (needed.parent.parent / "complete", old / "complete", logs[0]):
            os.utime(path, (1, 1))
        await core.clean()
        assert sorted(path.name for path in shared.iterdir()) == sorted([needed.parent.parent.name, "young"])
        assert [log.exists() for log in logs] == [False, True]
        assert (await lab.run(core, "echo", inputs={"text": "after"}))["state"] == "succeeded"


# -- settings ----------------------------------------------------------------------------------------------------------


async def test_secrets_are_never_shown(core: Core) -> None:
    core.update_settings({"token": "t0ken"})
    await core.update_plugin_settings("probe", {"password": "s3cret", "greeting": "hey"})
    try:
        shown = json.dumps([core.settings(), await core.plugin_settings("probe")])
    finally:
        core.update_settings({"token": None})
        await core.update_plugin_settings("probe", {"password": None, "greeting": None})
    assert "t0ken" not in shown
    assert "s3cret" not in shown
    assert "hey" in shown


async def test_wrong_settings_are_refused(core: Core) -> None:
    for wrong in ({"port": 99999}, {"no_such": 1}, {"devices": 3}):
        with pytest.raises(InvalidParams):
            core.update_settings(wrong)
    for wrong_plugin in ({"greeting": 3}, {"no_such": 1}):
        with pytest.raises(InvalidParams):
            await core.update_plugin_settings("probe", wrong_plugin)
    with pytest.raises(NotFound):
        await core.plugin_settings("nobody")


async def test_what_can_run_is_told(core: Core) -> None:
    names = [signature["name"] for signature in await core.signatures()]
    assert "probe.echo" in names
    assert (await core.signature("probe.twice"))["kind"] == "invocation"
    assert [plugin["name"] for plugin in await core.plugins()] == ["probe"]
    with pytest.raises(NotFound):
        await core.signature("probe.nothing_like_it")


async def test_how_it_does_is_told(core: Core, lab: Any) -> None:
    await lab.run(core, "echo", inputs={"text": "x"})
    health, counters, (host,) = core.health(), core.counters(), core.hosts()
    assert (health["status"], health["workers"]) == ("ok", {"probe@cpu": "idle"})
    assert counters["workers"] == 1
    assert counters["jobs_succeeded_total"] > 0
    assert counters["events_total"] == core.last_event()
    assert host["workers"][0]["plugin"] == "probe"


async def test_a_log_of_an_unknown_job_is_not_found(core: Core) -> None:
    with pytest.raises(NotFound):
        core.log("../core.lock")


async def test_user_data_is_the_callers_own_and_outlives_the_core(lab: Any, home: Path) -> None:
    async with lab.open(home) as core:
        before = core.last_event()
        assert await core.update_user_data({"favourite.a": True, "cleared": 1.5, "gone": "x"}, "ann") != {}
        kept = await core.update_user_data({"gone": None, "never": None, "cleared": {"at": [2]}}, "ann")
        assert kept == core.user_data("ann") == {"cleared": {"at": [2]}, "favourite.a": True}
        assert core.user_data("bob") == {}
        events = core.events(before, owner="ann")
        told = [await anext(events), await anext(events)]
        assert [event["type"] for event in told] == ["user_data.changed"] * 2
        assert told[1]["data"] == {"gone": None, "never": None, "cleared": {"at": [2]}}
    async with lab.open(home) as core:
        assert core.user_data("ann") == kept


async def test_forms_of_the_settings_hold_for_every_client(lab: Any) -> None:
    home = lab.home()
    form = {"probe.echo": {"suffix": {"default": "!"}, "number": {"maximum": 5, "step": 2}}}
    (home / "settings.json").write_text(json.dumps({"core": {"forms": form}}))
    async with lab.open(home) as core:
        knobs = (await core.signature("probe.echo"))["params"]["properties"]
        assert (knobs["suffix"]["default"], knobs["number"]["maximum"], knobs["number"]["x-ui"]) == (
            "!",
            5,
            {"step": 2},
        )
        assert lab.texts(core, await lab.run(core, "echo", inputs={"text": "hi"})) == ["hi!"]
        with pytest.raises(InvalidParams, match="number: 6"):
            await core.submit({**ECHO, "params": {"number": 6}})


async def test_model_names(core: Core) -> None:
    (core.home / "models" / "checkpoints" / "one.safetensors").write_bytes(b"")
    assert core.model_names("checkpoints") == ["one"]
    assert core.model_names("../..") == []
