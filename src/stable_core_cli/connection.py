"""The core that a command talks to: a running server, or one inside this process for the time of the command."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stable_core import __version__
from stable_core.errors import Conflict
from stable_core_cli.console import note, out
from stable_core_client import Client, StableCoreError

if TYPE_CHECKING:
    from stable_core_server.app import Server

BUSY_SECONDS = 0.3
"""How often a command looks whether another one has left the home."""


def home_folder() -> Path:
    """Return the home folder of this command; `--home` has become STABLE_CORE_HOME."""
    from stable_core import config  # not for --help: it brings pydantic

    return config.home_folder()


def core_of(context: typer.Context) -> Client:
    """Return the core of a command: that of the shell it is in, else one that is connected until the command ends."""
    root = context.find_root()
    if not isinstance(root.obj, Client):
        root.obj = root.with_resource(connected(home_folder()))
    return root.obj


@contextlib.contextmanager
def connected(home: Path) -> Iterator[Client]:
    """Connect to the server of this home, or start one here; while another command has this home, wait for it.

    Raises:
        StableCoreError: the home cannot be used.
    """
    is_first = True
    with contextlib.ExitStack() as stack:
        while True:
            try:
                running = running_server(home)
                client = stack.enter_context(contextlib.closing(running) if running else embedded(home))
                break
            except Conflict:
                if is_first:
                    note("Another stable-core command is using this home; waiting for it to finish.")
                is_first = False
                time.sleep(BUSY_SECONDS)
        yield client


def running_server(home: Path) -> Client | None:
    """Return a client of the server that runs for this home, if there is one."""
    try:
        said = json.loads((home / "server.json").read_text("utf-8"))
        found = Client(said["url"], said["token"] or None)
        found.jobs(limit=1)  # not its health: it may be unwell and say why
    except (OSError, ValueError, KeyError, StableCoreError):
        return None
    return found


@contextlib.contextmanager
def published(home: Path, token: str, server: object, url: str) -> Iterator[None]:
    """Tell people and `running_server` of a server as long as it runs; only the home's owner can read the token."""
    file = home / "server.json"
    file.unlink(missing_ok=True)
    local = url.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as said:
            json.dump({"url": local, "pid": os.getpid(), "token": token}, said)
        out(f"stable-core {__version__} on {url} (home: {home})")
        yield
    finally:
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def embedded(home: Path) -> Iterator[Client]:
    """Serve in a thread of this process, on a free port, with a token that nobody else knows.

    Raises:
        Conflict: another core uses this home.
    """
    from stable_core.config import Config
    from stable_core_server.app import run_server

    opened: futures.Future[tuple[Server, str]] = futures.Future()

    @contextlib.contextmanager
    def hand_over(server: Server, url: str) -> Iterator[None]:
        opened.set_result((server, url))
        yield

    token = secrets.token_hex()
    with futures.ThreadPoolExecutor(1, "core") as thread:
        end = thread.submit(run_server, Config(home), "127.0.0.1", 0, token, hand_over)
        either: list[futures.Future[Any]] = [opened, end]
        futures.wait(either, return_when=futures.FIRST_COMPLETED)
        if end.done():
            end.result()
        server, url = opened.result()
        try:
            with contextlib.closing(Client(url, token)) as client:
                yield client
        finally:
            server.should_exit = True
        end.result()
