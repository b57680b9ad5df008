"""The HTTP API: every route reads a request, asks the core and writes the answer. It decides nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from stable_core import __version__
from stable_core import server_shapes as shapes
from stable_core.config import Config
from stable_core.core import Core
from stable_core.errors import BadRequest, Conflict, InvalidInput, NotFound, StableCoreError, TooLarge
from stable_core.graphs import JobRequest
from stable_core.server_openapi import (
    Operation,
    docs_page,
    html_page,
    make_routes,
    openapi_document,
    read_json,
    read_query,
)
from stable_core.server_security import Gate, check_bind

EVENT_SECONDS = 15.0
"""How often a silent event stream is kept alive, and how long one message may take before the client is dropped."""

WEB_FOLDER = Path(__file__).parent / "web"
SHOWN_IN_BROWSER = re.compile(r"image/(png|jpeg|webp|gif|avif)|(audio|video)/[\w.+-]+|text/plain|application/json")
KEY_HEADER = ("Idempotency-Key", "the same key with the same body returns the same job, for as long as events are kept")

Event = dict[str, Any]

OPERATIONS: list[Operation] = []


def operation(method: str, path: str, **declared: Any) -> Callable[[Any], Any]:
    """Serve a function at a path and describe it in the OpenAPI document."""

    def add(endpoint: Any) -> Any:
        OPERATIONS.append(Operation(method, path, endpoint, **declared))
        return endpoint

    return add


def answer(value: Any, status: int = 200) -> Response:
    """Return `value` as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def core_of(connection: HTTPConnection) -> Core:
    """Return the core behind this server."""
    core: Core = connection.app.state.core
    return core


def owner_of(connection: HTTPConnection) -> str:
    """Return whose request this is."""
    owner: str = connection.scope["state"]["owner"]
    return owner


# -- what can run ------------------------------------------------------------------------------------------------------


@operation("GET", "/healthz", returns=shapes.Health, errors=(503,))
async def health(request: Request) -> Response:
    """Tell whether jobs can run; 503 when they cannot."""
    found = core_of(request).health()
    return answer(found, 200 if found["status"] == "ok" else 503)


@operation("GET", "/v1/plugins", returns=list[shapes.Plugin])
async def list_plugins(request: Request) -> Response:
    """List the plugins that were found, broken ones too."""
    return answer(await core_of(request).plugins())


@operation("GET", "/v1/signatures", returns=list[shapes.Signature])
async def list_signatures(request: Request) -> Response:
    """List everything that can run."""
    return answer(await core_of(request).signatures())


@operation("GET", "/v1/signatures/{name}", returns=shapes.Signature, errors=(404,))
async def get_signature(request: Request) -> Response:
    """Describe one signature: its ports and its knobs."""
    return answer(await core_of(request).signature(request.path_params["name"]))


@operation("GET", "/v1/models/{kind}", returns=list[str], errors=(404,))
async def list_models(request: Request) -> Response:
    """List the names of the model files of one kind, for a picker."""
    kind = request.path_params["kind"]
    if not kind.isidentifier() or len(kind) > 64:
        raise NotFound(f"{kind[:64]!r} is no kind of model.", "Kinds are named by signatures, for example checkpoints.")
    return answer(core_of(request).model_names(kind))


# -- jobs --------------------------------------------------------------------------------------------------------------


@operation(
    "POST", "/v1/jobs", query=shapes.WaitQuery, body=JobRequest, returns=shapes.Job, status=201,
    errors=(404, 409, 413, 422), headers=(KEY_HEADER,),
)  # fmt: skip
async def submit_job(request: Request) -> Response:
    """Submit a job; it is on disk before the answer.

    With `wait` the answer comes when the job has finished, or after that many seconds with the job as it is then.
    """
    seconds = read_query(request, shapes.WaitQuery).wait if request.scope["query_string"] else 0
    core = core_of(request)
    job = await core.submit(
        await read_json(request, Any), owner=owner_of(request), idempotency_key=_idempotency_key(request)
    )
    return answer(await wait_for_job(request, job["id"], seconds) if seconds else job, 201)


@operation(
    "POST", "/v1/graphs", body=shapes.GraphRequest, returns=shapes.Graph, status=201,
    errors=(404, 409, 413, 422), headers=(KEY_HEADER,),
)  # fmt: skip
async def submit_graph(request: Request) -> Response:
    """Submit a graph document: all of its jobs or none."""
    document = await read_json(request, Any)
    key = _idempotency_key(request)
    return answer(await core_of(request).submit_graph(document, owner=owner_of(request), idempotency_key=key), 201)


@operation("GET", "/v1/jobs", query=shapes.JobsQuery, returns=list[shapes.Job])
async def list_jobs(request: Request) -> Response:
    """List jobs, newest first."""
    query = read_query(request, shapes.JobsQuery)
    return answer(core_of(request).list_jobs(**msgspec.structs.asdict(query), owner=owner_of(request)))


@operation("GET", "/v1/jobs/{id}", query=shapes.WaitQuery, returns=shapes.Job, errors=(404,))
async def get_job(request: Request) -> Response:
    """Return one job; with `wait`, when it has finished or after that many seconds."""
    core, job_id = core_of(request), request.path_params["id"]
    job = core.get_job(job_id, owner=owner_of(request))
    if request.scope["query_string"] and (seconds := read_query(request, shapes.WaitQuery).wait):
        job = await wait_for_job(request, job_id, seconds)
    return answer(job)


@operation("POST", "/v1/jobs/{id}/cancel", returns=shapes.Job, errors=(404,))
async def cancel_job(request: Request) -> Response:
    """Cancel one job; a finished one stays as it is."""
    return answer(await core_of(request).cancel(request.path_params["id"], owner=owner_of(request)))


@operation("POST", "/v1/jobs/{id}/retry", returns=shapes.Job, errors=(404, 409))
async def retry_job(request: Request) -> Response:
    """Run a failed or cancelled job again; one that is queued or running stays as it is."""
    return answer(await core_of(request).retry(request.path_params["id"], owner=owner_of(request)))


@operation("GET", "/v1/jobs/{id}/log", returns="text/plain", errors=(404,))
async def get_log(request: Request) -> Response:
    """Return what the plugin printed while the job ran."""
    core, job_id = core_of(request), request.path_params["id"]
    core.get_job(job_id, owner=owner_of(request))
    return PlainTextResponse(core.log(job_id), headers={"X-Content-Type-Options": "nosniff"})


@operation("POST", "/v1/jobs/cancel", body=shapes.CancelRequest, returns=shapes.Cancelled)
async def cancel_jobs(request: Request) -> Response:
    """Cancel many jobs at once: all, or those of one state or graph."""
    wanted = await read_json(request, shapes.CancelRequest)
    cancelled = await core_of(request).cancel_all(**msgspec.structs.asdict(wanted), owner=owner_of(request))
    return answer({"cancelled": cancelled})


async def wait_for_job(request: Request, job_id: str, seconds: float) -> dict[str, Any]:
    """Return the job when it has finished, or as it is after `seconds` or when the server stops."""
    core, waiting = core_of(request), request.app.state.waiting
    turn = asyncio.current_task()
    assert turn is not None
    waiting.add(turn)
    try:
        return await core.wait(job_id, seconds)
    except asyncio.CancelledError:
        if not request.app.state.stopping.is_set():
            raise
        turn.uncancel()
        return core.get_job(job_id)
    finally:
        waiting.discard(turn)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= 255:
        raise BadRequest("An Idempotency-Key has 1 to 255 characters.", "A random UUID is a good one.")
    return key


# -- artifacts ---------------------------------------------------------------------------------------------------------


@operation(
    "POST", "/v1/artifacts", query=shapes.UploadQuery, body="*/*", returns=shapes.Artifact, status=201,
    errors=(413, 422),
    headers=(("Content-Digest", "`sha-256=:BASE64:`; an upload with another hash is refused"),),
)  # fmt: skip
async def upload_artifact(request: Request) -> Response:
    """Store the body; its Content-Type says what it is. A cut-off upload leaves nothing."""
    core = core_of(request)
    limit = core.config.settings.upload_limit_mb * 2**20
    if int(request.headers.get("content-length", 0)) > limit:
        raise TooLarge(f"The upload is over {limit >> 20} MiB.", "Raise upload_limit_mb in the settings.")
    stored = await core.store_artifact(
        request.stream(),
        media_type=request.headers.get("content-type"),
        filename=read_query(request, shapes.UploadQuery).filename,
        sha256=_digest(request.headers.get("content-digest")),
        owner=owner_of(request),
    )
    return answer(stored, 201)


@operation("GET", "/v1/artifacts/{id}", returns="*/*", errors=(404,))
async def get_artifact(request: Request) -> Response:
    """Return the bytes of an artifact; they never change, so any cache may keep them. Ranges are served."""
    core, artifact_id = core_of(request), request.path_params["id"]
    found = core.artifact(artifact_id)
    headers = {
        "ETag": f'"{artifact_id}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
        "Cross-Origin-Resource-Policy": "same-site",
    }
    known = request.headers.get("if-none-match", "")
    if known == "*" or headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    _check_range(request, found["size"])
    media_type = found["media_type"]
    shown = "inline" if SHOWN_IN_BROWSER.fullmatch(media_type.partition(";")[0]) else "attachment"
    name = Path(found.get("filename") or artifact_id[:16]).name
    path = core.artifact_path(artifact_id)
    return FileResponse(path, 200, headers, media_type, filename=name, content_disposition_type=shown)


@operation("GET", "/v1/artifacts/{id}/meta", returns=shapes.Artifact, errors=(404,))
async def get_artifact_meta(request: Request) -> Response:
    """Describe an artifact: type, size, and the job that made it."""
    return answer(core_of(request).artifact(request.path_params["id"]))


def _check_range(request: Request, size: int) -> None:
    """Refuse a range past the end; all but one well-formed range is ignored, as RFC 9110 allows."""
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)|bytes=-(\d+)", request.headers.get("range", ""))
    start, end, suffix = wanted.groups() if wanted else ("", "", "")
    if (start and int(start) >= size) or (suffix and int(suffix) == 0):
        raise HTTPException(416, "The range is past the end.", {"Content-Range": f"bytes */{size}"})
    if not wanted or (end and int(end) < int(start)):
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]


def _digest(header: str | None) -> str | None:
    """Return the SHA-256 of a Content-Digest header (RFC 9530) in hexadecimal."""
    if header is None:
        return None
    found = re.search(r"sha-256=:([A-Za-z0-9+/]{43}=):", header)
    if found is None:
        raise InvalidInput("Content-Digest has no SHA-256.", "Send `Content-Digest: sha-256=:BASE64:`.")
    return base64.b64decode(found[1]).hex()


# -- settings, hosts, numbers ------------------------------------------------------------------------------------------


@operation("GET", "/v1/settings", returns=shapes.Settings)
async def get_settings(request: Request) -> Response:
    """Return the settings and their JSON Schema."""
    return answer(core_of(request).settings())


@operation("PUT", "/v1/settings", body=dict[str, Any], returns=shapes.Settings, errors=(413, 422))
async def put_settings(request: Request) -> Response:
    """Change the settings named in the body; the others stay."""
    core = core_of(request)
    core.update_settings(await read_json(request, dict[str, Any]))
    return answer(core.settings())


@operation("GET", "/v1/plugins/{name}/settings", returns=shapes.Settings, errors=(404,))
async def get_plugin_settings(request: Request) -> Response:
    """Return a plugin's settings and their JSON Schema."""
    return answer(await core_of(request).plugin_settings(request.path_params["name"]))


@operation("PUT", "/v1/plugins/{name}/settings", body=dict[str, Any], returns=shapes.Settings, errors=(404, 413, 422))
async def put_plugin_settings(request: Request) -> Response:
    """Change the plugin settings named in the body; the others stay."""
    core, name = core_of(request), request.path_params["name"]
    await core.update_plugin_settings(name, await read_json(request, dict[str, Any]))
    return answer(await core.plugin_settings(name))


@operation("GET", "/v1/hosts", returns=list[shapes.Host])
async def list_hosts(request: Request) -> Response:
    """List the machines that run workers."""
    return answer(core_of(request).hosts())


@operation("GET", "/metrics", returns="text/plain")
async def metrics(request: Request) -> Response:
    """Return the counters in Prometheus text format."""
    lines = []
    for name, value in core_of(request).counters().items():
        bare = name.partition("{")[0]
        kind = "counter" if bare.endswith("_total") else "gauge"
        if (typed := f"# TYPE stable_core_{bare} {kind}") not in lines:
            lines.append(typed)
        lines.append(f"stable_core_{name} {value}")
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


# -- events ------------------------------------------------------------------------------------------------------------


@operation(
    "GET", "/v1/events", query=shapes.EventsQuery, returns="text/event-stream", errors=(),
    headers=(("Last-Event-ID", "resume after this number, as browsers do by themselves"),),
)  # fmt: skip
async def stream_events(request: Request) -> Response:
    """Stream events as Server-Sent Events, or one JSON message each over a WebSocket at the same path.

    Nothing is lost: resume with `after` and the `seq` of the last event. A client that does not read is dropped.
    """
    query = read_query(request, shapes.EventsQuery)
    last = request.headers.get("last-event-id", "")
    if last.isdecimal():
        query.after = int(last)
    return _EventStream(core_of(request), query, owner_of(request), request.app.state.stopping)


class _EventStream(Response):
    """The Server-Sent Events of one client."""

    def __init__(self, core: Core, query: shapes.EventsQuery, owner: str, stopping: asyncio.Event) -> None:
        self.start = core.last_event() if query.after is None else query.after
        self.events = core.events(self.start, job=query.job, graph=query.graph, owner=owner)
        self.stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client leaves, is too slow, or the server stops."""

        async def send_text(text: bytes) -> None:
            await send({"type": "http.response.body", "body": text, "more_body": True})

        async def send_event(event: dict[str, Any]) -> None:
            await send_text(b"id: %d\ndata: %s\n\n" % (event["seq"], msgspec.json.encode(event)))

        async def keep_alive() -> None:
            while True:
                await asyncio.sleep(EVENT_SECONDS)
                await send_text(b":\n\n")

        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send_text(b"id: %d\n\n" % self.start)
        gone = wait_for_end(receive, "http.disconnect")
        await first_of(send_all(self.events, send_event), gone, self.stopping.wait(), keep_alive())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await send({"type": "http.response.body", "body": b""})


async def events_socket(socket: WebSocket) -> None:
    """Stream events over a WebSocket, one JSON message each."""
    try:
        query = msgspec.convert(dict(socket.query_params), shapes.EventsQuery, strict=False)
    except msgspec.ValidationError as error:
        await socket.close(1008, str(error)[:120])
        return
    if query.after is None:
        query.after = core_of(socket).last_event()  # before accepting: a client that submits next must not miss its job
    await socket.accept()

    async def send_event(event: dict[str, Any]) -> None:
        await socket.send({"type": "websocket.send", "text": msgspec.json.encode(event).decode()})

    events = core_of(socket).events(query.after, job=query.job, graph=query.graph, owner=owner_of(socket))
    was_slow = await first_of(send_all(events, send_event), wait_for_end(socket.receive, "websocket.disconnect"))
    if was_slow and not socket.app.state.stopping.is_set():
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(1):
                await socket.close(1013, "too slow; resume with after=SEQ")


async def send_all(events: AsyncIterator[Event], send_event: Callable[[Event], Awaitable[None]]) -> bool:
    """Send every event; return when the core ends the stream, the client has left or is too slow for one message."""
    with contextlib.suppress(TimeoutError, OSError, WebSocketDisconnect):
        async for event in events:
            async with asyncio.timeout(EVENT_SECONDS):
                await send_event(event)
    return True


async def wait_for_end(receive: Callable[[], Awaitable[Message]], kind: str) -> None:
    """Return when the client has gone; what it sends is ignored."""
    while (await receive())["type"] != kind:
        pass


async def first_of(*awaitables: Awaitable[Any]) -> Any:
    """Run all at the same time, return the result of the first to end and stop the others."""
    running = [asyncio.ensure_future(one) for one in awaitables]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


# -- pages and errors --------------------------------------------------------------------------------------------------


async def openapi_json(request: Request) -> Response:
    """Return the OpenAPI document."""
    return answer(openapi_document(OPERATIONS))


async def docs(request: Request) -> Response:
    """Return the OpenAPI document as a page to read."""
    return HTMLResponse(docs_page(openapi_document(OPERATIONS)))


async def front_page(request: Request) -> Response:
    """Say what this is."""
    body = (
        f"<p>stable-core {__version__} is running. It runs jobs of AI plugins for any client.</p>"
        '<ul><li><a href="/docs">The HTTP API</a><li><a href="/v1/signatures">What can run</a>'
        '<li><a href="/v1/jobs">The last jobs</a><li><a href="/healthz">Health</a></ul>'
    )
    return HTMLResponse(html_page("stable-core", body))


async def refuse(request: Request, error: Exception) -> Response:
    """Answer with what went wrong; tracebacks stay in the job or in the server's output."""
    code, message, hint, status, headers = "internal", "The server made a mistake.", "Its output says more.", 500, None
    if isinstance(error, StableCoreError):
        code, message, hint, status = error.code(), error.message, error.hint, error.status
    elif isinstance(error, HTTPException):
        code = "not_found" if error.status_code == 404 else "bad_request"
        message, hint, status, headers = str(error.detail), "See /docs.", error.status_code, error.headers
    elif isinstance(error, ClientDisconnect):  # nobody reads this
        code, message, hint, status = "bad_request", "The request was cut off.", "", 400
    content = msgspec.json.encode({"error": {"code": code, "message": message, "hint": hint}})
    return Response(content, status, headers, media_type="application/json")


# -- serving -----------------------------------------------------------------------------------------------------------


def make_app(core: Core, host: str = "127.0.0.1", token: str = "") -> Starlette:
    """Return the ASGI application for a started core."""
    routes: list[Any] = make_routes(OPERATIONS)
    routes += [Route("/openapi.json", openapi_json), Route("/docs", docs), WebSocketRoute("/v1/events", events_socket)]
    has_web = WEB_FOLDER.is_dir()
    routes.append(Mount("/", StaticFiles(directory=WEB_FOLDER, html=True)) if has_web else Route("/", front_page))
    app = Starlette(
        routes=routes,
        exception_handlers=dict.fromkeys((StableCoreError, HTTPException, ClientDisconnect, Exception), refuse),
    )
    app.add_middleware(Gate, host=host, token=token)
    app.state.core = core
    app.state.stopping = asyncio.Event()
    app.state.waiting = set()
    return app


class Server(uvicorn.Server):
    """A uvicorn server that ends streams and waits when it stops, and stops without dying of the signal."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams and waits, then the connections."""
        state = self.config.app.state  # type: ignore[union-attr]
        state.stopping.set()
        for waiting in state.waiting:
            waiting.cancel()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM; unlike uvicorn, do not raise them again, so that the core is stopped in order."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def run_server(
    config: Config, host: str, port: int, token: str, serving: Callable[[Server, str], AbstractContextManager[None]]
) -> None:
    """Run the core and the server of a home folder until a signal comes or the server's `should_exit` is set.

    Args:
        token: what clients must send; with an empty one nothing.
        serving: is given the server and its URL, and entered for as long as requests are answered.

    Raises:
        ConfigError: `host` can be reached from other machines and there is no token.
        Conflict: another core uses this home, or the port is taken.
    """
    check_bind(host, token)
    core = Core(config.home, config)
    options = uvicorn.Config(
        make_app(core, host, token), log_level="warning", access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=2, timeout_keep_alive=60, ws_ping_interval=EVENT_SECONDS,
        ws_per_message_deflate=False, proxy_headers=False,
    )  # fmt: skip

    async def run() -> None:
        async with core:
            with _listen(host, port) as listening:
                server = Server(options)
                url = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
                with serving(server, url):
                    await server.serve(sockets=[listening])

    with asyncio.Runner(loop_factory=options.get_loop_factory()) as runner:
        runner.run(run())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        hint = "Use another --port or stop what uses it."
        raise Conflict(f"Cannot listen on {host}:{port}: {error.strerror}", hint) from None
    # Inherited by every connection. asyncio, unlike uvloop, does not set it for sockets made elsewhere, and an answer
    # of head and body would then wait 40 ms for the client's acknowledgement in between.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
