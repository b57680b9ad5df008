"""`start.sh` in a fresh checkout: one command sets everything up, the next one finds it done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("LICENSE", "README.md", "hatch_build.py", "pyproject.toml", "requirements.lock", "start.sh", "src")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="start.bat is for Windows")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the files that start.sh needs, in a folder whose name has a space."""
    folder = tmp_path / "a new place"
    folder.mkdir()
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


def start(checkout: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHON": python}
    command = [str(checkout / "start.sh"), *arguments]
    return subprocess.run(command, env=environ, cwd=checkout.parent, capture_output=True, text=True)


def test_one_command_sets_up_and_the_next_finds_it_done(checkout: Path) -> None:
    first = start(checkout, "--set-up", "requirements.lock")
    assert first.returncode == 0, first.stderr
    assert "setting up" in first.stderr
    code = "import stable_core, starlette, uvicorn; print(stable_core.__file__)"
    said = subprocess.run([checkout / ".venv/bin/python", "-c", code], capture_output=True, text=True, cwd="/")
    assert said.stdout.strip() == str(checkout / "src/stable_core/__init__.py")

    second = start(checkout, "--help")
    assert (second.returncode, second.stderr) == (0, "")
    assert "serve" in second.stdout

    lock = checkout / "requirements.lock"
    lock.write_text(lock.read_text() + "# changed\n")
    third = start(checkout, "--set-up", "requirements.lock")
    assert "setting up" in third.stderr
    assert start(checkout, "--set-up", "requirements.lock").stderr == ""


def test_a_python_without_pip(checkout: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nif [ "$2" = pip ]; then exit 1; fi\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = start(checkout, "--set-up", "requirements.lock", python=str(python))
    assert done.returncode == 0, done.stderr


def test_no_python_that_is_new_enough(checkout: Path, tmp_path: Path) -> None:
    for name in ("python3", "python"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    for name in ("sh", "cat", "dirname", "grep"):
        (tmp_path / name).symlink_to(shutil.which(name) or pytest.fail(f"no {name}"))
    command = ["/bin/sh", str(checkout / "start.sh")]
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
