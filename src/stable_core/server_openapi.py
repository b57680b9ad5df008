"""One declaration per route: checks its query and body and draws it in the OpenAPI document. It answers nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stable_core import __version__
from stable_core.errors import BadRequest, TooLarge, error_classes
from stable_core.server_shapes import ErrorAnswer, Event

Endpoint = Callable[[Request], Awaitable[Response]]
Shape = TypeVar("Shape")

MAX_JSON_BYTES = 16 * 2**20
STATUS_TEXT = {error.status: str(error.__doc__) for error in reversed(list(error_classes()))}
STATUS_TEXT |= {401: "A token is needed.", 422: "A param or input is wrong.", 503: "Jobs cannot run."}


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        query: the Struct of its query parameters.
        body: the type of its JSON body, or the name of a media type.
        returns: the type of its JSON answer, or the name of a media type.
        headers: request headers by name, with what they are for.
    """

    method: str
    path: str
    endpoint: Endpoint
    query: Any = None
    body: Any = None
    returns: Any = None
    status: int = 200
    errors: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def types(self) -> Iterable[Any]:
        """Return the types that need a schema."""
        shapes = (self.query, self.body, self.returns)
        return [shape for shape in shapes if shape is not None and not isinstance(shape, str)]


def make_routes(operations: Iterable[Operation]) -> list[Route]:
    """Return what Starlette serves: one route per path, so that 405 names every method there is."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation.endpoint
    return [Route(path, _by_method(endpoints), methods=list(endpoints)) for path, endpoints in paths.items()]


def _by_method(endpoints: dict[str, Endpoint]) -> Endpoint:
    if len(endpoints) == 1:
        return next(iter(endpoints.values()))

    async def dispatch(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return dispatch


def read_query(request: Request, shape: type[Shape]) -> Shape:
    """Return the query parameters as `shape`.

    Raises:
        BadRequest: one is unknown or has a wrong value.
    """
    try:
        return msgspec.convert(dict(request.query_params), shape, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The query is wrong: {error}", "The parameters are described at /docs.") from None


async def read_json(request: Request, shape: Any) -> Any:
    """Return the body as `shape`.

    Raises:
        BadRequest: it is no JSON or not of this form.
        TooLarge: it is over 16 MiB.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge("The JSON body is over 16 MiB.", "Upload large inputs to /v1/artifacts and name them by id.")
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is wrong: {error}", "The body is described at /docs.") from None


def openapi_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of all routes."""
    operations = list(operations)
    types = [shape for operation in operations for shape in operation.types] + [ErrorAnswer, Event]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    drawn = {id(shape): schema for shape, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, drawn, components)
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


def _describe(operation: Operation, drawn: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    title, _, rest = (operation.endpoint.__doc__ or "").strip().partition("\n")
    text: dict[str, Any] = {"type": "string"}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in re.findall(r"{(\w+)", operation.path)
    ]
    for name, purpose in operation.headers:
        parameters.append({"name": name, "in": "header", "description": purpose, "schema": text})
    if operation.query is not None:
        for name, schema in components[operation.query.__name__]["properties"].items():
            parameters.append({"name": name, "in": "query", "schema": schema})
    answers = {str(operation.status): {"description": title, **_content(operation.returns, drawn)}}
    for status in (400, 401, 403, *operation.errors):
        answers[str(status)] = {"description": STATUS_TEXT[status], **_content(ErrorAnswer, drawn)}
    described: dict[str, Any] = {
        "operationId": operation.endpoint.__name__,
        "summary": title,
        "description": "\n".join(line.strip() for line in rest.strip().splitlines()),
        "parameters": parameters,
        "responses": answers,
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, **_content(operation.body, drawn)}
    return described


def _content(shape: Any, drawn: dict[int, Any]) -> dict[str, Any]:
    if shape is None:
        return {}
    if isinstance(shape, str):
        return {"content": {shape: {"schema": {"type": "string"}}}}
    return {"content": {"application/json": {"schema": drawn[id(shape)]}}}


def docs_page(document: dict[str, Any]) -> str:
    """Return the OpenAPI document as one plain page that needs no script and no other server."""
    parts = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            text = f"<p>{html.escape(operation['description'])}</p>" if operation["description"] else ""
            heading = f"<b>{method.upper()}</b> <code>{html.escape(path)}</code> {html.escape(operation['summary'])}"
            parts.append(f"<details><summary>{heading}</summary>{text}<pre>{_pretty(operation)}</pre></details>")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f'<details id="{name}"><summary>{name}</summary><pre>{_pretty(schema)}</pre></details>')
    intro = '<p>As a document for tools: <a href="/openapi.json">/openapi.json</a></p>'
    return html_page("HTTP API", intro + "".join(parts))


def _pretty(value: Any) -> str:
    return html.escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def html_page(title: str, body: str) -> str:
    """Return a small HTML page."""
    style = "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>stable-core: {title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style><h1>{title}</h1>{body}</html>'
    )
