"""Following events: order, filters, and a slow consumer that misses nothing and troubles nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stable_core.core import Core
from stable_core.events import Event, EventHub

pytestmark = pytest.mark.anyio


def event(seq: int, job: str = "j") -> Event:
    return {"seq": seq, "job": job}


async def test_only_those_are_woken_who_want_one_of_the_events() -> None:
    hub = EventHub()
    with hub.watch(lambda _: True) as every, hub.watch(lambda found: found["job"] == "a") as some:
        hub.publish([event(1, "b")])
        assert (every.is_set(), some.is_set()) == (True, False)
        hub.publish([event(2, "b"), event(3, "a")])
        assert (every.is_set(), some.is_set()) == (True, True)
        every.clear()
        hub.publish([])
        assert not every.is_set()


async def test_who_left_is_forgotten() -> None:
    hub = EventHub()
    with hub.watch(lambda _: True) as news:
        assert len(hub) == 1
    assert len(hub) == 0
    hub.publish([event(1)])
    assert not news.is_set()


async def test_the_end_wakes_everybody() -> None:
    hub = EventHub()
    with hub.watch(lambda _: False) as one, hub.watch(lambda _: False) as other:
        waits = asyncio.gather(one.wait(), other.wait())
        await asyncio.sleep(0)
        hub.close()
        assert await waits == [True, True]
    assert hub.is_closed


# -- through the core --------------------------------------------------------------------------------------------------


async def collect(core: Core, after: int | None, last: int, **wanted: str) -> list[Event]:
    """Return the events up to number `last`."""
    found: list[Event] = []
    if after == last:
        return found
    async for one in core.events(after, **wanted):
        if one["seq"] <= last:
            found.append(one)
        if one["seq"] >= last:
            break
    return found


async def test_a_jobs_events_come_in_order(core: Core, lab: Any) -> None:
    before = core.last_event()
    job = await lab.run(core, "pictures", params={"count": 2, "color": "one"}, cache=False)
    found = await collect(core, before, core.last_event(), job=job["id"])
    kinds = [one["type"] for one in found]
    assert kinds[0] == "job.queued"
    assert [kind for kind in kinds if kind != "job.progress"][1:] == [
        "job.running",
        "job.output",
        "job.output",
        "job.succeeded",
    ]
    assert [one["seq"] for one in found] == sorted({one["seq"] for one in found})
    assert all(one["time"] > 0 and one["owner"] == "local" and one["graph"] is None for one in found)
    assert "path" in found[-1]["data"]["outputs"]["image"][0]


async def test_a_preview_is_an_event(core: Core, lab: Any, gate: Any) -> None:
    gate.open()
    job = await lab.run(core, "hold", inputs={"text": "x"}, params={"gate": gate.path})
    preview = await lab.until(core, "job.preview", job["id"])
    assert preview["data"]["media_type"] == "image/jpeg"
    assert preview["data"]["data"]


async def test_events_are_filtered_by_owner_and_graph(core: Core, lab: Any) -> None:
    before = core.last_event()
    document = {"version": 1, "jobs": {"a": {"job": "probe.echo", "inputs": {"text": "filter"}}}}
    graph = await core.submit_graph(document, "ann")
    other = await lab.run(core, "echo", "bob", inputs={"text": "filter 2"})
    await lab.end(core, graph["jobs"]["a"]["id"])
    last = core.last_event()
    of_graph = [one async for one in _until(core, before, "job.succeeded", graph=graph["id"])]
    of_bob = [one async for one in _until(core, before, "job.succeeded", owner="bob")]
    assert {one["job"] for one in of_graph} == {graph["jobs"]["a"]["id"]}
    assert {one["owner"] for one in of_graph} == {"ann"}
    assert {one["job"] for one in of_bob} == {other["id"]}
    assert core.last_event() == last


async def _until(core: Core, after: int, kind: str, **wanted: str) -> Any:
    async for one in core.events(after, **wanted):
        yield one
        if one["type"] == kind:
            return


async def test_a_client_resumes_without_gap_or_repetition(core: Core, lab: Any) -> None:
    """It comes and goes after a few events each time, while jobs write more."""
    before = core.last_event()
    ids = []

    async def work() -> None:
        for number in range(40):
            job = await core.submit({"job": "probe.echo", "inputs": {"text": f"resume {number}"}, "cache": False})
            ids.append(job["id"])
        for job_id in ids:
            await lab.end(core, job_id)
        await core.submit({"job": "probe.echo", "inputs": {"text": "the end"}, "priority": -5}, "end")

    async def watch(rest: int) -> list[Event]:
        seen: list[Event] = []
        while True:
            async for one in core.events(seen[-1]["seq"] if seen else before):
                seen.append(one)
                if one["owner"] == "end":
                    return seen
                if len(seen) % rest == 0:
                    break

    working = asyncio.create_task(work())
    watched = await asyncio.gather(watch(1), watch(3), watch(7), watch(100_000))
    await working
    numbers = [one["seq"] for one in watched[-1]]
    assert numbers == list(range(before + 1, before + 1 + len(numbers)))
    assert all(seen == watched[-1] for seen in watched)


async def test_without_a_number_only_new_events_come(core: Core, lab: Any) -> None:
    await lab.run(core, "echo", inputs={"text": "old"})
    last = core.last_event()
    stream = core.events()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await lab.run(core, "echo", inputs={"text": "new"})
    assert (await first)["seq"] == last + 1
    await stream.aclose()


async def test_many_stored_events_come_in_pages(core: Core, lab: Any) -> None:
    before = core.last_event()
    job = await lab.run(core, "echo", inputs={"text": [f"page {number}" for number in range(300)]})
    assert job["state"] == "succeeded"
    last = core.last_event()
    found = await collect(core, before, last)
    assert len(found) > 1000
    assert [one["seq"] for one in found] == list(range(before + 1, last + 1))


async def test_a_slow_client_misses_nothing_and_delays_nobody(core: Core, lab: Any) -> None:
    before = core.last_event()
    stream = core.events(before)
    quick = asyncio.create_task(collect(core, before, before + 3))
    await lab.run(core, "echo", inputs={"text": "slow"}, cache=False)
    seen = [await anext(stream)]
    for number in range(20):
        await lab.run(core, "echo", inputs={"text": f"slow {number}"}, cache=False)
    assert [one["seq"] for one in await quick] == [before + 1, before + 2, before + 3]
    last = core.last_event()
    while seen[-1]["seq"] < last:
        seen.append(await anext(stream))
    await stream.aclose()
    assert [one["seq"] for one in seen] == list(range(before + 1, last + 1))


async def test_a_stream_that_begins_after_the_end_is_empty(lab: Any) -> None:
    async with lab.open() as core:
        core.end_waits()
        assert [one async for one in core.events(0)] == []


async def test_streams_end_with_the_core(lab: Any) -> None:
    async with lab.open() as core:
        reading = asyncio.create_task(_all(core))
        await asyncio.sleep(0)
        assert core.counters()["event_clients"] == 1
    assert await reading == []


async def _all(core: Core) -> list[Event]:
    return [one async for one in core.events(core.last_event())]
