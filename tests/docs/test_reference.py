"""The reference pages against the code: every error, setting, SDK name and state has its place; none is invented."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import get_args

import pydantic
import pytest

from stable_core import errors, sdk
from stable_core.config import Config, Settings
from stable_core.errors import JobFailed, StableCoreError
from stable_core.sdk.artifacts import ARTIFACT_TYPES
from stable_core.sdk.jobs import JobState
from stable_core.sdk.params import KIND_FOLDERS, Component, Field

DOCS = Path(__file__).parent.parent.parent / "docs"


def sections(page: str) -> dict[str, str]:
    """Return the text below each heading of a page, up to the next heading of any level."""
    parts = re.split(r"(?m)^#+ (.+)$", (DOCS / page).read_text("utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def code_sections(page: str) -> dict[str, str]:
    """Return the sections whose heading is one name in code style."""
    return {title[1:-1]: text for title, text in sections(page).items() if re.fullmatch("`[^`]+`", title)}


def test_the_error_tree_is_the_one_of_the_code() -> None:
    drawn = [line.strip() for line in (errors.__doc__ or "").splitlines()[1:] if line.strip()]
    page = (DOCS / "errors.md").read_text("utf-8")
    assert re.findall(r"(?m)^    (\S.*)$", page.split("\nWhere you meet them")[0]) == drawn


def test_every_error_code_is_explained_with_its_status() -> None:
    classes = [cls for cls in errors.error_classes() if cls is not StableCoreError]
    explained = code_sections("errors.md")
    assert set(explained) == {*(cls.code() for cls in classes), "job_cancelled"}
    for cls in classes:
        if cls is not JobFailed:
            assert f"HTTP {cls.status}" in " ".join(explained[cls.code()].split()), cls.code()


def test_every_setting_is_listed_in_order_with_help_default_and_variable() -> None:
    listed = code_sections("settings.md")
    assert list(listed) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        text = " ".join(listed[name].split())
        found = re.match(r"(.+) Default: `(.+?)`.*? Variable: `(\w+)`\.", text)
        assert found, f"{name}: {text}"
        assert (found[1], json.loads(found[2])) == (field.description, field.default)
        assert found[3] == f"STABLE_CORE_{name.upper()}"


def test_the_example_of_a_settings_file_is_one(home: Path) -> None:
    example = re.search(r"(?ms)^    \{\n.*?^    \}$", sections("settings.md")["Settings"])
    assert example
    (home / "settings.json").write_text(example[0], "utf-8")
    config = Config(home)
    assert config.settings.image_format == "webp"
    assert config.plugin_settings("sd") == {"precision": "fp32"}


def test_every_name_of_the_sdk_is_explained() -> None:
    assert set(code_sections("plugin_guide.md")) == set(sdk.__all__)


def test_the_table_of_port_types_is_complete() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \|", sections("plugin_guide.md")["Ports"])
    assert [row.lower() for row in rows] == list(ARTIFACT_TYPES)


def test_the_tables_of_knobs_and_models_are_complete() -> None:
    field = code_sections("plugin_guide.md")["Field"]
    for name in Field.__annotations__.keys() - {"options", "return"}:
        assert f"`{name}`" in field, name
    options = re.findall(r"`([a-z_]+)`", field.split("are pydantic's")[0])
    assert set(options) <= inspect.signature(pydantic.Field).parameters.keys()
    components = re.findall(r"(?m)^\| [^|]*\| `(\w+)` \|", field.split("| `group`")[0])
    assert components == list(get_args(Component))
    kinds = re.findall(r"(?m)^\| `(\w+)` \| (.+) \|$", code_sections("plugin_guide.md")["ModelFile"])
    assert {kind: tuple(re.findall("`([^`]+)`", folders)) for kind, folders in kinds} == KIND_FOLDERS


def test_the_glossary_is_sorted_and_knows_every_state() -> None:
    words = [title for title in sections("glossary.md") if title != "Glossary"]
    assert words == sorted(words, key=str.lower)
    for state in JobState:
        assert f"`{state}`" in sections("glossary.md")["State"]


@pytest.mark.parametrize("title", [title for title in sections("decisions.md") if title != "Decisions"])
def test_a_decision_is_short_and_says_what_why_and_what_not(title: str) -> None:
    text = sections("decisions.md")[title].strip()
    assert len(text.splitlines()) <= 12
    assert re.match(r"\d{4}-\d\d-\d\d: ", title)
    assert re.search(r"(?s)^Decided: .+^Why: .+^Rejected: ", text, re.MULTILINE)


def test_decisions_come_newest_first() -> None:
    dates = [title[:10] for title in sections("decisions.md") if title != "Decisions"]
    assert dates == sorted(dates, reverse=True)
