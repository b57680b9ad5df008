"""The HTTP and CLI pages against the code: every route and command has its heading, and the examples run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import typer

from stable_core_cli import app
from stable_core_server.app import OPERATIONS

DOCS = Path(__file__).parent.parent.parent / "docs"
HTTP = (DOCS / "http_api.md").read_text("utf-8")
CLI = (DOCS / "cli.md").read_text("utf-8")

NEEDS_MORE = re.compile(r"\b(ID|NAME|sd\.txt2img|serve|install)\b")
"""Commands with a placeholder, a large or distant package, or no end."""


def headings(page: str) -> list[str]:
    return re.findall(r"(?m)^### `(.+)`$", page)


def examples(page: str, first: str) -> list[str]:
    """Return the indented examples that begin with a word; deeper lines belong to the line before."""
    return [found.strip() for found in re.findall(rf"(?m)^    (?={first})(.+(?:\n {{8}}.+)*)", page)]


def commands(group: object, prefix: str) -> Iterator[str]:
    for name, command in getattr(group, "commands", {}).items():
        inner = list(commands(command, f"{prefix} {name}"))
        yield from inner or [f"{prefix} {name}"]


def test_every_route_has_its_heading() -> None:
    assert sorted(headings(HTTP)) == sorted(f"{one.method} {one.path}" for one in OPERATIONS)


def test_every_command_has_its_heading() -> None:
    assert sorted(headings(CLI)) == sorted(commands(typer.main.get_command(app.app), "stable-core"))


def test_every_status_is_in_the_table_of_errors() -> None:
    statuses = {400, 401, 403, 405, 416, 500, *(status for one in OPERATIONS for status in one.errors)}
    assert {int(status) for status in re.findall(r"(?m)^\| (\d+) \|", HTTP.split("## Who may ask")[0])} == statuses


@pytest.fixture(scope="module")
def home(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Serve a home with the bundled plugins; the folder has what the examples use."""
    home = tmp_path_factory.mktemp("docs")
    with lab.served(home) as client:
        PIL.Image.radial_gradient("L").convert("RGB").resize((96, 64)).save(home / "photo.png")
        resize = {"job": "image.resize", "inputs": {"image": {"job": "a"}}, "params": {"width": 16}}
        photo = {"artifact": client.upload(home / "photo.png")["id"]}
        invert = {"job": "invert.invert", "inputs": {"image": photo}}
        (home / "graph.json").write_text(json.dumps({"version": 1, "jobs": {"a": invert, "b": resize}}))
        yield home


def test_the_curl_examples_run(home: Path) -> None:
    said = json.loads((home / "server.json").read_text())
    curl = 'curl() { command curl -H "Authorization: Bearer $TOKEN" "$@"; }'
    lines = examples(HTTP, r"curl |ID=|JOB=|RESULT=")
    assert len(lines) > 20
    at_rest = "until curl -sf $URL/healthz | grep -q '\"jobs\":{}'; do sleep 0.1; done"  # a job may need what goes
    script = "\n".join(["set -eu", curl, *[f"{at_rest}\n{line}" if "DELETE" in line else line for line in lines]])
    variables = {**os.environ, "URL": said["url"], "TOKEN": said["token"]}
    done = subprocess.run(["bash", "-c", script], cwd=home, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    with PIL.Image.open(home / "inverted.png") as inverted:
        assert inverted.size == (96, 64)
    assert (home / "head.bin").read_bytes() == b"\x89PNG\r\n\x1a\n"
    assert '"type":"job.succeeded"' in done.stdout


def test_the_commands_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("STABLE_CORE_HOME", str(home))
    lines = [line for line in examples(CLI, "stable-core ") if not NEEDS_MORE.search(line)]
    assert len(lines) > 12
    for line in lines:
        with pytest.raises(SystemExit) as ended:
            app.main(shlex.split(line)[1:])
        assert not ended.value.code, line
    assert list((home / "results").iterdir())
