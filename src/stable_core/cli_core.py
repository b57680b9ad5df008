"""The core that a command talks to: a running server, or one inside this process for the time of the command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stable_core.client import Client, StableCoreError
from stable_core.errors import Conflict

if TYPE_CHECKING:
    from stable_core.server import Server

_shared: list[Client] = []
"""The connection that an interactive shell keeps for all of its commands."""


def home_folder() -> Path:
    """Return the home folder of this command; `--home` has become STABLE_CORE_HOME."""
    from stable_core import config  # not for --help: it brings pydantic

    return config.home_folder()


@contextlib.contextmanager
def connected(home: Path, note: Callable[[str], None], keep: bool = False) -> Iterator[Client]:
    """Open a connection to the core of this home; with `keep`, commands inside use the same one.

    Raises:
        StableCoreError: the home cannot be used.
    """
    if _shared:
        yield _shared[0]
        return
    running = running_server(home) or _embedded(home, note)
    opened = running if isinstance(running, Client) else running.client
    if keep:
        _shared.append(opened)
    try:
        yield opened
    finally:
        _shared.clear()
        running.close()


def running_server(home: Path) -> Client | None:
    """Return a client of the server that runs for this home, if there is one."""
    try:
        said = json.loads((home / "server.json").read_text("utf-8"))
        found = Client(said["url"], said["token"] or None)
        found.health()
    except (OSError, ValueError, KeyError, StableCoreError):
        return None
    return found


def _embedded(home: Path, note: Callable[[str], None]) -> Client | EmbeddedServer:
    """Start a core here; while another command has this home, wait for it."""
    is_first = True
    while True:
        try:
            return EmbeddedServer(home)
        except Conflict:
            if (server := running_server(home)) is not None:
                return server
            if is_first:
                note("Another stable-core command is using this home; waiting for it to finish.")
            is_first = False
            time.sleep(0.3)


class EmbeddedServer:
    """A server in a thread of this process, on a free port, with a token that nobody else knows."""

    def __init__(self, home: Path) -> None:
        self._opened: futures.Future[tuple[Server, str]] = futures.Future()
        self.token = secrets.token_hex()
        self._thread = futures.ThreadPoolExecutor(1, "core")
        self._end = self._thread.submit(lambda: asyncio.run(self._serve(home)))
        either: list[futures.Future[Any]] = [self._opened, self._end]
        futures.wait(either, return_when=futures.FIRST_COMPLETED)
        if self._end.done():
            self._end.result()
        self._server, self.url = self._opened.result()
        self.client = Client(self.url, self.token)

    async def _serve(self, home: Path) -> None:
        from stable_core.core import Core
        from stable_core.server import open_server

        async with Core(home) as core:
            server, listening, url = open_server(core, "127.0.0.1", 0, self.token)
            self._opened.set_result((server, url))
            await server.serve(sockets=[listening])

    def close(self) -> None:
        """Stop the server and its core."""
        self.client.close()
        self._server.should_exit = True
        self._end.result()
        self._thread.shutdown()
