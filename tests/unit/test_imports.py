"""Who may import what, where import-linter does not look: plugins, the standalone client, what start.sh runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stable_core
from stable_core.plugin_registry import bundled_folder

PACKAGE = Path(stable_core.__file__).parent
PLUGIN_FILES = sorted(path for path in bundled_folder().rglob("*.py") if "tests" not in path.parts)


def imports(path: Path, *, at_the_top_only: bool = False) -> Iterator[str]:
    """Yield the names of imported modules; a relative import counts as none."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body if at_the_top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=lambda path: path.relative_to(bundled_folder()).as_posix())
def test_plugins_import_the_sdk_only(path: Path) -> None:
    ours = [module for module in imports(path) if module.partition(".")[0] == "stable_core"]
    assert all(module == "stable_core.sdk" or module.startswith("stable_core.sdk.") for module in ours), ours


def test_the_client_needs_the_standard_library_only() -> None:
    assert [
        module for module in imports(PACKAGE.with_name("stable_core_client") / "__init__.py") if not is_standard(module)
    ] == []


@pytest.mark.parametrize("name", ["environments", "errors"])
def test_what_start_sh_runs_needs_nothing_installed(name: str) -> None:
    outside = [module for module in imports(PACKAGE / f"{name}.py", at_the_top_only=True) if not is_standard(module)]
    assert [module for module in outside if module != "stable_core.errors"] == []


def test_the_worker_loads_neither_the_core_nor_a_server() -> None:
    code = "import sys, stable_core.worker; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "stable_core.sdk" in loaded
    assert not {"sqlite3", "fastapi", "starlette", "uvicorn", "stable_core.core", "stable_core.config"} & set(loaded)


def test_the_core_loads_no_machine_learning_package() -> None:
    code = "import sys, stable_core.core, stable_core_server.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "numpy", "diffusers", "transformers", "safetensors"} & set(loaded)
