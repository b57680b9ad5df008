"""Event streams and uploads over real sockets: resume, slow clients, cut-off uploads, and a server that stops."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeServer
from running_server import DEADLINE_SECONDS, RunningServer, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from stable_core_client import Client


def open_socket(server: RunningServer, query: str = "", **headers: str) -> ClientConnection:
    url = f"ws://127.0.0.1:{server.port}/v1/events{query}"
    return connect(url, additional_headers=headers, open_timeout=DEADLINE_SECONDS, max_queue=None, compression=None)


def test_a_socket_sees_a_job_from_start_to_end(server: RunningServer) -> None:
    with open_socket(server) as events:
        job_id = server.submit("calm.echo", "x")
        kinds = []
        while "job.succeeded" not in kinds:
            event = json.loads(events.recv(DEADLINE_SECONDS))
            assert event["job"] == job_id
            kinds.append(event["type"])
    assert kinds[0] == "job.queued"
    assert "job.running" in kinds


def test_events_go_on_without_gap_or_repetition_when_the_server_restarts(make_server: MakeServer) -> None:
    server = make_server().start()
    server.ended(server.submit("calm.echo", "before"))
    seen: list[dict[str, Any]] = []
    is_done = threading.Event()

    def follow() -> None:
        for event in Client(server.url, timeout=DEADLINE_SECONDS).events(after=0):
            seen.append(event)
            if event["type"] == "job.succeeded" and event["data"]["outputs"]["text"][0]["value"] == "after":
                is_done.set()
                return

    follower = threading.Thread(target=follow)
    follower.start()
    until(lambda: seen, "the first events")
    server.kill()
    server.start()
    server.ended(server.submit("calm.echo", "after"))
    assert is_done.wait(DEADLINE_SECONDS)
    follower.join()
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))


def test_a_client_that_leaves_mid_stream_changes_nothing(server: RunningServer, tmp_path: Path) -> None:
    release = tmp_path / "release"
    job_id = server.submit("calm.hold", str(release))
    stream = http.client.HTTPConnection("127.0.0.1", server.port)
    stream.request("GET", f"/v1/events?after=0&job={job_id}")
    stream.getresponse().readline()
    assert stream.sock is None or stream.sock.close() is None
    with open_socket(server) as events:
        events.socket.shutdown(socket.SHUT_RDWR)
    release.touch()
    assert server.ended(job_id)["state"] == "succeeded"


def test_a_client_that_does_not_read_delays_nobody(make_server: MakeServer) -> None:
    server = make_server().start()
    lazy = socket.create_connection(("127.0.0.1", server.port))
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.sendall(b"GET /v1/events?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    text = "x" * 100_000
    with open_socket(server) as events:
        for number in range(60):
            job_id = server.submit("calm.echo", f"{number}{text}")
            while True:
                event = json.loads(events.recv(DEADLINE_SECONDS))
                if event["job"] == job_id and event["type"] == "job.succeeded":
                    break
    lazy.close()


def test_a_stopping_server_ends_its_streams_and_leaves_at_once(make_server: MakeServer) -> None:
    server = make_server().start()
    stream = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    stream.request("GET", "/v1/events")
    answer = stream.getresponse()
    with open_socket(server) as events:
        assert server.terminate() == 0
        with pytest.raises(ConnectionClosed):
            events.recv(DEADLINE_SECONDS)
    assert answer.read().startswith(b"id: ")
    stream.close()
    assert not (server.home / "server.json").exists()


def test_a_stopping_server_answers_those_who_wait(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server().start()
    waiting = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    body = {"job": "calm.hold", "inputs": {"text": str(tmp_path / "never")}}
    waiting.request("POST", "/v1/jobs?wait=60", json.dumps(body), {"Content-Type": "application/json"})
    until(lambda: server.client.jobs(state="running"), "the job that runs, which says that the request is waiting")
    assert server.terminate() == 0
    answer = waiting.getresponse()
    assert (answer.status, json.loads(answer.read())["state"]) == (201, "running")
    waiting.close()


def test_a_client_waits_for_a_server_that_restarts(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server().start()
    release = tmp_path / "release"
    job_id = server.submit("calm.hold", str(release))
    server.until_working(job_id)
    ended: list[dict[str, Any]] = []
    patient = Client(server.url)
    waiter = threading.Thread(target=lambda: ended.append(patient.wait(job_id)))
    waiter.start()
    server.kill()
    server.start()
    release.touch()
    waiter.join(DEADLINE_SECONDS)
    patient.close()
    assert [job["state"] for job in ended] == ["succeeded"]


def test_the_server_says_where_it_is_to_its_owner_only(server: RunningServer) -> None:
    file = server.home / "server.json"
    assert json.loads(file.read_text())["url"] == server.url
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


# -- uploads -----------------------------------------------------------------------------------------------------------


def stored_files(home: Path) -> set[Path]:
    return {path for path in (home / "artifacts").rglob("*") if path.is_file()}


def test_an_upload_cut_off_half_way_leaves_nothing(server: RunningServer) -> None:
    before = stored_files(server.home)
    half = socket.create_connection(("127.0.0.1", server.port))
    half.sendall(b"POST /v1/artifacts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000)
    until(lambda: stored_files(server.home) - before, "the half of the upload on its way to the disk")
    half.close()
    until(lambda: stored_files(server.home) == before, "nothing left of the half upload")


def test_a_large_upload_comes_back_whole_and_in_parts(server: RunningServer, tmp_path: Path) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(bytes(range(256)) * 40_000)
    artifact = server.client.upload(source)
    assert (artifact["size"], artifact["filename"]) == (source.stat().st_size, "large.bin")
    copy = tmp_path / "copy.bin"
    server.client.download(artifact, copy)
    assert copy.read_bytes() == source.read_bytes()
    part = server.client._send("GET", f"/v1/artifacts/{artifact['id']}", headers={"Range": "bytes=5000000-5000003"})
    assert part == source.read_bytes()[5_000_000:5_000_004]


# -- who may come in ---------------------------------------------------------------------------------------------------

TOKEN = "open sesame"


@pytest.fixture(scope="module")
def guarded(make_home: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Return a server that asks for a token; its own client has none."""
    server = RunningServer(make_home(tmp_path_factory.mktemp("guarded") / "home"), STABLE_CORE_TOKEN=TOKEN)
    assert server.try_start()
    server.client = Client(server.url, TOKEN)
    yield server
    server.stop()


def test_a_token_opens_http_and_sockets(guarded: RunningServer) -> None:
    job_id = guarded.submit("calm.echo", "x")
    assert guarded.ended(job_id)["state"] == "succeeded"
    with open_socket(guarded, "?after=0", Authorization=f"Bearer {TOKEN}") as events:
        assert json.loads(events.recv(DEADLINE_SECONDS))["seq"] == 1
    basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    with open_socket(guarded, "?after=0", Authorization=f"Basic {basic}") as events:
        assert json.loads(events.recv(DEADLINE_SECONDS))["seq"] == 1


def test_without_the_token_nothing_opens(guarded: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        open_socket(guarded)
    assert refused.value.response.status_code == 401
    for path in ("/healthz", "/v1/jobs", "/docs", "/metrics", "/"):
        plain = http.client.HTTPConnection("127.0.0.1", guarded.port)
        plain.request("GET", path)
        assert plain.getresponse().status == 401
        plain.close()


def test_a_page_of_another_site_cannot_open_a_socket(server: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server, Origin="http://evil.example")
    assert refused.value.response.status_code == 403


def test_other_machines_are_let_in_only_with_a_token(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "stable_core_cli",
        "serve",
        "--home",
        str(tmp_path),
        "--host",
        "0.0.0.0",
        "--port",
        "0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 2
    assert "no token is set" in done.stderr
    assert "Traceback" not in done.stderr
