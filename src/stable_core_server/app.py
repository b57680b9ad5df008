"""The HTTP API: which route is which method of the core, and what only HTTP has: files, streams. It decides nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import gc
import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stable_core.config import Config
from stable_core.core import Core
from stable_core.errors import BadRequest, Conflict, InvalidInput, NotFound, StableCoreError
from stable_core.graphs import JobRequest
from stable_core.sdk.artifacts import suffix_of
from stable_core_server import shapes
from stable_core_server.operations import Operation, checked, docs_page, make_routes, openapi_document
from stable_core_server.security import Gate, check_bind, refusal

EVENT_SECONDS = 15.0
"""How often a silent event stream is kept alive, and how long one message may take before the client is dropped."""

WEB_FOLDER = Path(__file__).parent / "web"
SHOWN_IN_BROWSER = re.compile(r"image/(png|jpeg|webp|gif|avif)|(audio|video)/[\w.+-]+|text/plain|application/json")
KEY = {"Idempotency-Key": "the same key with the same body returns the same, for as long as events are kept"}
DIGEST = {"Content-Digest": "`sha-256=:BASE64:`; an upload with another hash is refused"}
LAST_EVENT = {"Last-Event-ID": "resume after this number, as browsers do by themselves"}

LOG_FILE = "server.log"
LOG_CHARACTERS = 100_000

Event = dict[str, Any]
Values = dict[str, Any]

OPERATIONS: list[Operation] = []
"""They are tried in this order, so what is asked for most often comes first."""


def operation(method: str, path: str, returns: Any, **declared: Any) -> Callable[[Callable[..., Any]], Any]:
    """Serve a function, or a method of the core, at a path and describe it in the OpenAPI document."""

    def add(call: Any) -> Any:
        OPERATIONS.append(Operation(method, path, call, returns=returns, **declared))
        return call

    return add


# -- jobs --------------------------------------------------------------------------------------------------------------


operation(
    "POST", "/v1/jobs", shapes.Job, query=shapes.WaitQuery, body=JobRequest, status=201, errors=(404, 409, 413, 422),
    headers=KEY,
)(Core.submit)  # fmt: skip
operation(
    "POST", "/v1/graphs", shapes.Graph, body=shapes.GraphRequest, status=201, errors=(404, 409, 413, 422), headers=KEY
)(Core.submit_graph)
operation("GET", "/v1/jobs", list[shapes.Job], query=shapes.JobsQuery)(Core.list_jobs)


@operation("GET", "/v1/jobs/{id}", shapes.Job, query=shapes.WaitQuery, errors=(404,))
async def get_job(core: Core, job_id: str, wait: float, owner: str) -> Any:
    """Return one job; with `wait`, when it has finished or after that many seconds."""
    job = core.get_job(job_id, owner)
    return await core.wait(job_id, wait) if wait else job


operation("POST", "/v1/jobs/{id}/cancel", shapes.Job, errors=(404,))(Core.cancel)
operation("POST", "/v1/jobs/{id}/interrupt", shapes.Job, query=shapes.InterruptQuery, errors=(404,))(Core.interrupt)
operation("POST", "/v1/jobs/{id}/retry", shapes.Job, errors=(404, 409))(Core.retry)
operation("GET", "/v1/jobs/{id}/log", "text/plain", errors=(404,))(Core.log)


@operation("POST", "/v1/jobs/cancel", shapes.Cancelled, body=shapes.CancelRequest)
async def cancel_jobs(core: Core, body: Any, owner: str) -> Any:
    """Cancel many jobs at once: all, or those of one state, job or graph."""
    wanted = msgspec.structs.asdict(checked(shapes.CancelRequest, body, "body"))
    return {"cancelled": await core.cancel_all(**wanted, owner=owner)}


@operation("POST", "/v1/jobs/priorities", list[shapes.Job], body=shapes.PriorityRequest, errors=(404,))
async def set_priorities(core: Core, body: Any, owner: str) -> Any:
    """Change the order of jobs that have not begun, all at once; those that have go on as they are."""
    return await core.prioritise(checked(shapes.PriorityRequest, body, "body").priorities, owner)


# -- artifacts ---------------------------------------------------------------------------------------------------------


@operation(
    "POST", "/v1/artifacts", shapes.Artifact, query=shapes.UploadQuery, body="*/*", status=201, errors=(413, 422),
    headers=DIGEST,
)  # fmt: skip
async def upload_artifact(core: Core, filename: str, http: Request, owner: str) -> Any:
    """Store the body; its Content-Type says what it is. A cut-off upload leaves nothing."""
    digest = http.headers.get("content-digest", "")  # RFC 9530
    sha256 = re.search(r"sha-256=:([A-Za-z0-9+/]{43}=):", digest)
    if digest and not sha256:
        raise InvalidInput("Content-Digest has no SHA-256.", "Send `Content-Digest: sha-256=:BASE64:`.")
    return await core.store_artifact(
        http.stream(),
        owner,
        media_type=http.headers.get("content-type"),
        filename=filename,
        sha256=base64.b64decode(sha256[1]).hex() if sha256 else None,
    )


@operation("GET", "/v1/artifacts/{id}", "*/*", errors=(404,))
def get_artifact(core: Core, artifact_id: str, http: Request) -> Response:
    """Return the bytes of an artifact; they never change, so any cache may keep them. Ranges are served."""
    found = core.artifact(artifact_id)
    headers = {
        "ETag": f'"{artifact_id}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
        "Cross-Origin-Resource-Policy": "same-site",
    }
    known = http.headers.get("if-none-match", "")
    if known == "*" or headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    _check_range(http, found["size"])
    media_type = found["media_type"]
    shown = "inline" if SHOWN_IN_BROWSER.fullmatch(media_type.partition(";")[0]) else "attachment"
    name = Path(found.get("filename") or artifact_id[:16] + suffix_of(media_type)).name
    path = core.artifact_path(artifact_id)
    return FileResponse(path, 200, headers, media_type, filename=name, content_disposition_type=shown)


def _check_range(request: Request, size: int) -> None:
    """Refuse a range past the end; all but one well-formed range is ignored, as RFC 9110 allows."""
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)|bytes=-(\d+)", request.headers.get("range", ""))
    start, end, suffix = wanted.groups() if wanted else ("", "", "")
    if (start and int(start) >= size) or (suffix and int(suffix) == 0):
        raise HTTPException(416, "The range is past the end.", {"Content-Range": f"bytes */{size}"})
    if not wanted or (end and int(end) < int(start)):
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]


operation("GET", "/v1/artifacts/{id}/meta", shapes.Artifact, errors=(404,))(Core.artifact)
operation("DELETE", "/v1/artifacts/{id}", shapes.Artifact, errors=(404, 409))(Core.delete_artifact)

# -- what can run ------------------------------------------------------------------------------------------------------

operation("GET", "/v1/plugins", list[shapes.Plugin])(Core.plugins)
operation("POST", "/v1/plugins/{name}/restart", list[shapes.Host], errors=(404,))(Core.restart)
operation("GET", "/v1/signatures", list[shapes.Signature])(Core.signatures)
operation("GET", "/v1/signatures/{name}", shapes.Signature, errors=(404,))(Core.signature)
operation("POST", "/v1/signatures/{name}/check", Values, body=Values, errors=(404, 413, 422))(Core.check_params)


@operation("GET", "/v1/models/{kind}", list[str], errors=(404,))
def list_models(core: Core, kind: str) -> list[str]:
    """List the names of the model files of one kind, for a picker."""
    if not kind.isidentifier() or len(kind) > 64:
        raise NotFound(f"{kind[:64]!r} is no kind of model.", "Kinds are named by signatures, for example checkpoints.")
    return core.model_names(kind)


# -- settings, hosts, numbers ------------------------------------------------------------------------------------------

PLUGIN_SETTINGS = "/v1/plugins/{name}/settings"
operation("GET", "/v1/settings", shapes.Settings)(Core.settings)
operation("PUT", "/v1/settings", shapes.Settings, body=Values, errors=(413, 422))(Core.update_settings)
operation("GET", PLUGIN_SETTINGS, shapes.Settings, errors=(404,))(Core.plugin_settings)
operation("PUT", PLUGIN_SETTINGS, shapes.Settings, body=Values, errors=(404, 413, 422))(Core.update_plugin_settings)
operation("GET", "/v1/user-data", Values)(Core.user_data)
operation("PUT", "/v1/user-data", Values, body=Values, errors=(413,))(Core.update_user_data)
operation("GET", "/v1/hosts", list[shapes.Host])(Core.hosts)


@operation("GET", "/healthz", shapes.Health, errors=(503,))
def health(core: Core) -> Any:
    """Tell whether jobs can run; 503 when they cannot."""
    found = core.health()
    status = 200 if found["status"] == "ok" else 503
    return Response(msgspec.json.encode(found), status, media_type="application/json")


@operation("GET", "/v1/log", "text/plain")
def server_log(core: Core) -> str:
    """Return the end of the server's log: environments, workers, jobs that failed, its own mistakes."""
    path = core.home / LOG_FILE
    return path.read_text("utf-8", "replace")[-LOG_CHARACTERS:] if path.is_file() else ""


@operation("GET", "/metrics", "text/plain")
def metrics(core: Core) -> Response:
    """Return the counters in Prometheus text format."""
    lines = []
    for name, value in core.counters().items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines.append(f"# TYPE stable_core_{name} {kind}\nstable_core_{name} {value}\n")
    return PlainTextResponse("".join(lines), media_type="text/plain; version=0.0.4")


# -- events ------------------------------------------------------------------------------------------------------------


@operation("GET", "/v1/events", "text/event-stream", query=shapes.EventsQuery, headers=LAST_EVENT)
def stream_events(core: Core, http: Request, owner: str, after: int | None, **equal: str | None) -> ASGIApp:
    """Stream events as Server-Sent Events, or one JSON message each over a WebSocket at the same path.

    Nothing is lost: resume with `after` and the `seq` of the last event. A client that does not read is dropped.
    """
    last = http.headers.get("last-event-id", "")
    start = int(last) if last.isdecimal() else core.last_event() if after is None else after
    return functools.partial(_send_events, start, core.events(start, owner=owner, **equal))


async def _send_events(start: int, events: AsyncIterator[Event], scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with Server-Sent Events until the client leaves, is too slow, or the server stops."""

    async def send_text(text: bytes, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": text, "more_body": more})

    async def send_event(event: Event) -> None:
        await send_text(b"id: %d\ndata: %s\n\n" % (event["seq"], msgspec.json.encode(event)))

    async def keep_alive() -> None:
        while True:
            await asyncio.sleep(EVENT_SECONDS)
            await send_text(b":\n\n")

    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send_text(b"id: %d\n\n" % start)
    await first_of(send_all(events, send_event), wait_for_end(receive), keep_alive())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await send_text(b"", more=False)


async def events_socket(socket: WebSocket) -> None:
    """Stream events over a WebSocket, one JSON message each."""
    core: Core = socket.app.state.core
    try:
        query = checked(shapes.EventsQuery, dict(socket.query_params), "query")
    except BadRequest as error:
        await socket.send_denial_response(refusal(error.status, error.code(), error.message, error.hint))
        return
    start = core.last_event() if query.after is None else query.after  # now: who submits next must not miss its job
    await socket.accept()

    async def send_event(event: Event) -> None:
        await socket.send({"type": "websocket.send", "text": msgspec.json.encode(event).decode()})

    events = core.events(start, job=query.job, graph=query.graph, owner=socket.state.owner)
    if await first_of(send_all(events, send_event), wait_for_end(socket.receive)):
        with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
            async with asyncio.timeout(1):
                await socket.close(1013, "too slow, or the server stops; resume with after=SEQ")


async def send_all(events: AsyncIterator[Event], send_event: Callable[[Event], Awaitable[None]]) -> bool:
    """Send every event; return when the core ends the stream, the client has left or is too slow for one message."""
    with contextlib.suppress(TimeoutError, OSError, WebSocketDisconnect):
        async with asyncio.timeout(None) as patience:
            async for event in events:
                patience.reschedule(asyncio.get_running_loop().time() + EVENT_SECONDS)
                await send_event(event)
                patience.reschedule(None)
    return True


async def wait_for_end(receive: Callable[[], Awaitable[Message]]) -> None:
    """Return when the client has gone; what it sends is ignored."""
    while not (await receive())["type"].endswith(".disconnect"):
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
    return Response(msgspec.json.encode(openapi_document(OPERATIONS)), media_type="application/json")


async def docs(request: Request) -> Response:
    """Return the OpenAPI document as a page to read."""
    return HTMLResponse(docs_page(openapi_document(OPERATIONS)))


async def front_page(request: Request) -> Response:
    """Return the web client, which finds its way by what is behind the # of its address; where it is missing, docs."""
    page = WEB_FOLDER / "index.html"
    return FileResponse(page, headers={"Cache-Control": "no-cache"}) if page.is_file() else await docs(request)


async def refuse(request: Request, error: Exception) -> Response:
    """Answer with what went wrong; tracebacks stay in the job or in the server's output."""
    if isinstance(error, StableCoreError):
        return refusal(error.status, error.code(), error.message, error.hint)
    if isinstance(error, HTTPException):
        code = "not_found" if error.status_code == 404 else "bad_request"
        return refusal(error.status_code, code, str(error.detail), "See /docs.", error.headers)
    return refusal(500, "internal", "The server made a mistake.", "Its output says more.")


# -- serving -----------------------------------------------------------------------------------------------------------


def make_app(core: Core, host: str = "127.0.0.1", token: str = "") -> Starlette:
    """Return the ASGI application for a core."""
    routes: list[Any] = make_routes(OPERATIONS)
    routes += [Route("/openapi.json", openapi_json), Route("/docs", docs), WebSocketRoute("/v1/events", events_socket)]
    routes += [Route("/", front_page), Mount("/assets", StaticFiles(directory=WEB_FOLDER / "assets", check_dir=False))]
    handlers: Any = dict.fromkeys((StableCoreError, HTTPException, ClientDisconnect, Exception), refuse)
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.add_middleware(Gate, host=host, token=token)
    app.state.core = core
    return app


class GatheringTransport:
    """A connection that writes once per turn of the event loop, because each write costs more than all of an answer."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write this before the next turn."""
        if not self._pieces:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Write what there is, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            self._transport.write(b"".join(self._pieces))
            self._pieces.clear()


class HttpProtocol(HttpToolsProtocol):
    """HTTP, and the WebSockets it turns into, over a transport that gathers."""

    def connection_made(self, transport: Any) -> None:
        """Take a new connection."""
        super().connection_made(GatheringTransport(transport))  # type: ignore[arg-type]


class Server(uvicorn.Server):
    """A uvicorn server that ends streams and waits when it stops, and stops without dying of the signal."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams and waits, then the connections."""
        self.config.app.state.core.end_waits()  # type: ignore[union-attr]
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
        make_app(core, host, token), http=HttpProtocol, log_level="warning", access_log=False, server_header=False,
        lifespan="off", timeout_graceful_shutdown=2, timeout_keep_alive=60, ws_ping_interval=EVENT_SECONDS,
        ws_per_message_deflate=False, proxy_headers=False,
    )  # fmt: skip

    _keep_log(config.home / LOG_FILE)

    async def run() -> None:
        async with core:
            with _listen(host, port) as listening:
                server = Server(options)
                url = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
                logging.getLogger("stable_core").info("Serving at %s", url)
                gc.freeze()  # what is there stays, and looking at it again and again costs time
                gc.set_threshold(20_000, 20, 20)
                with serving(server, url):
                    await server.serve(sockets=[listening])

    with asyncio.Runner(loop_factory=options.get_loop_factory()) as runner:
        runner.run(run())


def _keep_log(path: Path) -> None:
    """Write what the core and uvicorn log to a file, and no longer to that of an earlier server of this process."""
    handler = RotatingFileHandler(path, maxBytes=10 * LOG_CHARACTERS, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("stable_core").setLevel(logging.INFO)
    for name in ("stable_core", "uvicorn.error"):
        logging.getLogger(name).handlers = [handler]


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
