"""The pages themselves: links lead somewhere, words are spelled right, and the words of the project are kept."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_OUR_WORDS = re.compile(r"\b(task|manager|helper|util|service|handler)s?\b", re.IGNORECASE)


def prose(page: Path) -> str:
    """Return a page without its programs and indented examples."""
    return re.sub(r"(?ms)^```.*?^```$|^    .*?$|`[^`\n]+`", "", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8")))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_words_of_the_glossary_are_kept(page: Path) -> None:
    assert not NOT_OUR_WORDS.findall(prose(page))
    assert "—" not in page.read_text("utf-8")


@pytest.mark.skipif(importlib.util.find_spec("codespell_lib") is None, reason="codespell is not installed")
def test_spelling() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *map(str, PAGES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
