"""The reading tour against the code: the functions it names, its line counts, messages, states and layers.

`python tests/docs/test_architecture.py` writes the present line counts into the page.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import PIL.Image
import pytest

import stable_core
from stable_core import protocol
from stable_core.sdk.jobs import TRANSITIONS

PACKAGE = Path(stable_core.__file__).parent
SOURCE = PACKAGE.parent
CLIENT = SOURCE / "stable_core_client" / "__init__.py"
ROOT = SOURCE.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
TOUR_MINUTES = 60
COUNT = r"`([\w/]+\.py)` (\d+)"


def section(title: str) -> str:
    """Return the text between a second-level heading and the next one."""
    found = re.search(rf"(?ms)^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE)
    assert found, title
    return found[1]


def load(path: Path) -> ModuleType:
    """Return a test module of another folder."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resolve(dotted: str) -> Any:
    """Import the longest module in a dotted name and follow the attributes behind it."""
    names = dotted.split(".") if dotted.startswith("stable_core_") else ["stable_core", *dotted.split(".")]
    for end in range(len(names), 1, -1):
        if importlib.util.find_spec(".".join(names[:2])) is None:
            break
        try:
            found: Any = importlib.import_module(".".join(names[:end]))
        except ModuleNotFoundError:
            continue
        for name in names[end:]:
            found = getattr(found, name)
        return found
    raise AttributeError(dotted)


NAMED = sorted(set(re.findall(r"`((?!stable_core\.)[a-z_]+(?:\.(?!(?:py|md|json|lock|db)`)\w+)+)`", PAGE)))


@pytest.mark.parametrize("name", NAMED)
def test_every_function_that_is_named_exists(name: str) -> None:
    assert resolve(name) is not None


def test_a_wrong_name_would_be_found() -> None:
    with pytest.raises(AttributeError):
        resolve("core.Core.no_such_thing")
    assert len(NAMED) > 30


def code_lines() -> dict[str, int]:
    """Return the code lines of every module, those beside the core by their package too, and of the teaching plugin."""
    lines_of = load(ROOT / "tests" / "unit" / "test_budget.py").lines_of
    modules = [path for path in SOURCE.rglob("*.py") if not path.name.startswith("__") or path == CLIENT]
    counted = {path.relative_to(SOURCE).as_posix().removeprefix("stable_core/"): lines_of(path) for path in modules}
    return counted | {"plugins/invert/plugin.py": lines_of(ROOT / "plugins" / "invert" / "plugin.py")}


def test_line_counts_are_current_and_every_module_has_its_place() -> None:
    written = {name: int(count) for name, count in re.findall(COUNT, PAGE)}
    counted = code_lines()
    assert written.keys() == counted.keys()
    off = {name: count for name, count in counted.items() if abs(count - written[name]) > max(3, count / 10)}
    assert not off, f"out of date; run python {Path(__file__).relative_to(ROOT)}"


def test_the_tour_fits_into_an_hour() -> None:
    minutes = [int(minute) for minute in re.findall(r"(?m)^\| (\d+) \|", section("The tour"))]
    assert minutes == sorted(set(minutes))
    assert minutes[0] == 0
    assert minutes[-1] == TOUR_MINUTES


def messages(side: str) -> list[dict[str, Any]]:
    """Return the example messages that `core` or `worker` sends."""
    lines = re.findall(rf"(?m)^    {side}\s+(\{{.*\}})$", section("What crosses the pipe"))
    return [json.loads(line) for line in lines]


def test_the_example_messages_are_what_a_worker_says(tmp_path: Path) -> None:
    """Replay the core's side of the example to a real worker and compare the shape of what comes back."""
    run, leave = messages("core")
    picture = io.BytesIO()
    PIL.Image.new("RGB", (64, 64)).save(picture, "PNG")
    run["inputs"]["image"]["artifact"], _ = protocol.write_artifact(tmp_path, picture.getvalue())
    command = [sys.executable, "-m", "stable_core.worker", str(ROOT / "plugins" / "invert"), "plugin:plugin"]
    variables = {**os.environ, "STABLE_CORE_ARTIFACTS": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables) as worker:
        assert worker.stdin
        assert worker.stdout
        worker.stdin.write(protocol.encode_message(run) + protocol.encode_message(leave))
        worker.stdin.flush()  # left open: a closed pipe would end the worker at once
        said = protocol.MessageDecoder().feed(worker.stdout.read())
    assert worker.returncode == 0
    assert [shape(message) for message in said] == [shape(message) for message in messages("worker")]


def shape(message: dict[str, Any]) -> Any:
    """Return a message with its values left out, except what kind it is."""
    kept = message.get("artifact", {})
    return [message["type"], *message, *kept]


def test_every_type_of_message_is_explained() -> None:
    listed = set(re.findall(r"(?m)^    ([a-z]+)\s+\{", protocol.__doc__ or ""))
    told = section("What crosses the pipe")
    explained = {*re.findall(r'"type":"([a-z]+)"', told), *re.findall(r"`([a-z]+)`", told)}
    assert listed
    assert listed <= explained


def test_the_table_of_states_is_the_one_of_the_code() -> None:
    drawn: dict[str, set[str]] = {state: set() for state in TRANSITIONS}
    for row in re.findall(r"(?m)^\| (`.+?`) \| (`.+?`) \|", section("States")):
        before, after = (re.findall(r"`(\w+)`", cell) for cell in row)
        for state in before:
            drawn[state] |= set(after)
    assert drawn == {state: set(following) for state, following in TRANSITIONS.items()}


def test_the_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert re.findall(r"(?m)^    (\S.*)$", section("Who may import whom")) == layers


if __name__ == "__main__":
    now = code_lines()
    page = re.sub(COUNT, lambda found: f"`{found[1]}` {now.get(found[1], found[2])}", PAGE)
    (ROOT / "docs" / "architecture.md").write_text(page, "utf-8")
