"""The gate before every route: Host, Origin and token. It knows nothing of routes, jobs or who may see which job."""

from __future__ import annotations

import base64
import contextlib
import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from stable_core.errors import ConfigError
from stable_core_server.shapes import ErrorAnswer, ErrorBody

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOKEN_HINT = "Send `Authorization: Bearer TOKEN`, or HTTP Basic with the token as password."
ASK_FOR_TOKEN = {"WWW-Authenticate": 'Basic realm="stable-core", charset="UTF-8"'}


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_bind(host: str, token: str) -> None:
    """Refuse to listen to other machines without a token.

    Raises:
        ConfigError: `host` is not loopback and `token` is empty.
    """
    if not token and not is_loopback(host):
        hint = "Set one with STABLE_CORE_TOKEN or in the settings, or use --host 127.0.0.1."
        raise ConfigError(f"{host} can be reached from other machines, and no token is set.", hint)


def refusal(status: int, code: str, message: str, hint: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that says what went wrong."""
    content = msgspec.json.encode(ErrorAnswer(ErrorBody(code, message, hint)))
    return Response(content, status, headers, media_type="application/json")


class Gate:
    """ASGI middleware that lets a request through, or answers 401 or 403.

    Host: without a token, only loopback names and the configured host, so that a web page cannot reach the server
    under a name of its own (DNS rebinding). With a token any name is fine: such a page has no token to send.
    Origin: a browser that changes state or opens a WebSocket must do so from a page of this server (CSRF).
    Token: `Authorization: Bearer TOKEN`, or HTTP Basic with the token as password and any user name.
    """

    def __init__(self, app: ASGIApp, host: str, token: str) -> None:
        self.app = app
        self.hosts = LOOPBACK_NAMES | {host.lower()}
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request."""
        scope.setdefault("state", {})["owner"] = "local"
        await (self._refusal(scope, dict(scope["headers"])) or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        host = headers.get(b"host", b"").lower()
        if not self.token and _name(host) not in self.hosts:
            wrong = f"This server is not called {_name(host)!r}."
            return refusal(403, "not_allowed", wrong, "Use http://127.0.0.1 or localhost.")
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and not _same_site(headers, host):
            hint = "Use a page of this server, or no browser."
            return refusal(403, "not_allowed", "Another web site may not do this.", hint)
        if self.token and not hmac.compare_digest(_token(headers.get(b"authorization", b"")), self.token):
            return refusal(401, "not_allowed", "A token is needed.", TOKEN_HINT, ASK_FOR_TOKEN)
        return None


def _token(authorization: bytes) -> bytes:
    kind, _, given = authorization.partition(b" ")
    if kind.lower() == b"bearer":
        return given.strip()
    if kind.lower() == b"basic":
        with contextlib.suppress(ValueError):
            return base64.b64decode(given, validate=True).partition(b":")[2]
    return b""


def _name(netloc: bytes) -> str:
    """Return the host of `host:port` or `[v6]:port`."""
    try:
        return urlsplit(f"//{netloc.decode('latin-1')}").hostname or ""
    except ValueError:
        return ""


def _same_site(headers: dict[bytes, bytes], host: bytes) -> bool:
    """Tell whether no browser sent this, or one from a page of this server."""
    if b"origin" in headers:
        return headers[b"origin"].lower().partition(b"://")[2] == host
    return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")
