"""The only truth: jobs, events and artifacts as SQLite rows, artifact content as files. All SQL, no decisions.

Every method acts at once inside one open transaction and `await commit()` returns when that transaction is on disk.
Whoever acts within one turn of the event loop shares a commit, which makes thousands of durable jobs a second cheap.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stable_core.errors import ConfigError, Conflict, NotFound, StorageFull
from stable_core.events import Event
from stable_core.protocol import artifact_path
from stable_core.sdk.jobs import TRANSITIONS, JobState

Row = dict[str, Any]

LOCAL_OWNER = "local"
SCHEMA_VERSION = 1
CHECKPOINT_COMMITS = 500
COMMIT_TURNS = 3
"""For how many turns of the event loop a transaction stays open, so that what a submission sets off, such as the start
of its job, and what other clients do at the time share its commit."""
ROWS_IN_MEMORY = 4000
SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, plugin TEXT NOT NULL, state TEXT NOT NULL,
    owner TEXT NOT NULL, priority INTEGER NOT NULL, graph TEXT, key TEXT, parent TEXT, options TEXT NOT NULL,
    inputs TEXT NOT NULL, params TEXT NOT NULL, outputs TEXT NOT NULL, error TEXT, progress TEXT, expanded TEXT,
    attempt INTEGER NOT NULL, cached INTEGER NOT NULL, cache_key TEXT, timeout REAL,
    created REAL NOT NULL, started REAL, finished REAL, plugin_version TEXT NOT NULL, host TEXT NOT NULL);
CREATE INDEX jobs_state ON jobs (state, number);
CREATE INDEX jobs_job ON jobs (job, number);
CREATE INDEX jobs_graph ON jobs (graph, number) WHERE graph IS NOT NULL;
CREATE INDEX jobs_parent ON jobs (parent) WHERE parent IS NOT NULL;
CREATE INDEX jobs_active_parent ON jobs (parent) WHERE state IN ('waiting', 'queued', 'running');
CREATE INDEX jobs_cache ON jobs (cache_key) WHERE cache_key IS NOT NULL;
CREATE TABLE waits (job TEXT NOT NULL, on_job TEXT NOT NULL, PRIMARY KEY (job, on_job)) WITHOUT ROWID;
CREATE INDEX waits_on ON waits (on_job);
CREATE TABLE events (seq INTEGER PRIMARY KEY, time REAL NOT NULL, type TEXT NOT NULL, job TEXT, graph TEXT,
    owner TEXT, data TEXT NOT NULL);
CREATE INDEX events_job ON events (job, seq);
CREATE INDEX events_graph ON events (graph, seq) WHERE graph IS NOT NULL;
CREATE TABLE artifacts (id TEXT PRIMARY KEY, owner TEXT NOT NULL, created REAL NOT NULL, meta TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE artifact_uses (artifact TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (artifact, job)) WITHOUT ROWID;
CREATE TABLE idempotency (owner TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, result TEXT NOT NULL,
    created REAL NOT NULL, PRIMARY KEY (owner, key)) WITHOUT ROWID;
"""
ADDED = """
CREATE INDEX IF NOT EXISTS jobs_texts ON jobs (number, job, inputs);
CREATE INDEX IF NOT EXISTS events_previews ON events (time) WHERE type = 'job.preview';
CREATE TABLE IF NOT EXISTS user_data (owner TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (owner, name)) WITHOUT ROWID;
"""
"""What homes of before get too. A search for words reads that index in place of the rows, which are much larger."""
ACTIVE = "('waiting', 'queued', 'running')"
"""The states of the jobs that have not ended."""
FIRST_AT = "(SELECT number FROM jobs WHERE id >= printf('%012x', CAST(:{} * 1000 AS INTEGER)) ORDER BY id LIMIT 1)"
FILTERS = {
    "before": "number < (SELECT number FROM jobs WHERE id = :before)",
    "since": f"number >= {FIRST_AT.format('since')}",
    "until": f"number < coalesce({FIRST_AT.format('until')}, 9e18)",
    "ids": """number IN (SELECT number FROM jobs WHERE id IN
        (SELECT value FROM json_each('["' || replace(:ids, ',', '","') || '"]')))""",
}
"""What narrows a list of jobs beside the values of columns. The ids of jobs tell when they were submitted."""
JSON_COLUMNS = frozenset({"options", "inputs", "params", "outputs", "error", "progress", "expanded"})
NEW_JOB: Row = {
    **dict.fromkeys(("graph", "key", "parent", "error", "progress", "expanded", "cache_key", "timeout")),
    **dict.fromkeys(("started", "finished")),
    **{"priority": 0, "outputs": {}, "attempt": 0, "cached": 0, "plugin_version": "", "host": ""},
}
"""What the columns hold that a new job does not name."""


_random = random.Random()


def new_id() -> str:
    """Return a new job id: 20 characters, sortable by time of creation."""
    return f"{int(time.time() * 1000):012x}{_random.randbytes(4).hex()}"


def _dump(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class Store:
    """The database file and the artifacts folder of one home.

    Args:
        home: the folder that holds `stable-core.db` and `artifacts/`.
        on_commit: gets the events of each transaction once they are on disk.
        is_durable: wait for the disk at each commit (power cuts), not only for the operating system (crashes).

    Raises:
        Conflict: another store, of whatever process, has this home, or another version wrote it.
        ConfigError: the file cannot be used.
    """

    def __init__(self, home: Path, on_commit: Callable[[list[Event]], None], is_durable: bool = False) -> None:
        self.artifacts = home / "artifacts"
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self._path = home / "stable-core.db"
        self._lock = sqlite3.connect(home / "core.lock", isolation_level=None, timeout=0)
        self._db = sqlite3.connect(self._path, isolation_level=None, cached_statements=256)
        self._db.row_factory = sqlite3.Row
        try:
            self._open("FULL" if is_durable else "NORMAL")
        except (sqlite3.DatabaseError, Conflict) as error:
            self._db.close()
            self._lock.close()
            if isinstance(error, Conflict):
                raise
            hint = "Free some disk space, or move the file away: jobs and results are then forgotten, files stay."
            raise ConfigError(f"{self._path} cannot be used: {error}", hint) from None
        self._on_commit = on_commit
        self.on_failure: Callable[[], None] = lambda: None
        """Called when a transaction was undone: whoever acted in it must look at the rows again."""
        self._pending_events: list[Event] = []
        self._latest: tuple[int, list[Event]] = (-1, [])
        """The events of the newest commit, which are what followers want next, and the number of the one before."""
        self._active: dict[str, Row] = {}
        """Jobs on their way, which are looked at several times; as many as there is room for, the oldest ones."""
        self._ended: list[list[str]] = [[], []]
        """Those of them that ended in the last transaction and in this one; who waits for it reads them once more."""
        self._committed: asyncio.Future[None] | None = None
        self._fault = ""
        """Why the open transaction can only be undone."""
        self.last_seq: int = self._db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        """The number of the newest committed event."""

    def _open(self, synchronous: str) -> None:
        try:
            self._lock.execute("PRAGMA journal_mode=OFF")  # nothing is written
            self._lock.execute("BEGIN EXCLUSIVE")  # until it is closed, by the end of this process at the latest
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            hint = "Stop it, or give this one another folder with --home."
            raise Conflict(f"Another stable-core is using {self._path.parent}", hint) from None
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={synchronous}")
        self._db.execute("PRAGMA busy_timeout=1000")
        self._db.execute("PRAGMA wal_autocheckpoint=0")  # it would wait for the disk in the middle of a request
        self._commits = 0
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            message = f"This home was written by another version (database {version})"
            raise Conflict(message, "Update stable-core or use another --home.")
        self._db.executescript(ADDED)

    # -- transactions --------------------------------------------------------------------------------------------------

    def _execute(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Change something inside the open transaction, which this starts and schedules for commit if need be."""
        try:
            if self._committed is None:
                self._begin()
            if not self._fault:
                return self._db.execute(sql, tuple(values))
        except sqlite3.OperationalError as error:
            self._fault = str(error)
            self._flush_after(0)  # undone at once: until then, nothing that anyone says can be stored
        raise _not_stored(self._fault)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._committed = loop.create_future()
        self._flush_after(COMMIT_TURNS)
        self._db.execute("BEGIN IMMEDIATE")

    def _flush_after(self, turns: int) -> None:
        step = functools.partial(self._flush_after, turns - 1) if turns else self._flush
        asyncio.get_running_loop().call_soon(step)

    def _flush(self) -> None:
        future, events, fault = self._committed, self._pending_events, self._fault
        self._committed, self._pending_events, self._fault = None, [], ""
        if future is None:
            return  # closed in the meantime
        try:
            if not fault:  # half a transaction is worse than none
                self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            fault = str(error)
        if fault:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._active.clear()
            future.set_exception(_not_stored(fault))
            future.exception()  # an outcome nobody awaits is no second error
            self.on_failure()
            return
        future.set_result(None)
        for job_id in self._ended[0]:
            self._active.pop(job_id, None)
        self._ended = [self._ended[1], []]
        if events:
            self._latest = self.last_seq, events
            self.last_seq = events[-1]["seq"]
            self._on_commit(events)
        self._commits += 1
        if self._commits % CHECKPOINT_COMMITS == 0:
            future.get_loop().run_in_executor(None, self._checkpoint)

    def _checkpoint(self) -> None:
        """Move what the log holds into the database file, beside the requests; closing the store does the rest."""
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self._path)) as database:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")

    async def commit(self) -> None:
        """Return when all that was changed so far is on disk."""
        if self._committed is not None:
            await asyncio.shield(self._committed)

    def probe(self) -> None:
        """Write a page that stays as it is, so that the next commit tells whether anything can be stored."""
        self._execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Commit what is open, close the file and let go of the home."""
        if self._committed is not None:
            self._flush()
        self._db.close()
        self._lock.close()

    # -- events --------------------------------------------------------------------------------------------------------

    def add_event(
        self, kind: str, data: Any, job: str | None = None, graph: str | None = None, owner: str | None = None
    ) -> None:
        """Append one event; subscribers get it after the commit."""
        event = {"time": time.time(), "type": kind, "job": job, "graph": graph, "owner": owner}
        sql = "INSERT INTO events VALUES (NULL,?,?,?,?,?,?)"
        seq = self._execute(sql, (*event.values(), _dump(data))).lastrowid
        self._pending_events.append({"seq": seq, **event, "data": data})

    def events_after(self, seq: int, equal: dict[str, str], limit: int = 10**9) -> list[Event]:
        """Return the committed events with a higher number whose columns have the given values, oldest first."""
        before, latest = self._latest
        if seq == before:
            return [event for event in latest if all(event[name] == value for name, value in equal.items())][:limit]
        clauses = "".join(f" AND {name} = ?" for name in equal)
        sql = f"SELECT * FROM events WHERE seq > ? AND seq <= ?{clauses} ORDER BY seq LIMIT ?"
        rows = self._db.execute(sql, (seq, self.last_seq, *equal.values(), limit))
        return [{**dict(row), "data": msgspec.json.decode(row["data"])} for row in rows]

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def insert_job(self, row: Row) -> int:
        """Add a job and return its number; `row` has columns by name, JSON columns as values."""
        row = {**NEW_JOB, **row}
        sql = f"INSERT INTO jobs ({','.join(row)}) VALUES ({','.join('?' * len(row))})"
        number = self._execute(sql, _as_columns(row).values()).lastrowid or 0
        if len(self._active) < ROWS_IN_MEMORY:
            self._active[row["id"]] = {"number": number, **row}
        return number

    def update_job(self, job_id: str, state: JobState | None = None, **columns: Any) -> bool:
        """Change a job's columns; with `state` only if that step is legal. Returns whether it was."""
        where, before = "id = ?", []
        if state is not None:
            columns["state"] = state
            before = [old for old, following in TRANSITIONS.items() if state in following]
            where += f" AND state IN ({','.join('?' * len(before))})"
        sql = f"UPDATE jobs SET {','.join(f'{name} = ?' for name in columns)} WHERE {where}"
        is_changed = self._execute(sql, [*_as_columns(columns).values(), job_id, *before]).rowcount == 1
        if is_changed and job_id in self._active:
            self._active[job_id] |= columns
            if state is not None and state.is_final:
                self._ended[1].append(job_id)
        return is_changed

    def job(self, job_id: str) -> Row:
        """Return one job's row.

        Raises:
            NotFound: there is no such job.
        """
        if job_id in self._active:
            return dict(self._active[job_id])
        row = self._db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no job {job_id!r}", "`stable-core jobs list` shows those there are.")
        return _read(row)

    def jobs(self, limit: int = -1, text: str | None = None, **wanted: Any) -> Iterator[Row]:
        """Return jobs, newest first, that have these words in their inputs and these values in their columns.

        Further names of values are those of FILTERS: the id of the last one seen, seconds since 1970, ids with commas.
        """
        values = {name: value for name, value in wanted.items() if value is not None}
        clauses = ["1", *(FILTERS.get(name, f"{name} = :{name}") for name in values)]
        for index, word in enumerate((text or "").split()):
            values[f"word{index}"] = "%" + re.sub("([%_~])", r"~\1", _dump(word)[1:-1]) + "%"
            clauses.append(f"inputs LIKE :word{index} ESCAPE '~'")
        source = "jobs INDEXED BY jobs_texts" if text and "ids" not in values else "jobs"
        sql = f"SELECT * FROM {source} WHERE {' AND '.join(clauses)} ORDER BY number DESC LIMIT :limit"
        return map(_read, self._db.execute(sql, {**values, "limit": limit}).fetchall())

    def ids_in(self, states: Iterable[JobState]) -> list[str]:
        """Return the ids of all jobs in these states, oldest first."""
        wanted = list(states)
        sql = f"SELECT id FROM jobs WHERE state IN ({','.join('?' * len(wanted))}) ORDER BY number"
        return [row[0] for row in self._db.execute(sql, wanted)]

    def count_states(self) -> dict[str, int]:
        """Return how many jobs wait, are queued and run."""
        sql = f"SELECT state, count(*) FROM jobs WHERE state IN {ACTIVE} GROUP BY state"
        return dict(self._db.execute(sql).fetchall())

    def children(self, parent: str) -> list[str]:
        """Return the ids of the jobs made by this one."""
        return [row[0] for row in self._db.execute("SELECT id FROM jobs WHERE parent = ? ORDER BY number", (parent,))]

    # -- what waits for what -------------------------------------------------------------------------------------------

    def add_wait(self, job_id: str, on_job: str) -> None:
        """Make a job wait for another."""
        self._execute("INSERT OR IGNORE INTO waits VALUES (?, ?)", (job_id, on_job))

    def leave_children(self, job_id: str) -> None:
        """Make a job wait no longer for the jobs that were made by it."""
        sql = "DELETE FROM waits WHERE job = ? AND on_job IN (SELECT id FROM jobs WHERE parent = waits.job)"
        self._execute(sql, (job_id,))

    def waits_of(self, job_id: str, states: Iterable[JobState] = JobState, limit: int = -1) -> dict[str, JobState]:
        """Return the jobs that this one waits for or has waited for and that are in these states, with their states."""
        wanted = list(states)
        sql = f"""SELECT jobs.id, jobs.state FROM waits JOIN jobs ON jobs.id = waits.on_job
            WHERE waits.job = ? AND jobs.state IN ({",".join("?" * len(wanted))}) LIMIT ?"""
        return {row[0]: JobState(row[1]) for row in self._db.execute(sql, (job_id, *wanted, limit))}

    def waits_for_children(self, job_id: str) -> bool:
        """Tell whether a job in place of this one has not ended; quick among thousands."""
        sql = f"""SELECT 1 FROM jobs WHERE parent = ? AND state IN {ACTIVE}
            AND EXISTS (SELECT 1 FROM waits WHERE job = parent AND on_job = id) LIMIT 1"""
        return self._db.execute(sql, (job_id,)).fetchone() is not None

    def dependents(self, job_id: str) -> list[str]:
        """Return the jobs that wait or have waited for this one."""
        return [row[0] for row in self._db.execute("SELECT job FROM waits WHERE on_job = ?", (job_id,))]

    # -- idempotency ---------------------------------------------------------------------------------------------------

    def remembered(self, owner: str, key: str, request: str) -> str | None:
        """Return what the same key gave before.

        Raises:
            Conflict: the key was used for another request.
        """
        sql = "SELECT request, result FROM idempotency WHERE owner = ? AND key = ?"
        row = self._db.execute(sql, (owner, key)).fetchone()
        if row is not None and row["request"] != request:
            raise Conflict("This Idempotency-Key was used for another request", "Use a new key for each new request.")
        return None if row is None else str(row["result"])

    def remember(self, owner: str, key: str, request: str, result: str) -> None:
        """Keep what this key gave."""
        sql = "INSERT OR IGNORE INTO idempotency VALUES (?,?,?,?,?)"
        self._execute(sql, (owner, key, request, result, time.time()))

    # -- user data -----------------------------------------------------------------------------------------------------

    def user_data(self, owner: str) -> Row:
        """Return what clients keep for an owner, by name."""
        rows = self._db.execute("SELECT name, value FROM user_data WHERE owner = ? ORDER BY name", (owner,))
        return {row["name"]: msgspec.json.decode(row["value"]) for row in rows}

    def keep_user_data(self, owner: str, values: Row) -> None:
        """Write some values of an owner; None deletes one."""
        for name, value in values.items():
            self._execute("DELETE FROM user_data WHERE owner = ? AND name = ?", (owner, name))
            if value is not None:
                self._execute("INSERT INTO user_data VALUES (?,?,?)", (owner, name, _dump(value)))

    # -- artifacts -----------------------------------------------------------------------------------------------------

    def add_artifact(self, meta: Row, owner: str) -> None:
        """Register an artifact whose file is in place; a known one keeps its first entry but counts as new.

        What was no more than a file, because a job took or made it as such, becomes what it is now said to be.
        """
        sql = "INSERT INTO artifacts VALUES (?,?,?,?) ON CONFLICT (id) DO UPDATE SET created = excluded.created, "
        sql += "meta = CASE json_extract(meta, '$.type') WHEN 'file' THEN excluded.meta ELSE meta END"
        self._execute(sql, (meta["id"], owner, time.time(), _dump(meta)))

    def use_artifact(self, artifact_id: str, job_id: str) -> None:
        """Note that a job has this artifact as input or output, which keeps it from being collected."""
        self._execute("INSERT OR IGNORE INTO artifact_uses VALUES (?, ?)", (artifact_id, job_id))

    def artifact(self, artifact_id: str) -> Row:
        """Return what is known of an artifact.

        Raises:
            NotFound: there is none with this id, or its file is gone.
        """
        row = self._db.execute("SELECT meta, owner, created FROM artifacts WHERE id = ?", (artifact_id,)).fetchone()
        if row is None or not artifact_path(self.artifacts, artifact_id).is_file():
            raise NotFound(f"There is no artifact {artifact_id!r}", "Upload it with POST /v1/artifacts.")
        return {**msgspec.json.decode(row["meta"]), "owner": row["owner"], "created": row["created"]}

    def artifact_jobs(self, artifact_id: str) -> list[str]:
        """Return the jobs that have this artifact as input or output."""
        return [row[0] for row in self._db.execute("SELECT job FROM artifact_uses WHERE artifact = ?", (artifact_id,))]

    def is_needed(self, artifact_id: str) -> bool:
        """Tell whether a job that has not ended has this artifact, or takes it from a job that has it."""
        sql = f"""SELECT 1 FROM jobs WHERE state IN {ACTIVE} AND (
            id IN (SELECT job FROM artifact_uses WHERE artifact = :id) OR expanded IS NULL AND id IN
            (SELECT waits.job FROM waits JOIN artifact_uses AS uses ON on_job = uses.job WHERE artifact = :id))"""
        return self._db.execute(sql, {"id": artifact_id}).fetchone() is not None

    def delete_artifact(self, artifact_id: str) -> list[Path]:
        """Take an artifact out of the results of all jobs and return the files to delete once that is stored."""
        files = [artifact_path(self.artifacts, artifact_id)]
        for row in map(self.job, self.artifact_jobs(artifact_id)):
            gone = [one for made in row["outputs"].values() for one in made if one["id"] == artifact_id]
            left = {port: [one for one in made if one["id"] != artifact_id] for port, made in row["outputs"].items()}
            if gone:
                files += [Path(one["path"]) for one in gone if "path" in one]
                self.update_job(row["id"], outputs=left, cache_key=None)
                self.add_event("job.outputs", {"outputs": left}, row["id"], row["graph"], row["owner"])
        self._execute("DELETE FROM artifact_uses WHERE artifact = ?", (artifact_id,))
        self._execute("DELETE FROM artifacts WHERE id = ?", (artifact_id,))
        return files

    def collect_artifacts(self, older_than: float) -> int:
        """Delete artifacts, files and rows, that no job has and that were made before `older_than`; return how many."""
        sql = "DELETE FROM artifacts WHERE created < ? AND id NOT IN (SELECT artifact FROM artifact_uses)"
        self._execute(sql, (older_than,))
        known = {row[0] for row in self._db.execute("SELECT id FROM artifacts")}
        strays = [path for path in self.artifacts.glob("*/*") if path.name not in known]
        count = 0
        for path in strays:
            with contextlib.suppress(OSError):  # a worker may just be writing it
                if path.stat().st_mtime < older_than:
                    path.unlink()
                    count += 1
        return count

    def forget_old(self, before: float) -> None:
        """Delete old events and keys, and the previews of finished jobs; jobs and results stay."""
        self._latest = -1, []
        first_kept = "coalesce((SELECT seq FROM events WHERE time >= ? ORDER BY seq LIMIT 1), ?)"
        self._execute(f"DELETE FROM events WHERE seq < {first_kept}", (before, self.last_seq))
        self._execute("DELETE FROM idempotency WHERE created < ?", (before,))
        old = "DELETE FROM events WHERE type = 'job.preview' AND time < ?"
        self._execute(f"{old} AND job NOT IN (SELECT id FROM jobs WHERE state IN {ACTIVE})", (time.time() - 3600,))


def _not_stored(reason: str) -> StorageFull:
    return StorageFull(f"The database cannot be written: {reason}", "Free some disk space, or end what locks it.")


def _as_columns(row: Row) -> Row:
    return {name: _dump(value) if name in JSON_COLUMNS and value is not None else value for name, value in row.items()}


def _read(row: sqlite3.Row) -> Row:
    found = dict(row)
    for name in JSON_COLUMNS:
        if found[name] is not None:
            found[name] = msgspec.json.decode(found[name])
    found["state"] = JobState(found["state"])
    return found
