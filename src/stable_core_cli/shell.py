"""`stable-core shell`: a prompt that runs commands on one kept core, with completion. The commands are not here."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator

from stable_core_cli.console import note
from stable_core_cli.run import job_command
from stable_core_client import Client

COMMANDS = ("run", "signatures", "jobs", "graph", "plugin", "help", "exit")


def run_shell(core: Client, run: Callable[[list[str], Client], int]) -> None:
    """Read lines until the end of input or `exit` and run each; a line may also begin with a job's name.

    Args:
        run: runs the words of one command on a core.
    """
    names = {one["name"] for one in core.signatures()}
    if sys.stdin.isatty():
        _set_up_completion(core)
        note("Commands are those of stable-core; a job's name runs it. Tab completes, exit leaves.")
    for words in _lines():
        run(["--help"] if words == ["help"] else ["run", *words] if words[0] in names else words, core)


def _lines() -> Iterator[list[str]]:
    while True:
        try:
            words = shlex.split(input("stable-core> " if sys.stdin.isatty() else ""))
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
    """Return what `text` may become after these words: commands and jobs first, then the options of the job."""
    signatures = {one["name"]: one for one in core.signatures()}
    job = next((word for word in words if word in signatures), None)
    if job is not None:
        parameters = job_command(core, signatures[job]).params
        known = [option for one in parameters for option in (*one.opts, *one.secondary_opts)]
    else:
        known = [*signatures] if words[:1] in (["run"], ["signatures"]) else [*COMMANDS, *signatures]
    return sorted(f"{one} " for one in known if one.startswith(text))
