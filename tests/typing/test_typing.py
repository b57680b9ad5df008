"""mypy and pyright agree on which wirings are right and which are wrong. Nothing here runs a job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = sorted(path for path in HERE.rglob("*.py") if not path.name.startswith("test_"))


def marked(path: Path) -> set[int]:
    """Return the numbers of the lines where an error is expected."""
    return {number for number, line in enumerate(path.read_text().splitlines(), 1) if "# E:" in line}


@pytest.fixture(scope="module")
def mypy_errors() -> set[tuple[str, int]]:
    command = [sys.executable, "-m", "mypy", "--strict", "--hide-error-context", "--no-error-summary", *map(str, FILES)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return {(Path(match[1]).name, int(match[2])) for match in re.finditer(r"^(.+?):(\d+): error:", output, re.M)}


@pytest.fixture(scope="module")
def pyright_errors(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, int]]:
    config = tmp_path_factory.mktemp("pyright") / "pyrightconfig.json"
    included = [os.path.relpath(path, config.parent) for path in FILES]  # pyright ignores absolute paths
    config.write_text(json.dumps({"include": included, "extraPaths": [str(ROOT / "src")], "pythonVersion": "3.11"}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(config)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = [item for item in json.loads(output)["generalDiagnostics"] if item["severity"] == "error"]
    return {(Path(item["file"]).name, item["range"]["start"]["line"] + 1) for item in found}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_exactly_the_marked_lines_are_refused(checker: str, path: Path, request: pytest.FixtureRequest) -> None:
    errors: set[tuple[str, int]] = request.getfixturevalue(f"{checker}_errors")
    assert {line for name, line in errors if name == path.name} == marked(path)


def test_wrong_wirings_are_really_there() -> None:
    assert len(marked(HERE / "wrong" / "wirings.py")) > 15


def test_whoever_has_it_installed_gets_its_types(tmp_path: Path) -> None:
    text = "from stable_core.sdk import Text\nfrom stable_core_client import Client\n"
    (tmp_path / "theirs.py").write_text(text + 'wrong: int = Client().run("a")\n')
    command = [sys.executable, "-m", "mypy", "--strict", "theirs.py"]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert re.findall(r"error: .*", output) == [
        'error: Incompatible types in assignment (expression has type "list[dict[str, Any]]", variable has type "int")'
        "  [assignment]"
    ]
