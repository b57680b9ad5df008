"""The gate before every route: Host, Origin and token. It knows nothing of routes, jobs or who may see which job."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from stable_core.errors import ConfigError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


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
        raise ConfigError(
            f"{host} can be reached from other machines, and no token is set.",
            "Set one with STABLE_CORE_TOKEN or in the settings, or use --host 127.0.0.1.",
        )


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
        if scope["type"] != "lifespan":
            headers: dict[bytes, bytes] = dict(scope["headers"])
            problem = self._problem(scope, headers)
            if problem:
                await _refuse(scope, receive, send, *problem)
                return
            scope.setdefault("state", {})["owner"] = "local"
        await self.app(scope, receive, send)

    def _problem(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self.token and _name(host) not in self.hosts:
            return 403, f"This server is not called {_name(host)!r}.", "Use http://127.0.0.1 or localhost."
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and not _same_site(headers, host):
            return 403, "Another web site may not do this.", "Use a page of this server, or no browser."
        if self.token and not self._knows_token(headers.get(b"authorization", b"")):
            hint = "Send `Authorization: Bearer TOKEN`, or HTTP Basic with the token as password."
            return 401, "A token is needed.", hint
        return None

    def _knows_token(self, authorization: bytes) -> bool:
        kind, _, given = authorization.partition(b" ")
        given = given.strip()
        if kind.lower() == b"basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != b"bearer":
            return False
        return hmac.compare_digest(given, self.token)


def _name(netloc: str) -> str:
    """Return the host of `host:port` or `[v6]:port`."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _same_site(headers: dict[bytes, bytes], host: str) -> bool:
    origin = headers.get(b"origin")
    if origin is None:
        return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")
    try:
        return urlsplit(origin.decode("latin-1").lower()).netloc == host
    except ValueError:
        return False


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, message: str, hint: str) -> None:
    body = json.dumps({"error": {"code": "not_allowed", "message": message, "hint": hint}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="stable-core", charset="UTF-8"'))
    kind = "http"
    if scope["type"] == "websocket":
        await receive()  # the connect message
        kind = "websocket.http"  # uvicorn has this extension
    await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": body})
