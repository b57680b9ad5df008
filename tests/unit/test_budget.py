"""The size of the core, which a person can read in an hour, and of its faces, in lines of code.

Blank lines, comments and the docstrings of modules, classes and functions do not count; those of attributes do.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

import stable_core

CORE = Path(stable_core.__file__).parent
SOURCE = CORE.parent
MODULES = sorted(SOURCE.rglob("*.py"))
MAIN_PATH = ("sdk/jobs", "sdk/plugin", "protocol", "worker", "worker_process", "job_queue", "job_states", "core")
"""What a job passes from its submission to its stored result."""

PACKAGE_LINES = {
    "stable_core": 4000,
    "stable_core_server": 665,
    "stable_core_client": 240,
    "stable_core_cli": 750,
    "stable_core_testing": 170,
}
"""The core, and what stands beside it and is no part of it (docs/decisions.md)."""
MAIN_PATH_LINES = 1500
MODULE_LINES = 400
FUNCTION_LINES = 60

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
IGNORED = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}


def code_lines(source: str) -> set[int]:
    """Return the numbers of the lines that are neither blank nor comment nor part of a docstring."""
    lines = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in IGNORED:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return lines


def lines_of(path: Path) -> int:
    return len(code_lines(path.read_text("utf-8")))


def table(sizes: dict[str, int]) -> str:
    return "\n".join(f"{lines:6} {name}" for name, lines in sorted(sizes.items(), key=lambda item: -item[1]))


def test_code_lines_are_counted_right() -> None:
    source = '"""Doc.\n\nMore."""\n\nimport os  # why\n\n\ndef f():\n    """Doc."""\n    # note\n'
    source += '    return """a\nb"""\n\n\nX = 1\n"""About X."""\n'
    assert code_lines(source) == {5, 8, 11, 12, 15, 16}


@pytest.mark.parametrize("package", PACKAGE_LINES)
def test_packages_stay_small(package: str) -> None:
    sizes = {path.relative_to(SOURCE).as_posix(): lines_of(path) for path in (SOURCE / package).rglob("*.py")}
    print(table(sizes))
    assert sum(sizes.values()) <= PACKAGE_LINES[package], f"{sum(sizes.values())} code lines:\n{table(sizes)}"


def test_every_package_has_a_size() -> None:
    assert {path.relative_to(SOURCE).parts[0] for path in MODULES} == PACKAGE_LINES.keys()


def test_the_main_path_stays_short() -> None:
    sizes = {name: lines_of(CORE / f"{name}.py") for name in MAIN_PATH}
    assert sum(sizes.values()) <= MAIN_PATH_LINES, f"{sum(sizes.values())} code lines:\n{table(sizes)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_modules_and_functions_stay_short(path: Path) -> None:
    source = path.read_text("utf-8")
    lines = code_lines(source)
    assert len(lines) <= MODULE_LINES
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {}
    for node in functions:
        size = len(lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
        if size > FUNCTION_LINES:
            long[f"{path.name}:{node.lineno} {node.name}"] = size
    assert not long, f"longer than {FUNCTION_LINES} code lines:\n{table(long)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))
