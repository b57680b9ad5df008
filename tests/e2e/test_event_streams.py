"""Who watches changes nothing: clients may leave in the middle, come back, and miss or repeat no event."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from running_server import DEADLINE_SECONDS, RunningServer, until
from websockets.sync.client import connect

Event = dict[str, Any]
FINAL = {"job.succeeded", "job.failed", "job.cancelled"}


@contextlib.contextmanager
def sse(server: RunningServer, query: str, **headers: str) -> Iterator[Iterator[Event]]:
    """Open a stream of Server-Sent Events as a browser does and yield its events; leave without a word."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", f"/v1/events?{query}", headers={"Accept": "text/event-stream", **headers})
    response = connection.getresponse()
    assert response.status == 200
    sock = connection.sock or response.fp.raw._sock  # type: ignore[attr-defined]
    try:
        yield (json.loads(line[5:]) for line in response if line.startswith(b"data:"))
    finally:
        break_off(sock)
        response.close()
        connection.close()


@contextlib.contextmanager
def websocket(server: RunningServer, query: str) -> Iterator[Iterator[Event]]:
    """Open a WebSocket and yield its events; leave without a word."""
    with connect(
        f"ws://127.0.0.1:{server.port}/v1/events?{query}", open_timeout=DEADLINE_SECONDS, close_timeout=0.1
    ) as stream:
        try:
            yield (json.loads(message) for message in stream)
        finally:
            break_off(stream.socket)


def break_off(sock: socket.socket) -> None:
    """End a connection with a reset, as a crash or a lost line does."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)


def event_clients(server: RunningServer) -> int:
    """Return how many streams the server says are open."""
    text = server.client._send("GET", "/metrics").decode()
    found = re.search(r"^stable_core_event_clients (\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("kind", [sse, websocket])
def test_a_client_that_leaves_mid_stream_disturbs_nobody(server: RunningServer, tmp_path: Path, kind: Any) -> None:
    until(lambda: event_clients(server) == 0, "the end of earlier streams")
    job_id = server.submit("faults.hold", str(tmp_path / "release"))
    with sse(server, f"after=0&job={job_id}") as staying:
        with kind(server, f"after=0&job={job_id}") as leaving:
            assert next(event for event in leaving if event["type"] == "job.progress")
        until(lambda: event_clients(server) == 1, "the server's note of the lost client")
        (tmp_path / "release").touch()
        assert next(event for event in staying if event["type"] in FINAL)["type"] == "job.succeeded"
    assert server.ended(job_id)["attempt"] == 1
    until(lambda: event_clients(server) == 0, "the end of all streams")


def test_a_client_that_leaves_while_it_waits_changes_nothing(server: RunningServer, tmp_path: Path) -> None:
    body = {"job": "faults.hold", "inputs": {"text": str(tmp_path / "release")}, "cache": False}
    waiting = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    waiting.request("POST", "/v1/jobs?wait=60", json.dumps(body), {"Content-Type": "application/json"})
    [job] = until(lambda: server.client.jobs(state="running", job="faults.hold"), "the job that runs")
    break_off(waiting.sock)
    waiting.close()
    (tmp_path / "release").touch()
    ended = server.ended(job["id"])
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1)


def test_a_client_that_does_not_read_delays_nobody(server: RunningServer) -> None:
    sleepers = []
    for _ in range(3):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(b"GET /v1/events?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
        sleepers.append(sock)
    jobs = [server.submit("faults.echo", f"{number} " + "x" * 2000) for number in range(300)]
    assert {server.ended(job_id)["state"] for job_id in jobs} == {"succeeded"}
    with sse(server, f"after=0&job={jobs[-1]}") as events:
        assert next(event for event in events if event["type"] in FINAL)["type"] == "job.succeeded"
    for sock in sleepers:
        sock.close()


@pytest.mark.parametrize("kind", [sse, websocket])
def test_resuming_neither_misses_nor_repeats_an_event(server: RunningServer, kind: Any) -> None:
    start = last_seq(server)
    submitting = threading.Thread(target=submit_many, args=(server, 150))
    submitting.start()
    seen: list[Event] = []
    endings = 0
    pieces = 0
    while endings < 150:
        with kind(server, f"after={seen[-1]['seq'] if seen else start}") as events:
            for event in islice(events, 37):
                seen.append(event)
                endings += event["type"] in FINAL
                if endings == 150:
                    break
        pieces += 1
    submitting.join()
    assert pieces > 5
    whole: list[Event] = []
    with sse(server, "", **{"Last-Event-ID": str(start)}) as events:
        whole = list(islice(events, len(seen)))
    assert [event["seq"] for event in seen] == [event["seq"] for event in whole]
    assert seen == whole
    numbers = [event["seq"] for event in seen]
    assert numbers == sorted(set(numbers))


def test_a_stream_goes_on_over_kills_of_the_server(new_server: RunningServer, tmp_path: Path) -> None:
    server = new_server
    seen: list[Event] = []
    is_done = threading.Event()

    def watch() -> None:
        with contextlib.closing(server.client.events(after=0)) as events:  # type: ignore[type-var]
            for event in events:
                seen.append(event)
                if event["type"] == "job.succeeded" and event["job"] == last:
                    is_done.set()
                    return

    last = ""
    watching = threading.Thread(target=watch)
    watching.start()
    held = server.submit("faults.hold", str(tmp_path / "release"))
    for number in range(2):
        server.until_working(held, attempt=number + 1)
        submit_many(server, 20)
        until(lambda number=number: len({event["job"] for event in seen}) > 20 * (number + 1), "the events of now")
        server.kill()
        server.start()
    server.until_working(held, attempt=3)
    (tmp_path / "release").touch()
    assert server.ended(held)["attempt"] == 3
    last = server.submit("faults.echo", "the last one")
    assert is_done.wait(DEADLINE_SECONDS)
    watching.join()
    with contextlib.closing(server.events()) as events:  # type: ignore[type-var]
        whole = list(islice(events, len(seen)))
    assert seen == whole
    numbers = [event["seq"] for event in seen]
    assert numbers == sorted(set(numbers))


def submit_many(server: RunningServer, count: int) -> None:
    """Submit jobs one after the other."""
    for number in range(count):
        server.submit("faults.echo", str(number))


def last_seq(server: RunningServer) -> int:
    """Return the number of the newest event: where a stream without `after` says it starts."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", "/v1/events")
    response = connection.getresponse()
    try:
        return int(response.readline()[3:])
    finally:
        response.close()
        connection.close()
