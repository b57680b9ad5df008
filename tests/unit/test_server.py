"""Every route and every refusal, asked in-process of a real core with a real worker."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest
from starlette.requests import ClientDisconnect

from stable_core.config import Config
from stable_core.core import Core
from stable_core.errors import ConfigError, Conflict, StorageFull
from stable_core.protocol import artifact_path
from stable_core_server import app as server
from stable_core_server import security
from stable_core_server.app import OPERATIONS, make_app

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 60
ECHO = {"job": "probe.echo", "inputs": {"text": "hi"}, "params": {"suffix": "!"}}


def client_of(core: Core, host: str = "127.0.0.1", token: str = "", **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_app(core, host, token), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860", headers=headers)


@pytest.fixture
async def http(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(core) as client:
        yield client


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """Check that an answer is an error of the documented form and return its message and hint."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "hint"}
    assert body["error"]["code"] == code
    return f"{body['error']['message']} {body['error']['hint']}"


def png() -> bytes:
    stream = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), "red").save(stream, "png")
    return stream.getvalue()


# -- jobs --------------------------------------------------------------------------------------------------------------


async def test_a_job_is_submitted_and_waited_for(http: httpx.AsyncClient) -> None:
    submitted = await http.post("/v1/jobs", json=ECHO)
    assert submitted.status_code == 201
    job = (await http.get(f"/v1/jobs/{submitted.json()['id']}", params={"wait": WAIT_SECONDS})).json()
    assert job["state"] == "succeeded"
    assert job["outputs"]["text"][0]["value"] == "hi!"
    wanted = (
        "id job state inputs params outputs progress error attempt cached owner graph parent created started finished"
    )
    assert set(job) >= {*wanted.split(), "plugin_version", "host"}


async def test_submit_can_wait_for_the_end(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/jobs", params={"wait": WAIT_SECONDS}, json=ECHO)
    assert answer.status_code == 201
    assert answer.json()["state"] == "succeeded"


async def test_a_wait_that_is_too_short_returns_the_job_as_it_is(http: httpx.AsyncClient, gate: Any) -> None:
    held = {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    answer = await http.post("/v1/jobs", params={"wait": 0.01}, json=held)
    assert answer.json()["state"] in ("queued", "running")
    gate.open()
    ended = await http.get(f"/v1/jobs/{answer.json()['id']}", params={"wait": WAIT_SECONDS})
    assert ended.json()["state"] == "succeeded"


async def test_the_same_idempotency_key_returns_the_same_job(http: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await http.post("/v1/jobs", json=ECHO, headers=headers)
    again = await http.post("/v1/jobs", json=ECHO, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    refused(await http.post("/v1/jobs", json={**ECHO, "priority": 1}, headers=headers), 409, "conflict")
    refused(await http.post("/v1/jobs", json=ECHO, headers={"Idempotency-Key": "k" * 256}), 400, "bad_request")


async def test_the_same_idempotency_key_returns_the_same_graph(http: httpx.AsyncClient) -> None:
    document = {"version": 1, "jobs": {"a": ECHO}}
    first, again = [await http.post("/v1/graphs", json=document, headers={"Idempotency-Key": "g"}) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["jobs"]["a"]["id"] == again.json()["jobs"]["a"]["id"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_request"),
        (b"{", 400, "bad_request"),
        (b"[]", 400, "bad_request"),
        (b'"text"', 400, "bad_request"),
        (b"\xff\xfe", 400, "bad_request"),
        (b"[" * 100_000, 400, "bad_request"),
        (b'{"job": 7}', 400, "bad_request"),
        (b'{"job": "probe.echo", "unknown": 1}', 400, "bad_request"),
        (b'{"job": "probe.nothing_like_it"}', 404, "not_found"),
        (b'{"job": "../../etc/passwd"}', 404, "not_found"),
        (b'{"job": "probe.echo"}', 422, "invalid_input"),
        (b'{"job": "probe.echo", "inputs": {"text": "x"}, "params": {"number": 101}}', 422, "invalid_params"),
        (b'{"job": "probe.echo", "inputs": {"text": "x"}, "params": {"nothing": 1}}', 422, "invalid_params"),
        (b'{"job": "probe.flip", "inputs": {"image": {"artifact": "' + b"0" * 64 + b'"}}}', 422, "invalid_input"),
    ],
)
async def test_wrong_jobs_are_refused(http: httpx.AsyncClient, body: bytes, status: int, code: str) -> None:
    refused(await http.post("/v1/jobs", content=body), status, code)


async def test_a_json_body_over_the_limit_is_refused(http: httpx.AsyncClient) -> None:
    text = {**ECHO, "inputs": {"text": "x" * (17 * 2**20)}}
    assert "/v1/artifacts" in refused(await http.post("/v1/jobs", json=text), 413, "too_large")


async def test_a_graph_is_all_or_nothing(http: httpx.AsyncClient) -> None:
    before = (await http.get("/v1/jobs", params={"limit": 1})).json()
    document = {"version": 1, "jobs": {"good": ECHO, "bad": {**ECHO, "params": {"number": -1}}}, "ui": {}}
    refused(await http.post("/v1/graphs", json=document), 422, "invalid_params")
    assert (await http.get("/v1/jobs", params={"limit": 1})).json() == before
    document["jobs"]["bad"] = {"job": "probe.echo", "inputs": {"text": {"job": "good"}}}
    graph = (await http.post("/v1/graphs", json=document)).json()
    assert list(graph["jobs"]) == ["good", "bad"]
    ended = await http.get(f"/v1/jobs/{graph['jobs']['bad']['id']}", params={"wait": WAIT_SECONDS})
    assert ended.json()["outputs"]["text"][0]["value"] == "hi!"
    assert {job["id"] for job in (await http.get("/v1/jobs", params={"graph": graph["id"]})).json()} == {
        job["id"] for job in graph["jobs"].values()
    }


async def test_jobs_are_listed_page_by_page(http: httpx.AsyncClient) -> None:
    ids = [(await http.post("/v1/jobs", json=ECHO)).json()["id"] for _ in range(3)]
    first = (await http.get("/v1/jobs", params={"job": "probe.echo", "limit": 2})).json()
    assert [job["id"] for job in first] == ids[:0:-1]
    following = (await http.get("/v1/jobs", params={"before": ids[1], "limit": 1})).json()
    assert [job["id"] for job in following] == ids[:1]
    assert (await http.get("/v1/jobs", params={"job": "probe.never"})).json() == []


async def test_jobs_are_searched(http: httpx.AsyncClient) -> None:
    texts = ("a red needle", "a blue needle")
    ids = [(await http.post("/v1/jobs", json={**ECHO, "inputs": {"text": text}})).json()["id"] for text in texts]

    async def found(**query: Any) -> list[str]:
        return [job["id"] for job in (await http.get("/v1/jobs", params=query)).json()]

    assert await found(text="NEEDLE red") == ids[:1]
    assert await found(text="needle", ids=ids[1]) == ids[1:]
    assert await found(text="needle", until=1) == []
    assert await found(text="needle", since=1, job="probe.echo") == ids[::-1]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1001", "state=lost", "unknown=1", "since=x", 'ids="', "until=nan"]
)
async def test_wrong_queries_are_refused(http: httpx.AsyncClient, query: str) -> None:
    assert query.partition("=")[0] in refused(await http.get(f"/v1/jobs?{query}"), 400, "bad_request")


async def test_a_search_for_too_many_words_is_refused(http: httpx.AsyncClient) -> None:
    assert "text" in refused(await http.get("/v1/jobs", params={"text": "a " * 1100}), 400, "bad_request")
    assert (await http.get("/v1/jobs", params={"text": "a " * 500})).status_code == 200


@pytest.mark.parametrize("wait", ["-1", "61", "soon", "nan"])
async def test_a_wrong_wait_is_refused(http: httpx.AsyncClient, wait: str) -> None:
    job = (await http.post("/v1/jobs", json=ECHO)).json()
    refused(await http.get(f"/v1/jobs/{job['id']}?wait={wait}"), 400, "bad_request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/none"),
        ("POST", "/v1/jobs/none/cancel"),
        ("POST", "/v1/jobs/none/retry"),
        ("GET", "/v1/jobs/none/log"),
        ("GET", "/v1/jobs/..%2F..%2Fetc%2Fpasswd"),
        ("GET", "/v1/jobs/..%2F..%2Fetc%2Fpasswd/log"),
        ("GET", "/v1/signatures/probe.none"),
        ("GET", "/v1/signatures/none"),
        ("GET", "/v1/signatures/..%2Fprobe"),
        ("GET", "/v1/plugins/none/settings"),
        ("POST", "/v1/plugins/none/restart"),
        ("GET", "/v1/artifacts/none"),
        ("DELETE", "/v1/artifacts/none"),
        ("GET", "/v1/artifacts/..%2F..%2Fsettings.json"),
        ("GET", "/v1/artifacts/" + "0" * 64),
        ("GET", "/v1/artifacts/" + "0" * 64 + "/meta"),
        ("GET", "/v1/models/..%2F.."),
        ("GET", "/v1/models/.."),
        ("GET", "/v1/nothing"),
        ("GET", "/nothing"),
    ],
)
async def test_what_is_not_there_is_not_found(http: httpx.AsyncClient, method: str, path: str) -> None:
    refused(await http.request(method, path), 404, "not_found")


async def test_a_wrong_method_is_told_the_right_ones(http: httpx.AsyncClient) -> None:
    answer = await http.delete("/v1/jobs")
    refused(answer, 405, "bad_request")
    assert set(answer.headers["allow"].replace(" ", "").split(",")) >= {"GET", "POST"}


async def test_cancel_is_idempotent_and_a_cancelled_job_can_be_retried(http: httpx.AsyncClient, gate: Any) -> None:
    held = {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    job = (await http.post("/v1/jobs", json=held)).json()
    await http.post(f"/v1/jobs/{job['id']}/cancel")
    assert (await http.get(f"/v1/jobs/{job['id']}?wait={WAIT_SECONDS}")).json()["state"] == "cancelled"
    assert (await http.post(f"/v1/jobs/{job['id']}/cancel")).json()["state"] == "cancelled"
    assert (await http.post(f"/v1/jobs/{job['id']}/retry")).json()["state"] in ("queued", "running")
    assert (await http.post(f"/v1/jobs/{job['id']}/retry")).status_code == 200
    gate.open()
    assert (await http.get(f"/v1/jobs/{job['id']}?wait={WAIT_SECONDS}")).json()["state"] == "succeeded"
    refused(await http.post(f"/v1/jobs/{job['id']}/retry"), 409, "conflict")


async def test_interrupt_and_skip(http: httpx.AsyncClient, gate: Any) -> None:
    job = (await http.post("/v1/jobs", json={"job": "probe.parts", "inputs": {"text": "one"}})).json()
    answer = await http.post(f"/v1/jobs/{job['id']}/interrupt?skip=true")
    assert (answer.status_code, answer.json()["id"]) == (200, job["id"])
    refused(await http.post(f"/v1/jobs/{job['id']}/interrupt?skip=perhaps"), 400, "bad_request")
    while (await http.get(f"/v1/jobs/{job['id']}?wait=0.05")).json()["state"] != "succeeded":
        await http.post(f"/v1/jobs/{job['id']}/interrupt")


async def test_many_jobs_are_cancelled_at_once(http: httpx.AsyncClient, gate: Any) -> None:
    held = {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    jobs = dict.fromkeys("abc", held)
    graph = (await http.post("/v1/graphs", json={"version": 1, "jobs": jobs})).json()
    assert (await http.post("/v1/jobs/cancel", json={"job": "probe.never"})).json() == {"cancelled": 0}
    assert (await http.post("/v1/jobs/cancel", json={"graph": graph["id"]})).json() == {"cancelled": 3}
    await http.post("/v1/jobs", json=held)
    assert (await http.post("/v1/jobs/cancel", json={"job": "probe.hold"})).json()["cancelled"] >= 1
    assert (await http.post("/v1/jobs/cancel", json={})).json()["cancelled"] <= 1
    refused(await http.post("/v1/jobs/cancel", json={"state": "succeeded"}), 400, "bad_request")


async def test_waiting_jobs_change_their_order(http: httpx.AsyncClient, gate: Any) -> None:
    held = {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    first, *rest = [(await http.post("/v1/jobs", json=held)).json()["id"] for _ in range(3)]
    swept = {**held, "params": {**held["params"], "is_stubborn": {"each": [False, False]}}}
    parent = (await http.post("/v1/jobs", json=swept)).json()["id"]
    wanted = {"priorities": {rest[1]: 1, parent: 2, first: 5}}
    changed = (await http.post("/v1/jobs/priorities", json=wanted)).json()
    assert [(job["id"], job["priority"]) for job in changed][:2] == [(rest[1], 1), (parent, 2)]
    gate.open(5)
    for job_id in (*rest, parent):
        await http.get(f"/v1/jobs/{job_id}?wait={WAIT_SECONDS}")
    ended = [job for job in (await http.get("/v1/jobs?job=probe.hold&limit=6")).json() if job["id"] != parent]
    order = [job["id"] for job in sorted(ended, key=lambda job: job["started"]) if job["id"] in rest or job["parent"]]
    assert order[-2:] == [rest[1], rest[0]]
    assert len(order) == 4
    refused(await http.post("/v1/jobs/priorities", json={"priorities": {"nobody": 1}}), 404, "not_found")
    refused(await http.post("/v1/jobs/priorities", json={"priorities": {first: 2**40}}), 400, "bad_request")
    refused(await http.post("/v1/jobs/priorities", json={}), 400, "bad_request")


async def test_a_failed_job_says_why_and_keeps_its_log(http: httpx.AsyncClient) -> None:
    broken = {"job": "probe.end", "params": {"how": "raise"}}
    job = (await http.post(f"/v1/jobs?wait={WAIT_SECONDS}", json=broken)).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "plugin_raised")
    assert "it broke" in job["error"]["message"]
    log = await http.get(f"/v1/jobs/{job['id']}/log")
    assert "last words" in log.text
    assert log.headers["content-type"].startswith("text/plain")


async def test_a_job_of_another_owner_is_not_there(core: Core, http: httpx.AsyncClient) -> None:
    job = await core.submit(ECHO, owner="somebody")
    for method, path in [("GET", ""), ("GET", "/log"), ("POST", "/cancel"), ("POST", "/interrupt"), ("POST", "/retry")]:
        refused(await http.request(method, f"/v1/jobs/{job['id']}{path}"), 404, "not_found")
    refused(await http.post("/v1/jobs/priorities", json={"priorities": {job["id"]: 1}}), 404, "not_found")
    assert job["id"] not in {one["id"] for one in (await http.get("/v1/jobs")).json()}


# -- artifacts ---------------------------------------------------------------------------------------------------------


async def test_an_upload_comes_back_as_it_was(http: httpx.AsyncClient) -> None:
    content = png()
    stored = await http.post("/v1/artifacts?filename=a.png", content=content, headers={"Content-Type": "image/png"})
    assert stored.status_code == 201
    artifact = stored.json()
    assert artifact["id"] == hashlib.sha256(content).hexdigest()
    assert (artifact["type"], artifact["media_type"], artifact["size"]) == ("image", "image/png", len(content))
    found = await http.get(f"/v1/artifacts/{artifact['id']}")
    assert found.content == content
    assert found.headers["content-type"] == "image/png"
    assert found.headers["etag"] == f'"{artifact["id"]}"'
    assert "immutable" in found.headers["cache-control"]
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"].startswith("sandbox")
    assert found.headers["content-disposition"] == 'inline; filename="a.png"'
    [made] = (await http.post(f"/v1/jobs?wait={WAIT_SECONDS}", json=ECHO)).json()["outputs"]["text"]
    nameless = await http.get(f"/v1/artifacts/{made['id']}")
    assert nameless.headers["content-disposition"] == f'inline; filename="{made["id"][:16]}.txt"'
    meta = (await http.get(f"/v1/artifacts/{artifact['id']}/meta")).json()
    assert meta["width"] == 8
    assert (await http.head(f"/v1/artifacts/{artifact['id']}")).headers["content-length"] == str(len(content))


@pytest.fixture
async def ten_bytes(http: httpx.AsyncClient) -> str:
    artifact_id: str = (await http.post("/v1/artifacts", content=b"0123456789")).json()["id"]
    return f"/v1/artifacts/{artifact_id}"


@pytest.mark.parametrize(
    ("header", "status", "content"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=0-1,4-5", 200, b"0123456789"),
        ("bytes=0-99", 206, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=nonsense", 200, b"0123456789"),
        ("bytes=9-1", 200, b"0123456789"),
    ],
)
async def test_ranges(http: httpx.AsyncClient, ten_bytes: str, header: str, status: int, content: bytes) -> None:
    answer = await http.get(ten_bytes, headers={"Range": header})
    assert (answer.status_code, answer.content) == (status, content)


async def test_a_range_past_the_end_is_refused(http: httpx.AsyncClient, ten_bytes: str) -> None:
    for header in ("bytes=10-", "bytes=10-12", "bytes=-0"):
        answer = await http.get(ten_bytes, headers={"Range": header})
        refused(answer, 416, "bad_request")
        assert answer.headers["content-range"] == "bytes */10"


async def test_a_known_artifact_is_not_sent_again(http: httpx.AsyncClient, ten_bytes: str) -> None:
    etag = (await http.get(ten_bytes)).headers["etag"]
    for known in (etag, f'W/{etag}, "other"', "*"):
        answer = await http.get(ten_bytes, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
    assert (await http.get(ten_bytes, headers={"If-None-Match": '"other"'})).status_code == 200
    changed = await http.get(ten_bytes, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert changed.status_code == 200


@pytest.mark.parametrize("content", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html><script>1</script></html>"])
async def test_what_could_run_in_a_browser_is_no_page(http: httpx.AsyncClient, content: bytes) -> None:
    artifact = (await http.post("/v1/artifacts?filename=x.svg", content=content)).json()
    found = await http.get(f"/v1/artifacts/{artifact['id']}")
    shown = (
        found.headers["content-type"].startswith("text/plain") or "attachment" in found.headers["content-disposition"]
    )
    assert shown
    assert found.headers["x-content-type-options"] == "nosniff"


async def test_an_upload_is_checked_against_its_hash(http: httpx.AsyncClient) -> None:
    right = base64.b64encode(hashlib.sha256(b"text").digest()).decode()
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    stored = await http.post("/v1/artifacts", content=b"text", headers={"Content-Digest": f"sha-256=:{right}:"})
    assert stored.status_code == 201
    other = {"Content-Digest": f"sha-256=:{wrong}:"}
    refused(await http.post("/v1/artifacts", content=b"text", headers=other), 422, "invalid_input")
    refused(
        await http.post("/v1/artifacts", content=b"text", headers={"Content-Digest": "md5=:x:"}), 422, "invalid_input"
    )
    declared = await http.post("/v1/artifacts", content=b"text", headers={"Content-Type": "image/png"})
    refused(declared, 422, "invalid_input")


def files_in(core: Core) -> set[str]:
    return {str(path) for path in (core.home / "artifacts").rglob("*") if path.is_file()}


async def test_an_upload_over_the_limit_leaves_nothing(lab: Any) -> None:
    async with lab.open(upload_limit_mb=1) as core, client_of(core) as http:
        before = files_in(core)
        refused(await http.post("/v1/artifacts", content=b"x" * (2**20 + 1)), 413, "too_large")

        async def unknown_length() -> AsyncIterator[bytes]:
            for _ in range(17):
                yield b"x" * 2**16

        refused(await http.post("/v1/artifacts", content=unknown_length()), 413, "too_large")
        assert files_in(core) == before


async def test_an_upload_that_is_cut_off_leaves_nothing(core: Core) -> None:
    before = files_in(core)
    messages = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with contextlib.suppress(ClientDisconnect):
        await make_app(core)(scope_of("POST", "/v1/artifacts"), receive, send)
    assert files_in(core) == before
    assert not [message for message in sent if message.get("status", 400) < 400]


async def test_a_deleted_result_is_gone_with_its_saved_file(core: Core, http: httpx.AsyncClient) -> None:
    image = (await http.post("/v1/artifacts", content=png())).json()["id"]
    flip = {"job": "probe.flip", "inputs": {"image": {"artifact": image}}}
    job = (await http.post(f"/v1/jobs?wait={WAIT_SECONDS}", json=flip)).json()
    [result] = job["outputs"]["image"]
    saved = Path(result["path"])
    assert saved.is_file()
    assert (await http.delete(f"/v1/artifacts/{result['id']}")).json()["id"] == result["id"]
    assert not saved.exists()
    assert not artifact_path(core.home / "artifacts", result["id"]).exists()
    refused(await http.get(f"/v1/artifacts/{result['id']}"), 404, "not_found")
    assert (await http.get(f"/v1/jobs/{job['id']}")).json()["outputs"] == {"image": []}
    again = (await http.post(f"/v1/jobs?wait={WAIT_SECONDS}", json=flip)).json()
    assert (again["cached"], again["outputs"]["image"][0]["id"]) == (False, result["id"])


async def test_what_a_job_still_needs_is_not_deleted(http: httpx.AsyncClient, gate: Any) -> None:
    needed = (await http.post("/v1/artifacts", content=b"needed", headers={"Content-Type": "text/plain"})).json()["id"]
    held = {"job": "probe.hold", "inputs": {"text": {"artifact": needed}}, "params": {"gate": gate.path}}
    job = (await http.post("/v1/jobs", json=held)).json()
    refused(await http.delete(f"/v1/artifacts/{needed}"), 409, "conflict")
    gate.open()
    await http.get(f"/v1/jobs/{job['id']}?wait={WAIT_SECONDS}")
    assert (await http.delete(f"/v1/artifacts/{needed}")).status_code == 200


async def test_what_a_job_takes_from_another_is_not_deleted(http: httpx.AsyncClient, gate: Any) -> None:
    echo = {**ECHO, "inputs": {"text": "taken"}}
    made = (await http.post(f"/v1/jobs?wait={WAIT_SECONDS}", json=echo)).json()
    needed = made["outputs"]["text"][0]["id"]
    held = {"job": "probe.hold", "inputs": {"text": {"job": made["id"]}}, "params": {"gate": gate.path}}
    job = (await http.post("/v1/jobs", json=held)).json()
    refused(await http.delete(f"/v1/artifacts/{needed}"), 409, "conflict")
    gate.open()
    await http.get(f"/v1/jobs/{job['id']}?wait={WAIT_SECONDS}")
    assert (await http.delete(f"/v1/artifacts/{needed}")).status_code == 200


async def test_a_result_stays_whole_when_its_deletion_cannot_be_stored(
    core: Core, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = {**ECHO, "inputs": {"text": "stays"}}
    [made] = (await http.post(f"/v1/jobs?wait={WAIT_SECONDS}", json=echo)).json()["outputs"]["text"]

    async def full() -> None:
        raise StorageFull("The disk is full")

    monkeypatch.setattr(core._store, "commit", full)
    refused(await http.delete(f"/v1/artifacts/{made['id']}"), 500, "storage_full")
    monkeypatch.undo()
    assert Path(made["path"]).is_file()
    assert artifact_path(core.home / "artifacts", made["id"]).is_file()


# -- what can run, settings, numbers -----------------------------------------------------------------------------------


async def test_what_can_run_is_listed(http: httpx.AsyncClient) -> None:
    names = {signature["name"] for signature in (await http.get("/v1/signatures")).json()}
    assert "probe.echo" in names
    echo = (await http.get("/v1/signatures/probe.echo")).json()
    assert echo["inputs"] == [{"name": "text", "type": "text", "list": False, "optional": False}]
    assert echo["params"]["properties"]["number"]["maximum"] == 100
    [plugin] = (await http.get("/v1/plugins")).json()
    assert (plugin["name"], plugin["error"], plugin["installed"]) == ("probe", None, True)
    assert plugin["environment_bytes"] > 2**20


async def test_params_are_checked_without_a_run(http: httpx.AsyncClient) -> None:
    jobs = (await http.get("/v1/jobs")).json()
    checked = (await http.post("/v1/signatures/probe.echo/check", json={"number": 7})).json()
    assert checked["number"] == 7
    assert checked["suffix"] == ""
    wrong = await http.post("/v1/signatures/probe.echo/check", json={"number": 101})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["message"] == "number: 101 is greater than the maximum of 100"
    assert (await http.post("/v1/signatures/probe.none/check", json={})).status_code == 404
    assert (await http.get("/v1/jobs")).json() == jobs


async def test_models_are_listed_by_kind(core: Core, http: httpx.AsyncClient) -> None:
    folder = core.home / "models" / "checkpoints"
    (folder / "nice.safetensors").touch()
    assert (await http.get("/v1/models/checkpoints")).json() == ["nice"]
    assert (await http.get("/v1/models/never_heard_of")).json() == []


async def test_settings_are_changed_one_by_one(http: httpx.AsyncClient) -> None:
    before = (await http.get("/v1/settings")).json()
    assert set(before["values"]) == set(before["schema"]["properties"])
    after = (await http.put("/v1/settings", json={"event_days": 3})).json()
    assert after["values"] == {**before["values"], "event_days": 3}
    refused(await http.put("/v1/settings", json={"event_days": 0}), 422, "invalid_params")
    refused(await http.put("/v1/settings", json={"no_setting": 0}), 422, "invalid_params")
    refused(await http.put("/v1/settings", json=[1]), 400, "bad_request")
    assert (await http.get("/v1/settings")).json() == after


async def test_secrets_are_taken_but_never_shown(http: httpx.AsyncClient) -> None:
    changed = await http.put("/v1/plugins/probe/settings", json={"password": "open sesame", "greeting": "hey"})
    assert changed.json()["values"]["greeting"] == "hey"
    assert "sesame" not in changed.text
    assert "sesame" not in (await http.get("/v1/plugins/probe/settings")).text
    refused(await http.put("/v1/plugins/probe/settings", json={"greeting": 7}), 422, "invalid_params")
    refused(await http.put("/v1/plugins/none/settings", json={}), 404, "not_found")


async def test_health_and_hosts(http: httpx.AsyncClient) -> None:
    healthy = await http.get("/healthz")
    assert (healthy.status_code, healthy.json()["status"]) == (200, "ok")
    [host] = (await http.get("/v1/hosts")).json()
    assert host["name"] == "local"


async def test_a_restarted_worker_does_its_job_again(core: Core, http: httpx.AsyncClient, gate: Any, lab: Any) -> None:
    job_id = (
        await http.post("/v1/jobs", json={"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    ).json()["id"]
    await lab.until(core, "job.progress", job_id)
    [worker] = (await http.get("/v1/hosts")).json()[0]["workers"]
    assert (worker["state"], worker["job"], worker["memory_mb"]) == ("busy", job_id, 0)
    assert (await http.post("/v1/plugins/probe/restart")).status_code == 200
    gate.open()
    ended = (await http.get(f"/v1/jobs/{job_id}?wait={WAIT_SECONDS}")).json()
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
    [new] = (await http.get("/v1/hosts")).json()[0]["workers"]
    assert new["pid"] != worker["pid"]


async def test_what_a_worker_printed_last_is_shown(http: httpx.AsyncClient) -> None:
    await http.post(f"/v1/jobs?wait={WAIT_SECONDS}", json={"job": "probe.end", "params": {"how": "raise"}})
    [worker] = (await http.get("/v1/hosts")).json()[0]["workers"]
    assert "last words" in worker["log"]


async def test_health_is_503_when_jobs_cannot_run(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "health", lambda: {"status": "stopped", "version": "0"})
    async with client_of(core) as http:
        assert (await http.get("/healthz")).status_code == 503


async def test_user_data_is_kept(http: httpx.AsyncClient) -> None:
    assert (await http.put("/v1/user-data", json={"one": [1], "two": 2})).json() == {"one": [1], "two": 2}
    await http.put("/v1/user-data", json={"two": None})
    assert (await http.get("/v1/user-data")).json() == {"one": [1]}
    refused(await http.put("/v1/user-data", json=[1]), 400, "bad_request")


async def test_metrics_are_prometheus_text(http: httpx.AsyncClient) -> None:
    await http.post(f"/v1/jobs?wait={WAIT_SECONDS}", json=ECHO)
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    numbers = {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert numbers["stable_core_jobs_succeeded_total"] >= 1
    assert {"stable_core_jobs_running", "stable_core_jobs_cancelled_total"} <= numbers.keys()  # also while they are 0
    assert len(typed) == len(set(typed))
    assert {name.partition("{")[0] for name in numbers} == set(typed)


async def test_pages_need_no_other_server(http: httpx.AsyncClient) -> None:
    front, docs = await http.get("/"), await http.get("/docs")
    assert "stable-core" in front.text
    assert "/v1/artifacts/{id}" in docs.text
    for page in (front, docs):
        addresses = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        assert [one for one in addresses if "//" in one and not one.startswith("http://127")] == []
        assert page.text.count("<script") == len(re.findall(r'<script [^>]*src="\./assets/', page.text))


async def test_the_openapi_document_names_every_route_and_error(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(one.method, one.path) for one in OPERATIONS}
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"].endswith(".")
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and "schema" in str(answer):
                assert "ErrorAnswer" in str(answer) or "Health" in str(answer)


async def test_a_mistake_of_ours_shows_no_traceback(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("secret inner words")

    monkeypatch.setattr(core, "counters", broken)
    async with client_of(core) as http:
        answer = await http.get("/metrics")
    refused(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


# -- who may ask -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "", "[::", "127.0.0.1.evil.example", "10.0.0.1"])
async def test_other_names_are_refused_against_dns_rebinding(http: httpx.AsyncClient, host: str) -> None:
    refused(await http.get("/healthz", headers={"Host": host}), 403, "not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:7860", "art.local:7860"])
async def test_names_of_this_machine_are_served(core: Core, host: str) -> None:
    async with client_of(core, host="art.local") as http:
        assert (await http.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", "nonsense"])
async def test_other_sites_cannot_change_anything(http: httpx.AsyncClient, origin: str) -> None:
    refused(await http.post("/v1/jobs", json=ECHO, headers={"Origin": origin}), 403, "not_allowed")
    refused(await http.put("/v1/settings", json={}, headers={"Origin": origin}), 403, "not_allowed")


async def test_a_page_of_this_server_may_change_things(http: httpx.AsyncClient) -> None:
    own = {"Origin": "http://127.0.0.1:7860"}
    assert (await http.post("/v1/jobs", json=ECHO, headers=own)).status_code == 201
    refused(await http.post("/v1/jobs", json=ECHO, headers={"Sec-Fetch-Site": "cross-site"}), 403, "not_allowed")


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        ("Basic " + base64.b64encode(b"me:s3cret").decode(), 200),
        ("Basic " + base64.b64encode(b"s3cret:me").decode(), 401),
        ("Basic !!!", 401),
        ("Bearer wrong", 401),
        ("Bearer", 401),
        ("Digest s3cret", 401),
        ("", 401),
    ],
)
async def test_a_token_is_asked_for_when_one_is_set(core: Core, authorization: str, status: int) -> None:
    async with client_of(core, token="s3cret") as http:
        answer = await http.get("/v1/jobs", headers={"Authorization": authorization, "Host": "anything.example"})
    assert answer.status_code == status
    if status == 401:
        refused(answer, 401, "not_allowed")
        assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.2", "art.example"])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="no token"):
        security.check_bind(host, "")
    security.check_bind(host, "s3cret")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_none(host: str) -> None:
    security.check_bind(host, "")


def test_a_taken_port_is_named(lab: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Conflict, match=str(taken.getsockname()[1])):
        server.run_server(Config(lab.home()), "127.0.0.1", taken.getsockname()[1], "", contextlib.nullcontext)


# -- events ------------------------------------------------------------------------------------------------------------


def scope_of(method: str, path: str, query: str = "", **headers: str) -> dict[str, Any]:
    kind = "websocket" if method == "WEBSOCKET" else "http"
    named = {"host": "127.0.0.1", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return {
        "type": kind,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "asgi": {"version": "3.0"},
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }


class Stream:
    """One event stream, spoken to as uvicorn does; `is_stuck` makes it a client that does not read."""

    def __init__(self, core: Core, method: str = "GET", query: str = "", **headers: str) -> None:
        self.app = make_app(core)
        self._scope = scope_of(method, "/v1/events", query, **headers)
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._received: asyncio.Queue[Any] = asyncio.Queue()
        self.is_stuck = False
        if method == "WEBSOCKET":
            self._received.put_nowait({"type": "websocket.connect"})
        else:
            self._received.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def __aenter__(self) -> Stream:
        self.running = asyncio.ensure_future(self.app(self._scope, self._received.get, self._send))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.leave()
        async with asyncio.timeout(WAIT_SECONDS):
            await self.running

    def leave(self) -> None:
        """Go away, as a closed connection does."""
        is_http = self._scope["type"] == "http"
        self._received.put_nowait({"type": "http.disconnect" if is_http else "websocket.disconnect", "code": 1001})

    async def _send(self, message: Any) -> None:
        if self.is_stuck and (message.get("body") or message.get("text")):
            await asyncio.Event().wait()
        self._sent.put_nowait(message)

    async def next(self) -> Any:
        """Return the next message that the server sent."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._sent.get()

    async def event(self) -> dict[str, Any]:
        """Return the next event."""
        while True:
            message = await self.next()
            if message["type"] == "websocket.send":
                return json.loads(message["text"])  # type: ignore[no-any-return]
            lines = message.get("body", b"").decode().splitlines()
            if len(lines) > 1 and lines[1].startswith("data: "):
                found: dict[str, Any] = json.loads(lines[1].removeprefix("data: "))
                assert lines[0] == f"id: {found['seq']}"
                return found


BOTH = pytest.mark.parametrize("method", ["GET", "WEBSOCKET"])


@BOTH
async def test_events_are_replayed_and_then_live(core: Core, lab: Any, method: str) -> None:
    start = core.last_event()
    first = await lab.run(core, "echo", inputs={"text": "a"})
    async with Stream(core, method, f"after={start}") as stream:
        replayed = [await stream.event() for _ in range(core.last_event() - start)]
        assert {event["job"] for event in replayed} == {first["id"]}
        second = await lab.run(core, "echo", inputs={"text": "b"})
        live = [await stream.event() for _ in range(core.last_event() - replayed[-1]["seq"])]
        assert {event["job"] for event in live} == {second["id"]}
        numbers = [event["seq"] for event in replayed + live]
        assert numbers == list(range(start + 1, start + 1 + len(numbers)))
        assert live[-1]["type"] == "job.succeeded"
        assert set(live[-1]) >= {"seq", "time", "type", "job", "data"}


@BOTH
async def test_without_a_number_only_new_events_come(core: Core, lab: Any, method: str) -> None:
    await lab.run(core, "echo", inputs={"text": "old"})
    async with Stream(core, method) as stream:
        await stream.next()
        job = await lab.run(core, "echo", inputs={"text": "new"})
        assert (await stream.event())["job"] == job["id"]


@BOTH
async def test_events_are_filtered_by_job_and_graph(core: Core, lab: Any, method: str) -> None:
    other = await lab.run(core, "echo", inputs={"text": "other"})
    graph = await core.submit_graph({"version": 1, "jobs": {"a": ECHO}})
    ours = await lab.end(core, graph["jobs"]["a"]["id"])
    async with Stream(core, method, f"after=0&graph={graph['id']}") as stream:
        assert (await stream.event())["job"] == ours["id"]
    async with Stream(core, method, f"after=0&job={other['id']}") as stream:
        kinds = []
        while not kinds or kinds[-1] != "job.succeeded":
            event = await stream.event()
            assert event["job"] == other["id"]
            kinds.append(event["type"])
        assert kinds[0] == "job.queued"


@BOTH
async def test_events_of_another_owner_are_not_seen(core: Core, lab: Any, method: str) -> None:
    start = core.last_event()
    await lab.run(core, "echo", owner="somebody", inputs={"text": "theirs"})
    mine = await lab.run(core, "echo", inputs={"text": "mine"})
    async with Stream(core, method, f"after={start}") as stream:
        assert (await stream.event())["job"] == mine["id"]


async def test_a_browser_resumes_by_itself(core: Core, lab: Any) -> None:
    await lab.run(core, "echo", inputs={"text": "x"})
    last = core.last_event()
    async with Stream(core, query="after=0", last_event_id=str(last - 1)) as stream:
        head = await stream.next()
        assert (b"content-type", b"text/event-stream; charset=utf-8") in head["headers"]
        assert (await stream.next())["body"] == b"id: %d\n\n" % (last - 1)
        assert (await stream.event())["seq"] == last


@BOTH
async def test_a_client_that_does_not_read_is_dropped_and_delays_nobody(
    core: Core, lab: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(server, "EVENT_SECONDS", 0.05)
    async with Stream(core, method) as stuck, Stream(core, method) as reader:
        await stuck.next()
        await reader.next()
        stuck.is_stuck = True
        job = await lab.run(core, "echo", inputs={"text": "x"})
        assert (await reader.event())["job"] == job["id"]
        async with asyncio.timeout(WAIT_SECONDS):
            await stuck.running
        if method == "WEBSOCKET":
            assert (await stuck.next())["code"] == 1013


@BOTH
async def test_a_client_that_leaves_is_forgotten(core: Core, method: str) -> None:
    before = core.counters()["event_clients"]
    async with Stream(core, method) as stream:
        await stream.next()
        await asyncio.sleep(0)
    assert core.counters()["event_clients"] == before


async def test_a_silent_stream_is_kept_alive(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "EVENT_SECONDS", 0.01)
    async with Stream(core) as stream:
        assert [(await stream.next()).get("body") for _ in range(3)][2] == b":\n\n"


@BOTH
async def test_streams_end_when_the_server_stops(lab: Any, method: str) -> None:
    async with lab.open() as core, Stream(core, method) as stream, Stream(core, method) as late:
        await stream.next()
        core.end_waits()
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.gather(stream.running, late.running)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "unknown=1"])
async def test_wrong_event_queries_are_refused(core: Core, http: httpx.AsyncClient, query: str) -> None:
    refused(await http.get(f"/v1/events?{query}"), 400, "bad_request")
    async with Stream(core, "WEBSOCKET", query) as stream:
        assert (await stream.next())["status"] == 400
        assert json.loads((await stream.next())["body"])["error"]["code"] == "bad_request"


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
async def test_sockets_of_other_sites_are_refused(core: Core, headers: dict[str, str]) -> None:
    async with Stream(core, "WEBSOCKET", **headers) as stream:
        assert (await stream.next())["status"] == 403
        assert json.loads((await stream.next())["body"])["error"]["code"] == "not_allowed"
