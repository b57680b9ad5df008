"""The lists of phrases that a picture is compared with, `interrogate/*.txt` of the models folders. It compares nothing.

A1111's folder `interrogate`, which lies beside its `models`, is read too. Of two lists of one name the first counts, so
a list of a person replaces the one that comes along.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from stable_core.sdk import InvalidParams, model_files
from stable_core_sd.model_roots import BUNDLED, roots_and_beside

KIND = "interrogate"
_COUNT = re.compile(r"\.top(\d+)(?=\.|$)")


@dataclass(frozen=True)
class Category:
    """One list: its name, how many of its phrases are taken, and the phrases."""

    name: str
    count: int
    phrases: tuple[str, ...]


def read_categories(skipped: Collection[str] = (), limit: int = 0) -> list[Category]:
    """Return the lists that there are, by name; a file `flavors.top3.txt` is the list `flavors`, of which 3 are taken.

    Args:
        skipped: names of lists that are left out.
        limit: so many phrases of each list are looked at; 0 is all.

    Raises:
        InvalidParams: a file is not in UTF-8.
    """
    files = model_files(KIND, [*roots_and_beside(), BUNDLED], suffixes=(".txt",))
    found: dict[str, Category] = {}
    for stem, path in files.items():
        name, counted = _COUNT.sub("", stem), _COUNT.search(stem)
        try:
            lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
        except ValueError:
            raise InvalidParams(f"{path} is not in UTF-8.", "Save it as UTF-8 in a text editor.") from None
        phrases = tuple(line for line in lines if line)[: limit or None]
        if phrases and name not in skipped and stem not in skipped:
            found.setdefault(name, Category(name, int(counted[1]) if counted else 1, phrases))
    return sorted(found.values(), key=lambda category: category.name)
