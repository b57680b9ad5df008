"""What strangers send: names that point elsewhere, uploads that break off or lie, pictures of every odd kind."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import PIL.Image
import PIL.ImageDraw
import pytest
from running_server import DEADLINE_SECONDS, RunningServer, until

from stable_core_client import ERRORS, StableCoreError

SECRET = "the content of a file that nobody may read"

NASTY_NAMES = (
    "../secret.txt",
    "../../secret.txt",
    "..",
    ".",
    "/etc/passwd",
    "..\\secret.txt",
    "....//....//secret.txt",
    "secret.txt\0.png",
    "\0",
    "a/../../secret.txt",
    "~/secret.txt",
    "C:\\secret.txt",
    "../settings.json",
    "x" * 5000,
    "’\u202e\n\r\t",
    "%2e%2e%2fsecret.txt",
    "'; DROP TABLE jobs; --",
)


@pytest.fixture
def secret(server: RunningServer) -> Iterator[None]:
    """Put secrets beside and above everything, and look afterwards whether anything was written outside of the home."""
    home = server.home
    places = [home.parent / "secret.txt", home / "secret.txt", home / "plugins" / "secret.txt"]
    for place in places:
        place.write_text(SECRET)
    before = {path for path in home.parent.rglob("*") if home not in path.parents}
    yield
    assert {path for path in home.parent.rglob("*") if home not in path.parents} == before
    assert [place.read_text() for place in places] == [SECRET] * 3
    for place in places:
        place.unlink()


def call(server: RunningServer, method: str, target: str, body: Any = None) -> tuple[int, bytes]:
    """Send a request exactly as written, without the client's care, and return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    try:
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, target, content, {"Content-Type": "application/json"} if content else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def written(name: str) -> list[str]:
    """Return the ways a name may be written into a URL."""
    plain = quote(name, safe="/.~\\" if name.isascii() and name.isprintable() else "/.~")
    return sorted({plain, quote(name, safe=""), quote(name, safe="").replace(".", "%2e")})


# -- names -------------------------------------------------------------------------------------------------------------

ROUTES = (
    ("GET", "/v1/artifacts/{}"),
    ("GET", "/v1/artifacts/{}/meta"),
    ("GET", "/v1/jobs/{}"),
    ("GET", "/v1/jobs/{}/log"),
    ("POST", "/v1/jobs/{}/cancel"),
    ("POST", "/v1/jobs/{}/retry"),
    ("GET", "/v1/signatures/{}"),
    ("GET", "/v1/models/{}"),
    ("GET", "/v1/plugins/{}/settings"),
    ("PUT", "/v1/plugins/{}/settings"),
    ("GET", "/{}"),
)


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_no_route_leads_out_of_its_folder(server: RunningServer, method: str, route: str) -> None:
    client = server.client
    listings = (client.jobs(), client.signatures(), client.plugins())
    for name in NASTY_NAMES:
        for target in written(name):
            status, answer = call(server, method, route.format(target), {} if method == "PUT" else None)
            assert SECRET.encode() not in answer
            if status == 200:  # `.` and `..` mean another page of ours
                assert route == "/{}" or json.loads(answer) in listings, target
            else:
                assert 400 <= status < 500, (target, status, answer)


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("name", NASTY_NAMES)
def test_no_name_in_a_request_leads_out_of_its_folder(server: RunningServer, name: str) -> None:
    echo = {"job": "faults.echo", "inputs": {"text": "x"}}
    requests = [
        {"job": name},
        {"job": f"faults.{name}"},
        {"job": f"{name}.echo"},
        {"job": "faults.echo", "inputs": {"text": {"artifact": name}}},
        {"job": "faults.echo", "inputs": {"text": {"job": name}}},
        {"job": "faults.echo", "inputs": {"text": {"job": "a", "output": name}}},
        {"job": "faults.echo", "inputs": {name: "x"}},
        {**echo, "params": {name: "x"}},
        {**echo, "map": name},
    ]
    for request in requests:
        status, answer = call(server, "POST", "/v1/jobs", request)
        assert 400 <= status < 500, (request, answer)
        status, answer = call(server, "POST", "/v1/graphs", {"version": 1, "jobs": {"a": echo, "b": request}})
        assert 400 <= status < 500, (request, answer)
    document = {"version": 1, "jobs": {name: echo, "after": {"job": "faults.echo", "inputs": {"text": {"job": name}}}}}
    status, answer = call(server, "POST", "/v1/graphs", document)
    if status == 201:
        assert server.ended(json.loads(answer)["jobs"]["after"]["id"])["state"] == "succeeded"
    else:
        assert 400 <= status < 500
    job = server.ended(server.submit("faults.open_model", "x", checkpoint=name))
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_params"), job


@pytest.mark.usefixtures("secret")
def test_texts_with_nasty_names_are_saved_where_all_results_are(server: RunningServer) -> None:
    for name in NASTY_NAMES:
        job = server.ended(server.submit("faults.echo", name))
        [artifact] = job["outputs"]["text"]
        assert server.home / "outputs" in Path(artifact["path"]).resolve().parents
        assert server.text_of(job) == name


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("name", NASTY_NAMES)
def test_the_file_name_of_an_upload_is_only_a_name(server: RunningServer, name: str) -> None:
    content = f"the content of {name!r}".encode()
    try:
        stored = server.client.upload(content, "text/plain", filename=name)
    except (ERRORS["bad_request"], ERRORS["invalid_input"]):
        return
    assert "/" not in stored.get("filename", "")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", f"/v1/artifacts/{stored['id']}")
    response = connection.getresponse()
    assert response.read() == content
    assert "secret.txt/" not in (response.getheader("Content-Disposition") or "")
    connection.close()


def test_a_deeply_nested_request_is_refused(server: RunningServer) -> None:
    for depth in (100, 400, 900, 2000, 100_000):
        body = '{"job": "faults.echo", "inputs": {"text": ' + "[" * depth + "]" * depth + "}}"
        status = raw_post(server, "/v1/jobs", body.encode())
        assert status == 201 or 400 <= status < 500, depth
        wired = '{"job": "faults.echo", "inputs": {"text": ' + '{"each": [' * depth + "]}" * depth + "}}"
        status = raw_post(server, "/v1/graphs", f'{{"version": 1, "jobs": {{"a": {wired}}}}}'.encode())
        assert status == 201 or 400 <= status < 500, depth
    assert server.ended(server.submit("faults.echo", "and on"))["state"] == "succeeded"


def raw_post(server: RunningServer, target: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    try:
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


# -- uploads -----------------------------------------------------------------------------------------------------------


def artifact_files(server: RunningServer) -> set[Path]:
    """Return every file among the artifacts, hidden ones too."""
    return {path for path in (server.home / "artifacts").rglob("*") if path.is_file()}


def test_an_upload_that_breaks_off_leaves_nothing(server: RunningServer) -> None:
    before = artifact_files(server)
    for is_reset in (False, True):
        sock = socket.create_connection(("127.0.0.1", server.port))
        head = b"POST /v1/artifacts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4000000\r\n\r\n"
        sock.sendall(head + b"x" * 2_000_000)
        until(lambda: artifact_files(server) - before, "the first half of the upload on disk")
        if is_reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        until(lambda: artifact_files(server) == before, "the end of the half upload")
    assert server.client.health()["status"] == "ok"


def test_an_upload_with_a_wrong_hash_is_refused(server: RunningServer) -> None:
    before = artifact_files(server)
    content = b"this is what was sent"
    for digest, status in ((hashlib.sha256(b"this was meant"), 422), (hashlib.sha256(content), 201)):
        header = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
        connection.request("POST", "/v1/artifacts", content, {"Content-Digest": header})
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        assert response.status == status, body
        if status == 422:
            assert body["error"]["code"] == "invalid_input"
            assert "hash" in body["error"]["message"]
            assert artifact_files(server) == before
        else:
            assert body["id"] == hashlib.sha256(content).hexdigest()


def test_an_empty_upload_is_refused(server: RunningServer) -> None:
    before = artifact_files(server)
    with pytest.raises(ERRORS["invalid_input"], match="empty"):
        server.client.upload(b"")
    assert artifact_files(server) == before


# -- pictures ----------------------------------------------------------------------------------------------------------


def encoded(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def frames(colours: tuple[str, ...] = ("red", "lime", "blue")) -> list[PIL.Image.Image]:
    return [PIL.Image.new("RGB", (32, 24), colour) for colour in colours]


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it is that large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


PICTURES: dict[str, tuple[Callable[[], bytes], tuple[int, int]]] = {
    "one pixel": (lambda: encoded(PIL.Image.new("RGB", (1, 1), "red"), "PNG"), (1, 1)),
    "huge": (lambda: encoded(PIL.Image.new("1", (8_000, 8_000), 1), "PNG"), (8_000, 8_000)),
    "very wide": (lambda: encoded(PIL.Image.new("RGB", (20_000, 1), "red"), "PNG"), (20_000, 1)),
    "animated gif": (
        lambda: encoded(frames()[0], "GIF", save_all=True, append_images=frames()[1:], duration=50),
        (32, 24),
    ),
    "animated webp": (
        lambda: encoded(frames()[0], "WEBP", save_all=True, append_images=frames()[1:], duration=50, lossless=True),
        (32, 24),
    ),
    "cmyk jpeg": (lambda: encoded(PIL.Image.new("RGB", (32, 24), "red").convert("CMYK"), "JPEG"), (32, 24)),
    "16-bit png": (lambda: encoded(PIL.Image.new("I;16", (32, 24), 0xFFFF), "PNG"), (32, 24)),
    "palette with transparency": (
        lambda: encoded(PIL.Image.new("P", (32, 24), 1), "PNG", transparency=1),
        (32, 24),
    ),
    "one bit": (lambda: encoded(PIL.Image.new("1", (33, 17), 1), "PNG"), (33, 17)),
    "grey with alpha": (lambda: encoded(PIL.Image.new("LA", (32, 24), (9, 99)), "PNG"), (32, 24)),
    "progressive jpeg": (lambda: encoded(frames()[0], "JPEG", progressive=True), (32, 24)),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_odd_pictures_are_taken(server: RunningServer, kind: str) -> None:
    make, size = PICTURES[kind]
    [artifact] = server.client.run("invert.invert", make())
    assert (artifact["width"], artifact["height"]) == size
    with PIL.Image.open(io.BytesIO(server.client.download(artifact))) as picture:
        picture.load()
        assert picture.size == size
        corner = picture.convert("RGB").getpixel((0, 0))
    red = ("animated gif", "animated webp", "cmyk jpeg", "one pixel", "very wide")
    expected = dict.fromkeys(red, (0, 255, 255))
    expected["16-bit png"] = (0, 0, 0)
    assert all(abs(one - other) <= 4 for one, other in zip(corner, expected.get(kind, corner), strict=True)), corner


def test_a_decompression_bomb_is_refused_before_it_is_opened(server: RunningServer) -> None:
    for side in (50_000, 2**31 - 1):
        with pytest.raises(ERRORS["invalid_input"], match=r"too large|broken"):
            server.client.upload(png_of_size(side, side), "image/png")
    assert server.client.health()["status"] == "ok"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_truncated_pictures_give_a_clear_error(server: RunningServer, kind: str) -> None:
    whole = encoded(PIL.Image.effect_noise((64, 64), 90).convert("RGB"), kind)
    for length in (len(whole) // 2, len(whole) - len(whole) // 8, 40, 12):
        with pytest.raises(StableCoreError) as refusal:
            server.client.run("invert.invert", whole[:length])
        assert refusal.value.code == "invalid_input", refusal.value
        assert refusal.value.hint


def test_a_picture_is_what_it_is_not_what_it_says(server: RunningServer) -> None:
    png = encoded(frames()[0], "PNG")
    assert server.client.upload(png, "application/octet-stream", filename="x.txt")["media_type"] == "image/png"
    with pytest.raises(ERRORS["invalid_input"]):
        server.client.upload(b"#!/bin/sh\necho hello\n", "image/png", filename="x.png")
    page = b"<!doctype html><script>alert(1)</script>"
    stored = server.client.upload(page, "text/html", filename="x.html")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", f"/v1/artifacts/{stored['id']}")
    response = connection.getresponse()
    assert response.read() == page
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert (response.getheader("Content-Disposition") or "").startswith("attachment") or "html" not in (
        response.getheader("Content-Type") or ""
    )
    connection.close()
