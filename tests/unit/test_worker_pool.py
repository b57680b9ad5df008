"""Workers come and go: memory, devices, idle time, edited and broken plugins; real processes, tiny plugins."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from stable_core.core import Core

pytestmark = pytest.mark.anyio

HEAVY = """
import os, select
from stable_core.sdk import Params, Plugin, Progress, Text
plugin = Plugin("{name}", memory_mb={memory})

class GateParams(Params):
    gate: str = ""

@plugin.job(cached=False)
def go(text: Text, params: GateParams, progress: Progress) -> Text:
    if params.gate:
        gate = os.open(params.gate, os.O_RDWR)
        progress(1, 2)
        while not select.select([gate], [], [], 0.01)[0]:
            progress(1, 2)
        os.read(gate, 1)
    return text + "{mark}"
"""
MEMORY_MB = {"big_a": 600, "big_b": 600, "huge": 5000, "light": 0, "other": 0}


def write(home: Path, *names: str, mark: str = "", before: str = "") -> None:
    """Write plugins; a mark or code before them makes them other than those of the other tests."""
    for name in names:
        code = HEAVY.format(name=name, memory=MEMORY_MB[name], mark=mark)
        (home / "plugins" / f"{name}.py").write_text(before + code)


async def go(core: Core, name: str, gate: Any = None, **request: Any) -> str:
    """Submit a job and return its id."""
    params = {"gate": gate.path} if gate else {}
    job = await core.submit({"job": f"{name}.go", "inputs": {"text": name}, "params": params, **request})
    return str(job["id"])


def names(core: Core) -> list[str]:
    return sorted(worker.partition("@")[0] for worker in core.health()["workers"])


async def order(core: Core, lab: Any, ids: list[str]) -> list[str]:
    """Return the plugins of jobs in the order in which they ran."""
    ended = [await lab.end(core, job_id) for job_id in ids]
    assert {job["state"] for job in ended} == {"succeeded"}
    return [job["job"].partition(".")[0] for job in sorted(ended, key=lambda job: job["started"])]


@pytest.fixture(scope="module")
async def announced(lab: Any) -> Path:
    """Return a file with what the plugins announce, so that not each test must ask again."""
    home: Path = lab.home()
    write(home, *MEMORY_MB)
    async with lab.open(home) as core:
        await core.signatures()
    return home / "cache" / "announcements.json"


@pytest.fixture
def home(lab: Any, announced: Path) -> Path:
    made: Path = lab.home()
    (made / "plugins" / "probe.py").unlink()
    shutil.copy(announced, made / "cache")
    return made


# -- memory ------------------------------------------------------------------------------------------------------------


async def test_an_idle_worker_makes_room(lab: Any, home: Path) -> None:
    write(home, "big_a", "big_b", "light")
    async with lab.open(home, devices="cpu", device_memory_mb=1000) as core:
        for name in ("light", "big_a"):
            await lab.end(core, await go(core, name))
        assert names(core) == ["big_a", "light"]
        await lab.end(core, await go(core, "big_b"))
        assert names(core) == ["big_b", "light"]


async def test_what_fits_together_stays(lab: Any, home: Path) -> None:
    write(home, "big_a", "big_b")
    async with lab.open(home, devices="cpu", device_memory_mb=1200) as core:
        await lab.end(core, await go(core, "big_a"))
        await lab.end(core, await go(core, "big_b"))
        assert names(core) == ["big_a", "big_b"]


async def test_a_plugin_larger_than_the_device_runs_alone(lab: Any, home: Path) -> None:
    write(home, "big_a", "huge")
    async with lab.open(home, devices="cpu", device_memory_mb=1000) as core:
        for name in ("big_a", "huge", "big_a"):
            await lab.end(core, await go(core, name))
            assert names(core) == [name]


async def test_a_busy_worker_is_waited_for(lab: Any, home: Path, gate: Any) -> None:
    write(home, "big_a", "big_b")
    async with lab.open(home, devices="cpu", device_memory_mb=1000) as core:
        first = await go(core, "big_a", gate)
        await lab.until(core, "job.running", first)
        second = await go(core, "big_b")
        assert core.get_job(second)["state"] == "queued"
        gate.open()
        assert await order(core, lab, [first, second]) == ["big_a", "big_b"]


async def test_jobs_of_loaded_plugins_go_first_but_not_for_ever(lab: Any, home: Path, gate: Any) -> None:
    write(home, "big_a", "big_b")
    async with lab.open(home, devices="cpu", device_memory_mb=1000) as core:
        first = await go(core, "big_a", gate)
        await lab.until(core, "job.running", first)
        ids = [await go(core, name) for name in ["big_b", *["big_a"] * 20, "big_b"]]
        gate.open()
        ran = await order(core, lab, ids)
    assert 1 <= ran.index("big_b") <= 8, "some of the loaded plugin's jobs go first, at most eight"
    assert ran[ran.index("big_b") + 1] == "big_b", "then the other plugin stays as long as it has jobs"


async def test_a_higher_priority_does_not_wait_for_loaded_plugins(lab: Any, home: Path, gate: Any) -> None:
    write(home, "big_a", "big_b")
    async with lab.open(home, devices="cpu", device_memory_mb=1000) as core:
        first = await go(core, "big_a", gate)
        await lab.until(core, "job.running", first)
        ids = [await go(core, "big_a") for _ in range(3)] + [await go(core, "big_b", priority=1)]
        gate.open()
        assert await order(core, lab, ids) == ["big_b", "big_a", "big_a", "big_a"]


async def test_light_jobs_run_on_while_another_waits_for_room(lab: Any, home: Path, gate: Any) -> None:
    write(home, "big_a", "big_b", "light")
    async with lab.open(home, devices="cpu", device_memory_mb=1000) as core:
        first = await go(core, "big_a", gate)
        await lab.until(core, "job.running", first)
        blocked = await go(core, "big_b")
        for _ in range(20):
            await lab.end(core, await go(core, "light"))
        assert core.get_job(blocked)["state"] == "queued"
        gate.open()
        await lab.end(core, blocked)


async def test_a_worker_that_makes_room_gets_no_job(lab: Any, home: Path, gate: Any) -> None:
    write(home, "big_a", "big_b")
    async with lab.open(home, devices="cpu", device_memory_mb=1000) as core:
        await lab.end(core, await go(core, "big_a"))
        jobs = {
            name: {"job": f"{name}.go", "inputs": {"text": "x"}, "params": params, "priority": priority}
            for name, params, priority in (("big_a", {"gate": gate.path}, 0), ("big_b", {}, 1))
        }
        made = (await core.submit_graph({"version": 1, "jobs": jobs}))["jobs"]
        await lab.end(core, made["big_b"]["id"])
        gate.open()
        assert (await lab.end(core, made["big_a"]["id"]))["attempt"] == 1


def write_greedy(home: Path) -> Path:
    """Add the job `other.greedy`, which runs out of memory when the file that this returns is not there."""
    plugin = home / "plugins" / "other.py"
    tally = plugin.with_suffix(".tally")
    write(home, "other", before=f"import pathlib\ntally = pathlib.Path({str(tally)!r})\n")
    greedy = "\n@plugin.job(cached=False)\ndef greedy() -> Text:\n    if not tally.exists():\n"
    greedy += "        tally.touch()\n        raise MemoryError('too much')\n    return 'enough'\n"
    with plugin.open("a") as file:
        file.write(greedy)
    return tally


async def test_a_job_without_memory_is_tried_again_when_others_are_gone(lab: Any, home: Path) -> None:
    write(home, "light")
    tally = write_greedy(home)
    async with lab.open(home, devices="cpu") as core:
        await lab.end(core, await go(core, "light"))
        job = await lab.run(core, "other.greedy")
        assert lab.texts(core, job) == ["enough"]
        assert (job["attempt"], names(core)) == (2, ["other"])
        tally.unlink()
        alone = await lab.run(core, "other.greedy")
        assert (alone["state"], alone["error"]["code"]) == ("failed", "out_of_memory")


async def test_a_job_that_is_to_be_tried_again_can_be_cancelled(lab: Any, home: Path) -> None:
    write(home, "light")
    write_greedy(home)
    leaving, leave = home / "leaving", home / "leave"
    linger = f"\n@plugin.unload\ndef linger() -> None:\n    open({str(leaving)!r}, 'w').close()\n"
    linger += f"    open({str(leave)!r}).close()\n"
    with (home / "plugins" / "light.py").open("a") as file:
        file.write(linger)
    for fifo in (leaving, leave):
        os.mkfifo(fifo)
    async with lab.open(home, devices="cpu") as core:
        await lab.end(core, await go(core, "light"))
        job = await core.submit({"job": "other.greedy"})
        await asyncio.to_thread(leaving.read_text)  # the idle worker is about to make room
        await core.cancel(job["id"])
        await asyncio.to_thread(leave.write_text, "")
        ended = await lab.end(core, job["id"])
        assert (ended["state"], ended["attempt"]) == ("cancelled", 1)


async def test_a_job_cancelled_while_its_worker_starts_never_runs(lab: Any, home: Path) -> None:
    write(home, "light")
    async with lab.open(home) as core:
        job_id = await go(core, "light")
        assert (await core.cancel(job_id))["state"] == "cancelled"
        assert (await lab.end(core, await go(core, "light")))["state"] == "succeeded"
        assert core.get_job(job_id)["attempt"] == 0


# -- devices and idle time ---------------------------------------------------------------------------------------------


async def test_each_device_has_a_worker(lab: Any, home: Path, gate: Any) -> None:
    write(home, "light")
    async with lab.open(home, devices="cpu, other") as core:
        ids = [await go(core, "light", gate) for _ in range(2)]
        for job_id in ids:
            await lab.until(core, "job.running", job_id)
        assert sorted(core.health()["workers"]) == ["light@cpu", "light@other"]
        assert [device["name"] for device in core.hosts()[0]["devices"]] == ["cpu", "other"]
        gate.open(2)
        await order(core, lab, ids)


async def test_an_idle_worker_is_stopped_after_a_while(lab: Any, home: Path, gate: Any) -> None:
    write(home, "light")
    async with lab.open(home, worker_idle_seconds=0.2) as core:
        job_id = await go(core, "light", gate)
        await lab.until(core, "job.running", job_id)
        (worker,) = core._queue.pool.workers
        gate.open()
        await lab.end(core, job_id)
        async with asyncio.timeout(120):
            await worker._exited.wait()
        assert names(core) == []
        assert (await lab.end(core, await go(core, "light")))["state"] == "succeeded"


# -- plugins that change or break --------------------------------------------------------------------------------------


async def test_an_edited_plugin_runs_its_new_code(lab: Any, home: Path) -> None:
    write(home, "light", mark="1")
    async with lab.open(home) as core:
        first = await lab.end(core, await go(core, "light"))
        plugin = home / "plugins" / "light.py"
        written = plugin.stat().st_mtime_ns
        write(home, "light", mark="2")
        os.utime(plugin, ns=(written, written + 1))  # Python's own cache looks at seconds and size
        await core.signatures()
        second = await lab.end(core, await go(core, "light"))
        assert [lab.texts(core, job) for job in (first, second)] == [["light1"], ["light2"]]
        assert first["plugin_version"] != second["plugin_version"]
        assert names(core) == ["light"]


@pytest.mark.parametrize("change", ["break", "remove"])
async def test_a_plugin_that_goes_while_its_job_runs(lab: Any, home: Path, gate: Any, change: str) -> None:
    write(home, "light", "other")
    async with lab.open(home) as core:
        running = await go(core, "light", gate)
        await lab.until(core, "job.running", running)
        mapped = (await core.submit({"job": "light.go", "inputs": {"text": ["a", "b"]}}))["id"]
        if change == "break":
            write(home, "light", before="1 / 0\n")
        else:
            (home / "plugins" / "light.py").unlink()
        await core.signatures()
        gate.open()
        ended = await lab.end(core, running)
        assert ended["state"] == "succeeded", ended["error"]
        behind = await lab.end(core, mapped)
        assert behind["state"] == "failed"
        assert "did not succeed" in behind["error"]["message"]
        assert (await lab.end(core, await go(core, "other")))["state"] == "succeeded"


async def test_a_worker_that_cannot_start_fails_its_jobs(lab: Any, home: Path) -> None:
    only_worker = "import os\nif 'STABLE_CORE_DEVICE' in os.environ: {}\n"
    write(home, "light", before=only_worker.format("raise RuntimeError('no device')"))
    async with lab.open(home) as core:
        ids = [await go(core, "light") for _ in range(3)]
        for job_id in ids:
            error = (await lab.end(core, job_id))["error"]
            assert (error["code"], "no device" in error["message"]) == ("bad_announcement", True)
        write(home, "light")
        await core.signatures()
        assert (await lab.end(core, await go(core, "light")))["state"] == "succeeded"


async def test_a_worker_that_hangs_at_its_start_fails_its_jobs(lab: Any, home: Path) -> None:
    write(home, "light", before="import os, time\nif 'STABLE_CORE_DEVICE' in os.environ: time.sleep(600)\n")
    async with lab.open(home, worker_start_seconds=0.5) as core:
        error = (await lab.end(core, await go(core, "light")))["error"]
        assert error["code"] == "timed_out"


async def test_a_worker_that_hangs_at_its_end_is_replaced(lab: Any, home: Path) -> None:
    hangs = "\n@plugin.unload\ndef hang() -> None:\n    import time\n    time.sleep(600)\n"
    write(home, "light")
    with (home / "plugins" / "light.py").open("a") as file:
        file.write(hangs)
    async with lab.open(home) as core:
        await lab.end(core, await go(core, "light"))
        write(home, "light", mark="2")
        await core.signatures()
        assert lab.texts(core, await lab.end(core, await go(core, "light"))) == ["light2"]


# -- the end of the core -----------------------------------------------------------------------------------------------


async def test_the_core_stops_while_workers_start_and_run(lab: Any, home: Path, gate: Any) -> None:
    write(home, "light", "other")
    async with lab.open(home) as core:
        running = await go(core, "light", gate)
        await lab.until(core, "job.running", running)
        starting = await go(core, "other")
        await asyncio.sleep(0)
    async with lab.open(home) as core:
        assert core.get_job(running)["state"] in ("queued", "running")
        gate.open()
        assert [(await lab.end(core, job_id))["attempt"] for job_id in (running, starting)] == [1, 1]
