"""Styles in the models folders: which files count, and the jobs that list, keep and forget them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from stable_core.sdk import InvalidParams, Progress
from stable_core_sd.params_prompts import StyleListParams, StyleNameParams, StyleParams
from stable_core_sd.plugin import delete_style, save_style, styles
from stable_core_sd.prompt.styles import Style
from stable_core_sd.style_files import find_styles, known_styles

HEADER = "name,prompt,negative_prompt\n"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the home's models folder and that of A1111, whose styles.csv lies beside it."""
    home, other = tmp_path / "home" / "models", tmp_path / "webui" / "models"
    other.mkdir(parents=True)
    monkeypatch.setenv("STABLE_CORE_MODELS", os.pathsep.join(map(str, (home, other))))
    other.with_name("styles.csv").write_bytes(b"\xef\xbb\xbfname,prompt,negative_prompt\r\nOil,oil painting,photo\r\n")
    return home, other


def listed(search: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = styles(StyleListParams(search=search), Progress()).value
    return found


def test_all_files_are_read_and_the_first_style_of_a_name_counts(folders: tuple[Path, Path]) -> None:
    home, other = folders
    (home / "styles").mkdir(parents=True)
    (home / "styles" / "more.csv").write_text(f"{HEADER}Ink,ink,\nOil,my oil,\n")
    (other / "styles.csv").write_text(f"{HEADER}Pen,pen,\n")
    assert {style["name"]: style["prompt"] for style in listed()} == {"Ink": "ink", "Oil": "my oil", "Pen": "pen"}
    assert [style["name"] for style in listed("IN")] == ["Ink"]
    assert find_styles(["Pen", "none", "Pen"]) == ([Style("Pen", "pen")] * 2, ["none"])


def test_a_style_is_kept_changed_and_forgotten(folders: tuple[Path, Path]) -> None:
    save_style(StyleParams(name="Ink", prompt="{prompt} in ink", negative_prompt="colour, photo"), Progress())
    save_style(StyleParams(name="Ink", prompt="ink"), Progress())
    save_style(StyleParams(name="Oil", prompt="my oil"), Progress())
    assert known_styles()["Ink"] == (Style("Ink", "ink"), folders[0] / "styles.csv")
    assert known_styles()["Oil"][0].prompt == "my oil"
    delete_style(StyleNameParams(name="Oil"), Progress())
    assert known_styles()["Oil"][0].prompt == "oil painting"
    with pytest.raises(InvalidParams) as refused:
        delete_style(StyleNameParams(name="Oil"), Progress())
    assert "webui" in str(refused.value.hint)


def test_names_that_would_be_lost_are_refused(folders: tuple[Path, Path]) -> None:
    for name in ("#1", "  "):
        with pytest.raises(InvalidParams):
            save_style(StyleParams(name=name), Progress())


def test_a_file_in_another_encoding_is_named(folders: tuple[Path, Path]) -> None:
    (folders[1] / "styles.csv").write_bytes(HEADER.encode() + "É,é,\n".encode("latin-1"))
    with pytest.raises(InvalidParams, match=r"styles\.csv"):
        styles(StyleListParams(), Progress())


def test_without_a_models_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLE_CORE_MODELS", "")
    assert listed() == []
    with pytest.raises(InvalidParams):
        save_style(StyleParams(name="Ink"), Progress())
