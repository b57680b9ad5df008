"""`stable-core shell`: a prompt that runs commands on one kept core, with completion. The commands are not here."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from stable_core import errors
from stable_core.cli_console import note, report
from stable_core.cli_core import connected
from stable_core.client import Client, StableCoreError, error_from

COMMANDS = ("run", "signatures", "jobs", "graph", "plugin", "help", "exit")


def run_shell(home: Path, run: Callable[[list[str]], None]) -> None:
    """Read lines until the end of input or `exit` and run each; a line may also begin with a job's name.

    Args:
        run: runs the words of one command.
    """
    with connected(home, note, keep=True) as core:
        names = {one["name"] for one in core.signatures()}
        if sys.stdin.isatty():
            _set_up_completion(core)
            note("Commands are those of stable-core; a job's name runs it. Tab completes, exit leaves.")
        for words in _lines():
            try:
                run(["--help"] if words == ["help"] else ["run", *words] if words[0] in names else words)
            except SystemExit:
                pass
            except StableCoreError as error:
                report(error)
            except errors.StableCoreError as error:
                report(error_from(error.to_dict()))
            except KeyboardInterrupt:
                note("")


def _lines() -> Iterator[list[str]]:
    while True:
        try:
            line = input("stable-core> " if sys.stdin.isatty() else "")
            words = shlex.split(line)
        except EOFError:
            return
        except KeyboardInterrupt:
            note("")
            continue
        except ValueError as error:
            note(f"error: {error}")
            continue
        if words in (["exit"], ["quit"]):
            return
        if words:
            yield words


def _set_up_completion(core: Client) -> None:
    with contextlib.suppress(ImportError):  # Windows has no readline
        import readline

        readline.set_completer_delims(" ")
        readline.parse_and_bind("tab: complete")

        def complete(text: str, state: int) -> str | None:
            found = completions(core, readline.get_line_buffer()[: readline.get_begidx()].split(), text)
            return found[state] if state < len(found) else None

        readline.set_completer(complete)


def completions(core: Client, words: list[str], text: str) -> list[str]:
    """Return what `text` may become after these words: commands and jobs first, then the knobs of the job."""
    signatures = {one["name"]: one for one in core.signatures()}
    job = next((word for word in words if word in signatures), None)
    if job is None:
        known = [*signatures] if words[:1] in (["run"], ["signatures"]) else [*COMMANDS, *signatures]
    else:
        ports = [port["name"] for port in signatures[job]["inputs"]]
        known = [f"--{name.replace('_', '-')}" for name in (*ports, *signatures[job]["params"].get("properties", {}))]
        known += ["--out", "--json"]
    return sorted(f"{one} " for one in known if one.startswith(text))
