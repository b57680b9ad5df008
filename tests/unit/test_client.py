"""The client against a real server and against servers that misbehave."""

from __future__ import annotations

import ast
import io
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stable_core_client as client
from stable_core import errors
from stable_core_cli.connection import embedded
from stable_core_client import Client

WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def served(lab: Any) -> Iterator[Client]:
    """Return a client of a server in this process."""
    with embedded(lab.home()) as client:
        yield client


def test_it_needs_the_standard_library_only() -> None:
    tree = ast.parse(Path(client.__file__).read_text("utf-8"), feature_version=(3, 10))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_its_errors_are_those_of_the_server() -> None:
    theirs = {error.code(): error for error in errors.error_classes() if error.__subclasses__() == []}
    assert set(client.ERRORS) == {*theirs, "job_cancelled"}
    for code, error in client.ERRORS.items():
        assert getattr(client, error.__name__) is error
        if code in theirs:
            assert error.__name__ == theirs[code].__name__
            parents = {parent.__name__ for parent in theirs[code].__mro__[1:-1]}
            assert {parent.__name__ for parent in error.__mro__[1:-1]} >= parents - {"BaseException", "object"}


def test_the_log_of_the_server_tells_of_workers_and_failures(served: Client) -> None:
    failed = served.wait(served.submit({"job": "probe.end", "params": {"how": "raise"}})["id"])
    log = served._send("GET", "/v1/log").decode()
    assert "INFO Serving at http://127.0.0.1" in log
    assert "INFO probe: Starting probe" in log
    assert f"WARNING probe.end {failed['id']}: " in log


def test_run_takes_inputs_and_params_and_returns_artifacts(served: Client) -> None:
    [text] = served.run("probe.echo", "hi", suffix="!")
    assert served.download(text) == b"hi!"
    [text] = served.run("probe.echo", text="hi", suffix="?")
    assert text["value"] == "hi?"
    assert [made["value"] for made in served.run("probe.split", "a b c")] == ["a", "b", "c"]


def test_run_takes_the_artifacts_of_another_run(served: Client, tmp_path: Path) -> None:
    [red] = served.run("probe.picture", color="red")
    [flipped] = served.run("probe.flip", red)
    assert flipped["type"] == "image"
    path = tmp_path / "red.png"
    served.download(red, path)
    assert path.read_bytes() == served.download(red["id"])
    [again] = served.run("probe.flip", path)
    [bytes_too] = served.run("probe.flip", path.read_bytes())
    assert again["id"] == bytes_too["id"] == flipped["id"]
    assert len(served.run("probe.flip", [red, red])) == 2


def test_run_shows_events_from_the_first_to_the_last(served: Client) -> None:
    seen: list[str] = []
    served.run("probe.echo", "watched", on_event=lambda event: seen.append(event["type"]))
    assert (seen[0], seen[-1]) == ("job.queued", "job.succeeded")
    assert "job.progress" in seen


def test_what_goes_wrong_is_raised_by_its_class(served: Client) -> None:
    cases: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
        ("not_found", "RequestError", ("probe.nowhere",), {}),
        ("not_found", "RequestError", ("no_plugin.echo", "x"), {}),
        ("invalid_params", "RequestError", ("probe.echo", "x"), {"number": 101}),
        ("invalid_input", "RequestError", ("probe.echo",), {}),
        ("invalid_input", "RequestError", ("probe.echo", "x", "y"), {}),
        ("plugin_raised", "JobFailed", ("probe.end",), {"how": "raise"}),
        ("out_of_memory", "JobFailed", ("probe.end",), {"how": "memory"}),
    ]
    for code, parent, arguments, named in cases:
        with pytest.raises(getattr(client, parent)) as raised:
            served.run(*arguments, **named)
        assert raised.value.code == code
        assert type(raised.value) is client.ERRORS[code]
        assert raised.value.message
    assert "it broke" in raised.value.traceback or raised.value.code == "out_of_memory"


def test_an_interrupted_job_ends_with_what_there_is(served: Client) -> None:
    job = served.submit({"job": "probe.parts", "inputs": {"text": "a part"}})
    served.interrupt(job["id"], skip=True)
    while served.wait(job["id"], 0.05)["state"] != "succeeded":
        served.interrupt(job["id"])
    assert client.results_of(served.job(job["id"]))[0]["value"] == "a part"


def test_a_cancelled_job_raises(served: Client, gate: Any) -> None:
    job = served.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    assert served.wait(job["id"], 0)["state"] in ("queued", "running")
    assert served.cancel(job["id"])["id"] == job["id"]
    with pytest.raises(client.ERRORS["job_cancelled"]):
        client.check_job(served.follow(job))
    served.retry(job["id"])
    gate.open()
    assert served.wait(job["id"], WAIT_SECONDS)["state"] == "succeeded"


def test_graphs_lists_and_logs(served: Client) -> None:
    echo = {"job": "probe.echo", "inputs": {"text": "x"}}
    graph = served.graph(
        {"version": 1, "jobs": {"a": echo, "b": {"job": "probe.echo", "inputs": {"text": {"job": "a"}}}}}
    )
    assert served.wait(graph["jobs"]["b"]["id"], WAIT_SECONDS)["state"] == "succeeded"
    assert len(served.jobs(graph=graph["id"])) == 2
    job = served.submit({"job": "probe.talk", "params": {"mark": "hear me"}}, wait=WAIT_SECONDS)
    assert "hear me" in served.log(job["id"])
    assert served.cancel_all(graph=graph["id"]) == 0


def test_the_same_key_submits_once(served: Client) -> None:
    request = {"job": "probe.echo", "inputs": {"text": "once"}}
    assert served.submit(request, key="k")["id"] == served.submit(request, key="k")["id"]
    assert served.submit(request)["id"] != served.submit(request)["id"]


def test_what_can_run(served: Client) -> None:
    assert "probe.echo" in {one["name"] for one in served.signatures()}
    assert "probe" in {one["name"] for one in served.plugins()}
    assert served.models("checkpoints") is not None
    assert served.health()["status"] == "ok"


def test_uploads_of_all_kinds(served: Client, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_bytes(b"hello")
    ids = {served.upload(b"hello")["id"], served.upload(path)["id"], served.upload(str(path))["id"]}
    ids.add(served.upload(io.BytesIO(b"hello"), "text/plain", "note.txt")["id"])
    assert len(ids) == 1
    with pytest.raises(client.RequestError):
        served.upload(b"hello", "image/png")


def test_names_cannot_leave_their_path(served: Client) -> None:
    for call in (served.job, served.signature, served.download, served.models, served.log, served.cancel):
        with pytest.raises(client.ERRORS["not_found"]):
            call("../settings?x=1#y")  # type: ignore[operator]


def test_many_threads_share_a_client(served: Client) -> None:
    results: list[bytes] = []

    def work(number: int) -> None:
        [text] = served.run("probe.echo", f"thread {number}")
        results.append(served.download(text))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(f"thread {number}".encode() for number in range(8))


# -- servers that misbehave --------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

Answer = Callable[[socket.socket, bytes], None]


class Misbehaving:
    """A server that answers the connections that come with the given functions, one after the other."""

    def __init__(self, *answers: Answer) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.client = Client(f"http://127.0.0.1:{self._socket.getsockname()[1]}", timeout=WAIT_SECONDS)
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, args=(answers,))

    def _serve(self, answers: tuple[Answer, ...]) -> None:
        for answer in answers:
            connection, _ = self._socket.accept()
            with connection:
                request = connection.recv(65536)
                self.requests.append(request)
                answer(connection, request)

    def __enter__(self) -> Misbehaving:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.join()
        self._socket.close()
        self.client.close()


def say(*parts: bytes) -> Answer:
    def answer(connection: socket.socket, request: bytes) -> None:
        for part in parts:
            connection.sendall(part)

    return answer


def test_a_connection_that_the_server_closed_is_made_again() -> None:
    with Misbehaving(say(OK), say(OK)) as server:
        assert server.client.health() == {}
        assert server.client.health() == {}
    assert len(server.requests) == 2


def test_an_answer_that_is_no_json_is_an_error_all_the_same() -> None:
    page = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>"
    with Misbehaving(say(page)) as server, pytest.raises(client.StableCoreError, match="502"):
        server.client.health()


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # so that nobody else listens there
        port = taken.getsockname()[1]
        lonely = Client(f"http://127.0.0.1:{port}", timeout=0)
        with pytest.raises(client.NoServer, match=str(port)):
            lonely.health()
        with pytest.raises(client.NoServer):
            list(lonely.events())
        with pytest.raises(client.NoServer):
            lonely.wait("job")
        with pytest.raises(client.NoServer):
            lonely.download("0" * 64, "nowhere")


def event(number: int) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (number, json.dumps({"seq": number}).encode())


def test_a_lost_stream_goes_on_after_the_last_event() -> None:
    first = say(STREAM, b"id: 4\n\n", b":\n\n", event(5))
    second = say(STREAM, b"id: 5\n\n", event(6))
    with Misbehaving(first, second) as server:
        events = server.client.events()
        assert [next(events)["seq"] for _ in range(2)] == [5, 6]
        events.close()  # type: ignore[attr-defined]
    assert b"after" not in server.requests[0].splitlines()[0]
    assert b"after=5" in server.requests[1].splitlines()[0]


def test_half_an_event_is_not_shown_and_comes_again() -> None:
    half = say(STREAM, event(1), b'id: 2\ndata: {"seq": 2')
    with Misbehaving(half, say(STREAM, event(2))) as server:
        events = server.client.events(after=0)
        assert [next(events)["seq"] for _ in range(2)] == [1, 2]
        events.close()  # type: ignore[attr-defined]
    assert b"after=1" in server.requests[1].splitlines()[0]


def test_a_download_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
    with Misbehaving(say(short)) as server, pytest.raises(client.NoServer):
        server.client.download("0" * 64, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_token_is_sent() -> None:
    with Misbehaving(say(OK)) as server:
        server.client._headers = Client("http://x", "s3cret")._headers
        server.client.health()
    assert b"Authorization: Bearer s3cret" in server.requests[0]
