"""One worker as the core sees it: scripts stand in for workers, so that they can misbehave as no real one would."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stable_core import worker_process
from stable_core.errors import BadAnnouncement, ProtocolMismatch, TimedOut, WorkerDied
from stable_core.protocol import Message
from stable_core.worker_process import WorkerProcess

pytestmark = pytest.mark.anyio

OPENING = """
import json, os, signal, subprocess, sys, time
def say(**message): print(json.dumps(message), flush=True)
def hear(): return json.loads(sys.stdin.readline())
"""
WAIT_SECONDS = 120
"""How long a test waits for something that should come at once; only a failing test waits that long."""
HELLO = "say(type='hello', version=1, pid=os.getpid(), plugin={})\n"


class ScriptHost:
    """Starts a script where a host would start a worker."""

    name = "script"

    def __init__(self, script: str) -> None:
        self.script = OPENING + script

    async def start_worker(self, make_protocol: Callable[[], asyncio.SubprocessProtocol], *_: Any) -> Any:
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            make_protocol, sys.executable, "-c", self.script, start_new_session=True
        )
        return transport


class Watch:
    """Collects what a worker says of its job."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._news = asyncio.Event()
        self.exits: list[WorkerProcess] = []
        self.is_gone = asyncio.Event()

    def __call__(self, message: Message) -> None:
        self.messages.append(message)
        self._news.set()

    def gone(self, worker: WorkerProcess) -> None:
        self.exits.append(worker)
        self.is_gone.set()

    async def until(self, kind: str, **told: Any) -> Message:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for message in self.messages:
                    if message["type"] == kind and told.items() <= message.items():
                        return message
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def started(script: str, logs: Path, seconds: float = WAIT_SECONDS) -> AsyncIterator[tuple[WorkerProcess, Watch]]:
    watch = Watch()
    worker = WorkerProcess("script", "1", "cpu", logs, watch.gone)
    try:
        await worker.start(ScriptHost(script), Path(), Path(), "", {}, seconds)  # type: ignore[arg-type]
        yield worker, watch
    finally:
        await worker.stop(0)
        async with asyncio.timeout(WAIT_SECONDS):
            await watch.is_gone.wait()
        assert watch.exits == [worker], "told once that it has ended"


def job(job_id: str = "j1") -> Message:
    return {"type": "run", "job": job_id}


# -- the start ---------------------------------------------------------------------------------------------------------


async def test_a_worker_is_ready_after_its_hello(tmp_path: Path) -> None:
    async with started(HELLO + "hear()", tmp_path) as (worker, _):
        assert worker.is_idle
        assert worker.pid > 0
    assert not worker.is_idle


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("print('my last words', file=sys.stderr); sys.exit(3)", BadAnnouncement, "my last words"),
        ("os.kill(os.getpid(), 9)", BadAnnouncement, "SIGKILL"),
        ("print('hello world', flush=True); hear()", ProtocolMismatch, "no message"),
        ("say(type='hello', version=99, pid=1, plugin={}); hear()", ProtocolMismatch, "99"),
        ("say(type='hello', version=1, error={'code': 'bad_announcement', 'message': 'no'})", BadAnnouncement, "no"),
    ],
)
async def test_a_start_that_fails(tmp_path: Path, script: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        async with started(script, tmp_path):
            pass


async def test_a_start_that_hangs(tmp_path: Path) -> None:
    with pytest.raises(TimedOut, match=r"nothing for 0\.2 s"):
        async with started("hear()", tmp_path, seconds=0.2):
            pass


async def test_a_worker_that_dies_right_after_its_hello(tmp_path: Path) -> None:
    try:
        async with started(HELLO, tmp_path) as (worker, watch):
            worker.run(job(), watch)
            assert (await watch.until("died"))["error"]["code"] == "worker_died"
    except WorkerDied:
        pass


# -- a job -------------------------------------------------------------------------------------------------------------


async def test_a_job_ends_with_its_last_message(tmp_path: Path) -> None:
    script = """
run = hear()
say(type='progress', job='another', step=9)
say(type='progress', job=run['job'], step=1)
say(type='done', job=run['job'])
say(type='progress', job=run['job'], step=2)
run = hear()
say(type='failed', job=run['job'], error={})
hear()
"""
    async with started(HELLO + script, tmp_path) as (worker, watch):
        worker.run(job("j1"), watch)
        assert not worker.is_idle
        await watch.until("done")
        assert worker.is_idle
        worker.run(job("j2"), watch)
        await watch.until("failed")
    said = [(message["type"], message["job"]) for message in watch.messages]
    assert said == [("progress", "j1"), ("done", "j1"), ("failed", "j2")]


async def test_a_worker_that_dies_in_its_job(tmp_path: Path) -> None:
    script = "hear(); print('oh no', file=sys.stderr, flush=True); say(type='progress', job='j1', step=1); os.abort()"
    async with started(HELLO + script, tmp_path) as (worker, watch):
        worker.run(job(), watch)
        error = (await watch.until("died"))["error"]
    assert error["code"] == "worker_died"
    assert "SIGABRT" in error["message"]
    assert "oh no" in error["message"]
    assert [message["type"] for message in watch.messages] == ["progress", "died"]


async def test_a_worker_that_talks_nonsense_in_its_job(tmp_path: Path) -> None:
    async with started(HELLO + "hear(); print('{nonsense', flush=True); hear()", tmp_path) as (worker, watch):
        worker.run(job(), watch)
        assert (await watch.until("died"))["error"]["code"] == "protocol_mismatch"


async def test_a_dead_worker_whose_child_holds_the_pipes(tmp_path: Path, lab: Any) -> None:
    script = "hear(); child = subprocess.Popen(['sleep', '600'])\n"
    script += "say(type='progress', job='j1', step=child.pid); os._exit(1)"
    async with started(HELLO + script, tmp_path) as (worker, watch):
        worker.run(job(), watch)
        await watch.until("died")
        assert lab.has_ended((await watch.until("progress"))["step"])


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_cancel_is_asked_once_and_then_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "TERM_SECONDS", 60)  # here the worker shall live to tell
    before = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # a busy machine may be slower than the grace
signal.signal(signal.SIGTERM, lambda *_: say(type='progress', job='j1', step='terminated'))
"""
    script = """
hear()
say(type='progress', job='j1', step=hear()['type'])
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
say(type='failed', job='j1', step=hear()['type'])
hear()
"""
    async with started(before + HELLO + script, tmp_path) as (worker, watch):
        worker.run(job(), watch)
        worker.cancel(0.05)
        worker.cancel(0.05)
        await watch.until("progress", step="terminated")
        worker.ask("skip")
        await watch.until("failed")
    assert [message["step"] for message in watch.messages] == ["cancel", "terminated", "skip"]


async def test_a_worker_that_is_deaf_to_its_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "TERM_SECONDS", 0.05)
    before = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    async with started(before + HELLO + "while True: signal.pause()", tmp_path) as (worker, watch):
        worker.run(job(), watch)
        worker.cancel(0.05)
        assert "SIGKILL" in (await watch.until("died"))["error"]["message"]


async def test_a_terminated_worker_that_ends_only_its_job_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "TERM_SECONDS", 0.5)
    line = b'{"type": "cancelled", "job": "j1"}\n'
    before = f"signal.signal(signal.SIGTERM, lambda *_: os.write(1, {line!r}))\n"
    async with started(before + HELLO + "while True: signal.pause()", tmp_path) as (worker, watch):
        worker.run(job(), watch)
        worker.cancel(0)
        async with asyncio.timeout(WAIT_SECONDS):
            await watch.is_gone.wait()


async def test_a_job_that_obeys_a_cancel_keeps_its_worker(tmp_path: Path) -> None:
    script = "hear(); hear(); say(type='cancelled', job='j1'); hear(); say(type='done', job='j2'); hear()"
    async with started(HELLO + script, tmp_path) as (worker, watch):
        worker.cancel(0)
        worker.run(job(), watch)
        worker.cancel(WAIT_SECONDS)
        await watch.until("cancelled")
        assert worker.is_idle
        worker.run(job("j2"), watch)
        await watch.until("done")


async def test_a_terminated_worker_gets_no_other_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "TERM_SECONDS", 60)  # a busy machine may need more than a second to answer
    line = b'{"type": "cancelled", "job": "j1"}\n'  # written at once: print may be in the middle of saying hello
    before = f"signal.signal(signal.SIGTERM, lambda *_: os.write(1, {line!r}))\n"
    async with started(before + HELLO + "hear()\nwhile True: time.sleep(0.01)", tmp_path) as (worker, watch):
        worker.run(job(), watch)
        worker.cancel(0)
        await watch.until("cancelled")
        assert not worker.is_idle


async def test_stop_lets_a_worker_go_by_itself(tmp_path: Path) -> None:
    note = tmp_path / "note"
    script = f"hear(); open({str(note)!r}, 'w').write('unloaded')"
    async with started(HELLO + script, tmp_path) as (worker, _):
        await worker.stop(WAIT_SECONDS)
    assert note.read_text() == "unloaded"


async def test_stop_ends_a_worker_that_does_not_go(tmp_path: Path) -> None:
    async with started(HELLO + "\nwhile True: signal.pause()", tmp_path) as (worker, _):
        await worker.stop(0.05)
        assert not worker.is_idle


async def test_a_worker_that_was_never_started_stops(tmp_path: Path) -> None:
    await WorkerProcess("script", "1", "cpu", tmp_path, lambda _: None).stop()
