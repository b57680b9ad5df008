"""One declaration per route: it calls what answers, and draws it in the OpenAPI document. No route is here."""

from __future__ import annotations

import functools
import html
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from stable_core import __version__
from stable_core.errors import BadRequest, TooLarge, error_classes
from stable_core_server.shapes import ErrorAnswer, Event

Json = dict[str, Any]
Shape = TypeVar("Shape")

MAX_JSON_BYTES = 16 * 2**20
STATUS_TEXT = {error.status: str(error.__doc__) for error in reversed(list(error_classes()))}
STATUS_TEXT |= {401: "A token is needed.", 422: "A param or input is wrong.", 503: "Jobs cannot run."}


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        call: what answers: a method of the core, or a function like one. It gets the core, what the path names, the
            JSON object of the body, and by name its query and those of GIVEN that it asks for. It returns a response,
            or what goes into one.
        query: the Struct of its query parameters.
        body: the type of its JSON body, or the name of a media type.
        returns: the type of its JSON answer, or the name of a media type.
        headers: request headers by name, with what they are for.
    """

    method: str
    path: str
    call: Callable[..., Any]
    query: Any = None
    body: Any = None
    returns: Any = None
    status: int = 200
    errors: tuple[int, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @functools.cached_property
    def asks_for(self) -> list[str]:
        """Return the names of what it asks for beside path, body and query."""
        return [name for name in inspect.signature(self.call).parameters if name in GIVEN]

    async def __call__(self, request: Request) -> Any:
        """Answer a request."""
        named = {name: GIVEN[name](request) for name in self.asks_for}
        if self.query:
            query = dict(request.query_params) if request.scope["query_string"] else {}
            named |= msgspec.structs.asdict(checked(self.query, query, "query"))
        given = list(request.path_params.values())
        if self.body and not isinstance(self.body, str):
            given.append(await _json_object(request))
        found = self.call(request.app.state.core, *given, **named)
        if inspect.isawaitable(found):
            found = await found
        if callable(found):  # a response, as ASGI calls it
            return found
        if self.returns == "text/plain":
            return PlainTextResponse(found, headers={"X-Content-Type-Options": "nosniff"})
        return Response(msgspec.json.encode(found), self.status, media_type="application/json")


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= 255:
        raise BadRequest("An Idempotency-Key has 1 to 255 characters.", "A random UUID is a good one.")
    return key


GIVEN: dict[str, Callable[[Request], Any]] = {
    "http": lambda request: request,
    "owner": lambda request: request.scope["state"]["owner"],
    "idempotency_key": _idempotency_key,
}


def checked(shape: type[Shape], value: Any, what: str) -> Shape:
    """Return a value from a request as `shape`.

    Raises:
        BadRequest: something in it is unknown or wrong.
    """
    try:
        return msgspec.convert(value, shape, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The {what} is wrong: {error}", "The forms of all requests are at /docs.") from None


async def _json_object(request: Request) -> Json:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge("The JSON body is over 16 MiB.", "Upload large inputs to /v1/artifacts and name them by id.")
    try:
        return msgspec.json.decode(body, type=Json)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is wrong: {error}", "The forms of all requests are at /docs.") from None


class Methods(dict[str, Operation]):
    """What answers at one path, by method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive, send)
        answer = await self["GET" if request.method == "HEAD" else request.method](request)
        await answer(scope, receive, send)


def make_routes(operations: Iterable[Operation]) -> list[Route]:
    """Return what Starlette serves: one route per path, so that 405 names every method there is."""
    paths: dict[str, Methods] = {}
    for operation in operations:
        paths.setdefault(operation.path, Methods())[operation.method] = operation
    return [Route(path, methods, methods=list(methods)) for path, methods in paths.items()]


def openapi_document(operations: Iterable[Operation]) -> Json:
    """Return the OpenAPI 3.1 document of all routes."""
    components: Json = {}
    _schema(Event, components)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "stable-core", "version": __version__, "description": "A backend for AI art."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {name: {"type": "http", "scheme": name} for name in ("bearer", "basic")},
        },
        "security": [{}, {"bearer": []}, {"basic": []}],
    }


def _describe(operation: Operation, components: Json) -> Json:
    title, _, rest = inspect.cleandoc(operation.call.__doc__ or "").partition("\n")
    text = {"type": "string"}
    names = re.findall(r"{(\w+)", operation.path)
    parameters: list[Json] = [{"name": name, "in": "path", "required": True, "schema": text} for name in names]
    for name, purpose in operation.headers.items():
        parameters.append({"name": name, "in": "header", "description": purpose, "schema": text})
    if operation.query:
        _schema(operation.query, components)
        for name, schema in components.pop(operation.query.__name__)["properties"].items():
            parameters.append({"name": name, "in": "query", "schema": schema})
    answers = {str(operation.status): {"description": title, **_content(operation.returns, components)}}
    for status in (400, 401, 403, *operation.errors):
        answers[str(status)] = {
            "description": STATUS_TEXT[status],
            **_content(operation.returns if status == 503 else ErrorAnswer, components),
        }
    body = {"requestBody": {"required": True, **_content(operation.body, components)}} if operation.body else {}
    return {
        "operationId": operation.call.__name__,
        "summary": title,
        "description": rest.partition("Raises:")[0].strip(),
        "parameters": parameters,
        "responses": answers,
        **body,
    }


def _content(shape: Any, components: Json) -> Json:
    media_type, schema = (shape, {"type": "string"}) if isinstance(shape, str) else ("application/json", None)
    return {"content": {media_type: {"schema": schema or _schema(shape, components)}}}


def _schema(shape: Any, components: Json) -> Any:
    """Return the JSON Schema of a type, and put those it refers to among the components."""
    [schema], named = msgspec.json.schema_components([shape], ref_template="#/components/schemas/{name}")
    components.update(named)
    return schema


def docs_page(document: Json) -> str:
    """Return the OpenAPI document as one plain page that needs no script and no other server."""
    parts = {
        f"{method.upper()} {path}: {operation['summary']}": operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    page = PAGE
    for title, part in {**parts, **document["components"]["schemas"]}.items():
        content = msgspec.json.format(msgspec.json.encode(part), indent=2).decode()
        page += f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(content)}</pre></details>\n"
    return page


PAGE = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>stable-core</title>
<style>body{{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}}pre{{overflow:auto}}</style>
<h1>stable-core {__version__}</h1>
<p>It runs jobs of AI plugins for any client. <a href="/v1/signatures">What can run</a>, <a href="/v1/jobs">the last
jobs</a>, <a href="/healthz">health</a>; the HTTP API is below, for tools at <a href="/openapi.json">/openapi.json</a>.
"""
"""The head of the page."""
