"""The server may be killed at any moment: no accepted job and no finished result is lost."""

from __future__ import annotations

import random
import signal
import socket
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import MakeServer
from running_server import DEADLINE_SECONDS, RunningServer, is_gone, until

from stable_core_client import NoServer

QUEUED_JOBS = 10_000
KILLS = 4
"""A job is given up when the server dies five times while it runs."""


def states(server: RunningServer, **wanted: Any) -> Counter[str]:
    """Count all jobs by state."""
    found: Counter[str] = Counter()
    before = None
    while page := server.client.jobs(limit=1000, before=before, **wanted):
        found.update(job["state"] for job in page)
        before = page[-1]["id"]
    return found


def test_a_killed_server_runs_its_jobs_again(new_server: RunningServer, tmp_path: Path) -> None:
    server, release = new_server, tmp_path / "release"
    finished = server.ended(server.submit("calm.echo", "finished before"))
    running_id = server.submit("faults.hold", str(release))
    queued = [server.submit("faults.echo", f"queued {number}") for number in range(5)]
    server.until_working(running_id)
    worker = server.worker_pid("faults")

    server.kill()
    assert is_gone(worker)
    server.start()

    assert server.client.job(finished["id"]) == finished
    assert server.text_of(finished) == "finished before"
    server.until_working(running_id, attempt=2)
    assert [server.client.job(job_id)["state"] for job_id in queued] == ["queued"] * 5
    release.touch()
    again = server.ended(running_id)
    assert (again["state"], again["attempt"]) == ("succeeded", 2)
    texts = [server.text_of(server.ended(job_id)) for job_id in queued]
    assert texts == [f"queued {number}" for number in range(5)]
    assert {server.client.job(job_id)["attempt"] for job_id in queued} == {1}


def test_no_accepted_job_is_lost_however_often_the_server_is_killed(make_server: MakeServer) -> None:
    server = make_server()
    chance = random.Random(7)
    accepted: dict[str, str] = {}
    for generation in range(KILLS):
        server.start()
        kill_under_load(server, f"{generation}", accepted, len(accepted) + chance.randint(1, 150))
    server.start()
    jobs = {job_id: server.ended(job_id) for job_id in accepted}
    assert {job["state"] for job in jobs.values()} == {"succeeded"}
    assert {job_id: job["outputs"]["text"][0]["value"] for job_id, job in jobs.items()} == accepted
    until(lambda: set(states(server)) == {"succeeded"}, "the end of jobs whose submitters saw no answer")
    endings: Counter[str] = Counter()
    last = server.client.submit({"job": "faults.echo", "inputs": {"text": "the last one"}})["id"]
    for event in server.events():
        if event["type"] in ("job.succeeded", "job.failed", "job.cancelled"):
            endings[event["job"]] += 1
            if event["job"] == last:
                break
    assert {endings[job_id] for job_id in accepted} == {1}


def kill_under_load(server: RunningServer, name: str, accepted: dict[str, str], kill_at: int) -> None:
    """Submit from four clients, noting what is accepted, and kill the server once there are so many."""
    is_time = threading.Event()

    def keep_submitting(client: str) -> None:
        for number in range(10_000):
            text = f"{name}.{client}.{number}"
            try:
                accepted[server.client.submit({"job": "faults.echo", "inputs": {"text": text}})["id"]] = text
            except NoServer:
                return
            if len(accepted) >= kill_at:
                is_time.set()

    clients = [threading.Thread(target=keep_submitting, args=(client,)) for client in "abcd"]
    for client in clients:
        client.start()
    assert is_time.wait(DEADLINE_SECONDS)
    server.kill()
    for client in clients:
        client.join()


def test_a_stopped_server_puts_its_running_job_back(new_server: RunningServer, tmp_path: Path) -> None:
    server, release = new_server, tmp_path / "release"
    job_id = server.submit("faults.hold", str(release))
    server.until_working(job_id)
    worker = server.worker_pid("faults")
    assert server.terminate() == 0
    assert is_gone(worker)
    assert not (server.home / "server.json").exists()
    server.start()
    release.touch()
    job = server.ended(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 1), "an orderly stop costs the job no attempt"


def test_a_stopping_server_does_not_wait_for_streams_or_hanging_workers(new_server: RunningServer) -> None:
    server = new_server
    job_id = server.submit("faults.stubborn", "for ever")
    server.until_working(job_id)
    events = server.events(job_id)
    assert next(events)["type"] == "job.queued"
    worker = server.worker_pid("faults")
    assert server.terminate() == 0
    assert is_gone(worker)
    events.close()  # type: ignore[attr-defined]


def test_a_second_server_on_the_same_home_is_refused(new_server: RunningServer, make_server: MakeServer) -> None:
    second = make_server(new_server.home)
    assert not second.try_start()
    assert second.wait() == 2
    assert "Another stable-core is using" in second.output
    assert str(new_server.home) in second.output
    job = new_server.ended(new_server.submit("calm.echo", "undisturbed"))
    assert job["state"] == "succeeded"
    assert (new_server.home / "server.json").exists()


def test_ten_thousand_queued_jobs_are_cancelled_at_once(new_server: RunningServer) -> None:
    server = new_server
    blocker = server.submit("faults.hold", "/no/such/file")
    server.until_working(blocker)
    for first in range(0, QUEUED_JOBS, 1000):
        texts = (f"text {number}" for number in range(first, first + 1000))
        jobs = {text: {"job": "faults.echo", "inputs": {"text": text}} for text in texts}
        server.client.graph({"version": 1, "jobs": jobs})
    assert server.client.health()["jobs"] == {"queued": QUEUED_JOBS, "running": 1}

    answers: list[str] = []
    cancelled: list[int] = []

    def cancel() -> None:
        cancelled.append(server.client.cancel_all())

    cancelling = threading.Thread(target=cancel)
    cancelling.start()
    while cancelling.is_alive():
        answers.append(server.client.health()["status"])
    cancelling.join()
    assert cancelled == [QUEUED_JOBS + 1]
    assert set(answers) == {"ok"}
    assert server.ended(blocker)["state"] == "cancelled"
    assert states(server) == {"cancelled": QUEUED_JOBS + 1}
    assert server.ended(server.submit("faults.echo", "and on"))["state"] == "succeeded"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sets limits of other processes")
def test_a_server_out_of_file_descriptors_recovers(new_server: RunningServer) -> None:
    server = new_server
    process = psutil.Process(server.process.pid)
    _, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    # Enough for a worker's pipes, the log and the connections of this test; far too few for these clients as well.
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 18, hard))
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    for client in clients:
        client.sendall(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    job_id = server.submit("calm.echo", "there is no descriptor for a worker")
    job = server.ended(job_id)
    assert job["state"] in ("failed", "succeeded"), job
    for client in clients:
        client.close()
    until(lambda: server.ended(server.submit("calm.echo", "now there is"))["state"] == "succeeded", "a job that runs")
    process.rlimit(psutil.RLIMIT_NOFILE, (hard, hard))


def test_the_server_survives_every_signal_it_should(new_server: RunningServer) -> None:
    new_server.process.send_signal(signal.SIGPIPE)
    assert new_server.ended(new_server.submit("calm.echo", "x"))["state"] == "succeeded"
    new_server.process.send_signal(signal.SIGINT)
    assert new_server.wait() in (0, 130)
