"""The lock files: exact versions of all that is declared and imported, no address, equal where they overlap."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LOCKS = sorted([*ROOT.glob("requirements*.lock"), *ROOT.glob("plugins/*/requirements.lock")])
OPTIONAL = {"pytest", "soundfile"}
"""What the SDK uses where a plugin has it: the contract's checks, FLAC."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def names(lines: list[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", line)[0]).lower() for line in lines if line}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_versions_are_exact_and_addresses_absent(lock: Path) -> None:
    for line in lock.read_text("utf-8").splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; .+)?", line), line


def test_all_that_is_declared_is_locked() -> None:
    locked = names((ROOT / "requirements.lock").read_text("utf-8").splitlines())
    locked_too = names((ROOT / "requirements-dev.lock").read_text("utf-8").splitlines())
    extras = PROJECT["optional-dependencies"]
    assert names(PROJECT["dependencies"] + extras["server"]) <= locked <= locked_too
    assert names(extras["dev"]) <= locked_too


def test_the_development_lock_has_the_versions_of_the_other() -> None:
    locked = set((ROOT / "requirements.lock").read_text("utf-8").splitlines())
    assert locked <= set((ROOT / "requirements-dev.lock").read_text("utf-8").splitlines())


def test_all_that_the_core_imports_is_declared() -> None:
    declared = names(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["server"]) | {
        "pydantic-core",
        "starlette",
    }
    owners = importlib.metadata.packages_distributions()
    missing = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            for module in (module.partition(".")[0] for module in modules):
                known = module in sys.stdlib_module_names or module.startswith("stable_core") or module in OPTIONAL
                if not known and not names(owners.get(module, [])) & declared:
                    missing[module] = path.name
    assert missing == {}
