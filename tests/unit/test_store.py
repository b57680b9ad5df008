"""The store: durable rows, group commit, legal transitions, failed transactions, artifacts and their clean-up."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stable_core.errors import ConfigError, Conflict, NotFound, StorageFull
from stable_core.events import Event
from stable_core.protocol import artifact_path, write_artifact
from stable_core.sdk.jobs import TRANSITIONS, JobState
from stable_core.store import Store, new_id

pytestmark = pytest.mark.anyio


@pytest.fixture
def told() -> list[list[Event]]:
    """Collect what was told after each commit."""
    return []


@pytest.fixture
def store(home: Path, told: list[list[Event]]) -> Iterator[Store]:
    made = Store(home, told.append)
    yield made
    made.close()


def add(store: Store, state: JobState = JobState.QUEUED, **columns: Any) -> str:
    """Add a job and return its id."""
    row = {"id": new_id(), "job": "p.j", "plugin": "p", "state": state, "owner": "me", "created": time.time()}
    row |= {"options": {}, "inputs": {}, "params": {}}
    store.insert_job({**row, **columns})
    return str((row | columns)["id"])


def on_disk(home: Path, sql: str) -> list[Any]:
    """Return what another process sees."""
    database = sqlite3.connect(home / "stable-core.db")
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()


# -- transactions ------------------------------------------------------------------------------------------------------


async def test_what_is_committed_is_on_disk(home: Path, store: Store) -> None:
    job_id = add(store, params={"steps": [1, {"a": "ü"}]})
    assert on_disk(home, "SELECT id FROM jobs") == []
    await store.commit()
    assert on_disk(home, "SELECT id FROM jobs") == [(job_id,)]
    assert store.job(job_id)["params"] == {"steps": [1, {"a": "ü"}]}
    await store.commit()


async def test_who_acts_in_one_turn_shares_a_commit(store: Store) -> None:
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)

    async def submit() -> None:
        job_id = add(store)
        store.add_event("job.queued", {}, job_id)
        await store.commit()

    await asyncio.gather(*(submit() for _ in range(100)))
    assert statements.count("COMMIT") == 1
    await submit()
    await submit()
    assert statements.count("COMMIT") == 3
    store._db.set_trace_callback(None)


async def test_events_are_told_after_their_commit(home: Path, store: Store, told: list[list[Event]]) -> None:
    store.add_event("job.queued", {"a": 1}, "j", "g", "me")
    store.add_event("job.running", {}, "j")
    assert (told, store.last_seq, store.events_after(0, {})) == ([], 0, [])
    await store.commit()
    assert [[event["type"] for event in events] for events in told] == [["job.queued", "job.running"]]
    assert store.last_seq == 2
    assert store.events_after(0, {}) == told[0]
    assert [event["seq"] for event in store.events_after(1, {})] == [2]
    assert [event["seq"] for event in store.events_after(0, {}, limit=1)] == [1]
    assert [event["seq"] for event in store.events_after(0, {"job": "j", "graph": "g"})] == [1]
    assert store.events_after(0, {"owner": "you"}) == []


async def test_numbers_of_events_go_on_after_a_restart(home: Path) -> None:
    for expected in (1, 2, 3):
        store = Store(home, lambda _: None)
        store.add_event("x", {})
        await store.commit()
        assert store.last_seq == expected
        store.close()


async def test_a_home_has_one_store_at_a_time(home: Path) -> None:
    first = Store(home, lambda _: None)
    with pytest.raises(Conflict, match="Another stable-core"):
        Store(home, lambda _: None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite3.connect(home / "core.lock", timeout=0).execute("BEGIN IMMEDIATE")
    first.close()
    Store(home, lambda _: None).close()


async def test_closing_commits_what_is_open(home: Path) -> None:
    store = Store(home, lambda _: None)
    add(store)
    store.close()
    await asyncio.sleep(0)
    assert on_disk(home, "SELECT count(*) FROM jobs") == [(1,)]


async def test_a_full_disk_undoes_the_whole_turn(home: Path, store: Store, told: list[list[Event]]) -> None:
    kept = add(store)
    await store.commit()
    failures: list[None] = []
    store.on_failure = lambda: failures.append(None)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages + 1}")
    lost = add(store)
    store.add_event("job.queued", {}, lost)
    with pytest.raises(StorageFull, match="full"):
        add(store, inputs={"text": "x" * 1_000_000})
    with pytest.raises(StorageFull):
        add(store)
    with pytest.raises(StorageFull):
        await store.commit()
    assert len(failures) == 1
    assert on_disk(home, "SELECT id FROM jobs") == [(kept,)]
    assert (store.events_after(0, {}), store.last_seq) == ([], 0)
    with pytest.raises(NotFound):
        store.job(lost)

    store._db.execute("PRAGMA max_page_count=1000000")
    again = add(store)
    store.add_event("job.queued", {}, again)
    await store.commit()
    assert [event["job"] for event in store.events_after(0, {})] == [again]
    assert [event["job"] for events in told for event in events] == [again]
    assert store.last_seq == store.events_after(0, {})[-1]["seq"]


async def test_everybody_in_a_failed_turn_is_told(store: Store) -> None:
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")

    async def submit(size: int) -> str:
        add(store, inputs={"text": "x" * size})
        await store.commit()
        return "stored"

    ends = await asyncio.gather(submit(10), submit(100_000), submit(10), return_exceptions=True)
    assert [type(end) for end in ends] == [StorageFull] * 3
    assert list(store.jobs()) == []


# -- the file ----------------------------------------------------------------------------------------------------------


def test_a_database_of_another_version_is_refused(home: Path) -> None:
    Store(home, lambda _: None).close()
    database = sqlite3.connect(home / "stable-core.db")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(Conflict, match="99") as refused:
        Store(home, lambda _: None)
    assert "Update" in refused.value.hint


def test_a_file_that_is_no_database_is_refused_and_kept(home: Path) -> None:
    path = home / "stable-core.db"
    path.write_bytes(b"this is no database " * 1000)
    with pytest.raises(ConfigError, match=r"stable-core\.db"):
        Store(home, lambda _: None)
    assert path.read_bytes().startswith(b"this is no database")


@pytest.mark.parametrize(("is_durable", "synchronous"), [(False, 1), (True, 2)])
def test_durability_is_a_choice(home: Path, is_durable: bool, synchronous: int) -> None:
    store = Store(home, lambda _: None, is_durable)
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == synchronous
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    store.close()


# -- jobs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", JobState)
@pytest.mark.parametrize("after", JobState)
async def test_only_legal_steps_are_taken(store: Store, before: JobState, after: JobState) -> None:
    job_id = add(store, before)
    is_legal = after in TRANSITIONS[before]
    assert store.update_job(job_id, after, attempt=5) == is_legal
    row = store.job(job_id)
    assert (row["state"], row["attempt"]) == ((after, 5) if is_legal else (before, 0))


async def test_columns_change_without_a_step(store: Store) -> None:
    job_id = add(store)
    assert store.update_job(job_id, outputs={"image": []}, attempt=2)
    assert not store.update_job("nobody", attempt=2)
    assert (store.job(job_id)["outputs"], store.job(job_id)["state"]) == ({"image": []}, JobState.QUEUED)


async def test_jobs_are_listed_newest_first(store: Store) -> None:
    ids = [add(store, owner="ann" if number % 2 else "bob", graph="g" if number < 2 else None) for number in range(6)]
    newest = ids[::-1]
    assert [row["id"] for row in store.jobs()] == newest
    assert [row["id"] for row in store.jobs(2)] == newest[:2]
    assert [row["id"] for row in store.jobs(2, before=newest[1])] == newest[2:4]
    assert [row["id"] for row in store.jobs(owner="ann")] == [ids[5], ids[3], ids[1]]
    assert [row["id"] for row in store.jobs(owner="ann", graph="g")] == [ids[1]]
    assert list(store.jobs(before="nobody")) == []
    assert list(store.jobs(state="nonsense")) == []


async def test_jobs_are_found_by_words_in_any_order(store: Store) -> None:
    texts = ["a Red circle", 'circle, "red" 100%', "a green circle", "ein Café"]
    ids = [add(store, inputs={"prompt": text}, job="p.j" if number else "p.k") for number, text in enumerate(texts)]

    def found(text: str, **more: Any) -> list[int]:
        return [ids.index(row["id"]) for row in store.jobs(text=text, **more)]

    assert found("circle RED") == [1, 0]
    assert found('"red"') == [1]
    assert found("0%") == [1]
    assert found("r_d") == found("%red~") == []
    assert found("café") == [3]
    assert found(" ") == [3, 2, 1, 0]
    assert found("circle", job="p.j", before=ids[2]) == [1]


async def test_jobs_are_found_by_when_they_were_submitted(store: Store) -> None:
    for second in (1000, 2000, 3000):
        add(store, id=f"{second * 1000:012x}00000000")

    def found(**when: float) -> list[int]:
        return [int(row["id"][:12], 16) // 1000 for row in store.jobs(**when)]

    assert found(since=2000) == [3000, 2000]
    assert found(until=2000) == [1000]
    assert found(since=1500, until=2500) == [2000]
    assert found(since=4000) == []
    assert found(until=4000) == [3000, 2000, 1000]
    assert found(since=0) == [3000, 2000, 1000]


async def test_jobs_are_found_among_ids(store: Store) -> None:
    ids = [add(store) for _ in range(4)]
    assert [row["id"] for row in store.jobs(ids=f"{ids[0]},{ids[2]},nobody")] == [ids[2], ids[0]]
    assert list(store.jobs(ids="")) == []


async def test_searching_reads_an_index_and_no_rows(store: Store) -> None:
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)
    list(store.jobs(200, text="red", state="succeeded", owner="me", since=5))
    store._db.set_trace_callback(None)
    plan = " ".join(row["detail"] for row in store._db.execute(f"EXPLAIN QUERY PLAN {statements[0]}"))
    assert "USING INDEX jobs_texts" in plan
    assert "TEMP B-TREE" not in plan


async def test_states_are_counted(store: Store) -> None:
    for state in [*JobState, JobState.QUEUED]:
        add(store, state)
    assert store.count_states() == {"waiting": 1, "queued": 2, "running": 1}
    assert len(store.ids_in([JobState.QUEUED, JobState.FAILED])) == 3
    assert store.ids_in([]) == []


async def test_waits(store: Store) -> None:
    first, second = add(store, JobState.SUCCEEDED), add(store, JobState.RUNNING)
    job_id = add(store, JobState.WAITING)
    for waited in (first, second, second):
        store.add_wait(job_id, waited)
    assert store.waits_of(job_id) == {first: JobState.SUCCEEDED, second: JobState.RUNNING}
    assert store.waits_of(job_id, [JobState.RUNNING]) == {second: JobState.RUNNING}
    assert len(store.waits_of(job_id, limit=1)) == 1
    assert store.dependents(second) == [job_id]


async def test_children(store: Store) -> None:
    parent = add(store, JobState.WAITING)
    children = [add(store, state, parent=parent) for state in (JobState.RUNNING, JobState.SUCCEEDED)]
    assert store.children(parent) == children
    assert not store.waits_for_children(parent), "no child it waits for"
    store.add_wait(parent, children[1])
    assert not store.waits_for_children(parent)
    store.add_wait(parent, children[0])
    assert store.waits_for_children(parent)
    store.update_job(children[0], JobState.CANCELLED)
    assert not store.waits_for_children(parent)
    needed = add(store, JobState.FAILED)
    store.add_wait(parent, needed)
    store.leave_children(parent)
    assert store.waits_of(parent) == {needed: JobState.FAILED}
    assert store.dependents(children[0]) == []


def cached(store: Store, key: str) -> list[str]:
    """Return the id of the job that the result cache takes, if any."""
    return [row["id"] for row in store.jobs(1, cache_key=key, state=JobState.SUCCEEDED)]


async def test_the_newest_success_is_the_cached_result(store: Store) -> None:
    assert cached(store, "key") == []
    add(store, JobState.FAILED, cache_key="key")
    assert cached(store, "key") == []
    ids = [add(store, JobState.SUCCEEDED, cache_key="key") for _ in range(2)]
    add(store, JobState.SUCCEEDED, cache_key="other")
    assert cached(store, "key") == ids[1:]


def test_ids_sort_by_time() -> None:
    ids = [new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(len(one) == 20 and one.isalnum() for one in ids)
    assert [one[:12] for one in ids] == sorted(one[:12] for one in ids)


# -- idempotency -------------------------------------------------------------------------------------------------------


async def test_a_key_gives_what_it_gave(store: Store) -> None:
    assert store.remembered("me", "k", "request") is None
    store.remember("me", "k", "request", "result")
    store.remember("me", "k", "request", "another")
    assert store.remembered("me", "k", "request") == "result"
    assert store.remembered("you", "k", "another request") is None
    with pytest.raises(Conflict, match="another request"):
        store.remembered("me", "k", "another request")


# -- artifacts ---------------------------------------------------------------------------------------------------------


def stored(store: Store, content: bytes, age: float = 0, owner: str = "me") -> str:
    """Store an artifact made `age` seconds ago."""
    artifact_id, size = write_artifact(store.artifacts, content)
    store.add_artifact({"id": artifact_id, "type": "text", "size": size}, owner)
    then = time.time() - age
    os.utime(artifact_path(store.artifacts, artifact_id), (then, then))
    store._execute("UPDATE artifacts SET created = ? WHERE id = ?", (then, artifact_id))
    return artifact_id


async def test_an_artifact_is_known_once(store: Store) -> None:
    first = stored(store, b"text")
    store.add_artifact({"id": first, "type": "image"}, "you")
    assert store.artifact(first)["type"] == "text"
    assert store.artifact(first)["owner"] == "me"


async def test_what_was_known_as_a_file_becomes_what_it_is_stored_as_next(store: Store) -> None:
    artifact_id, _ = write_artifact(store.artifacts, b"picture")
    for told, expected in (("file", "file"), ("image", "image"), ("file", "image"), ("mask", "image")):
        store.add_artifact({"id": artifact_id, "type": told}, "me")
        assert store.artifact(artifact_id)["type"] == expected


@pytest.mark.parametrize("artifact_id", ["", "0" * 64, "../../etc/passwd", "\0", "%"])
async def test_an_unknown_artifact(store: Store, artifact_id: str) -> None:
    stored(store, b"text")
    with pytest.raises(NotFound):
        store.artifact(artifact_id)


async def test_an_artifact_without_its_file_is_unknown(store: Store) -> None:
    artifact_id = stored(store, b"text")
    artifact_path(store.artifacts, artifact_id).unlink()
    with pytest.raises(NotFound):
        store.artifact(artifact_id)


async def test_a_deleted_artifact_is_no_result_of_any_job(store: Store, told: list[list[Event]]) -> None:
    gone, kept = stored(store, b"gone"), stored(store, b"kept")
    results = [{"id": gone, "path": "/saved.png"}, {"id": kept, "path": "/kept.png"}]
    maker = add(store, outputs={"image": results}, cache_key="k", state=JobState.SUCCEEDED)
    user = add(store, inputs={"image": {"artifact": gone}}, state=JobState.SUCCEEDED)
    for artifact_id, job_id in ((gone, maker), (kept, maker), (gone, user)):
        store.use_artifact(artifact_id, job_id)
    assert store.delete_artifact(gone) == [artifact_path(store.artifacts, gone), Path("/saved.png")]
    await store.commit()
    left = {"image": [{"id": kept, "path": "/kept.png"}]}
    assert store.job(maker)["outputs"] == left
    assert cached(store, "k") == []
    assert store.job(user)["inputs"] == {"image": {"artifact": gone}}
    assert [(event["type"], event["job"], event["data"]) for event in told[-1]] == [
        ("job.outputs", maker, {"outputs": left})
    ]
    assert store.artifact(kept)["id"] == kept
    with pytest.raises(NotFound):
        store.artifact(gone)


async def test_clean_up_deletes_only_what_nobody_has(store: Store) -> None:
    used, unused, young = stored(store, b"used", 1000), stored(store, b"unused", 1000), stored(store, b"young")
    store.use_artifact(used, add(store))
    stray, _ = write_artifact(store.artifacts, b"stray")
    half = artifact_path(store.artifacts, used).parent / ".new-half"
    half.write_bytes(b"")
    fresh_stray, _ = write_artifact(store.artifacts, b"fresh stray")
    for path in (artifact_path(store.artifacts, stray), half):
        os.utime(path, (1, 1))
    assert store.collect_artifacts(time.time() - 500) == 3
    await store.commit()
    left = sorted(path.name for path in store.artifacts.glob("*/*"))
    assert left == sorted([used, young, fresh_stray])
    with pytest.raises(NotFound):
        store.artifact(unused)
    assert store.collect_artifacts(time.time() - 500) == 0


async def test_what_is_stored_again_counts_as_new(store: Store) -> None:
    """Uploaded long ago, used by nobody, uploaded again just before the clean-up: the job about to come needs it."""
    artifact_id = stored(store, b"again", 1000)
    write_artifact(store.artifacts, b"again")
    store.add_artifact({"id": artifact_id, "type": "text"}, "me")
    assert store.collect_artifacts(time.time() - 500) == 0
    assert store.artifact(artifact_id)["type"] == "text"


async def test_a_file_that_a_worker_makes_anew_is_not_collected(store: Store) -> None:
    """The worker found the file there and has not yet told of it."""
    artifact_id = stored(store, b"anew", 1000)
    write_artifact(store.artifacts, b"anew")
    store.collect_artifacts(time.time() - 500)
    store.add_artifact({"id": artifact_id, "type": "text"}, "me")
    assert store.artifact(artifact_id)["type"] == "text"


async def test_old_events_are_forgotten_and_jobs_stay(store: Store) -> None:
    job_id = add(store, JobState.SUCCEEDED)
    for kind in ("job.queued", "job.preview", "job.succeeded"):
        store.add_event(kind, {}, job_id)
    store.remember("me", "k", "request", "result")
    await store.commit()
    store._execute("UPDATE events SET time = time - 7200")
    store.forget_old(time.time() - 86400)
    await store.commit()
    assert [event["type"] for event in store.events_after(0, {})] == ["job.queued", "job.succeeded"]
    store.forget_old(time.time() + 1)
    await store.commit()
    assert [event["seq"] for event in store.events_after(0, {})] == [3], "the last one keeps the numbers going"
    assert store.remembered("me", "k", "another") is None
    assert store.job(job_id)["state"] is JobState.SUCCEEDED
