"""Artists by category, and one of them at random for a prompt: A1111's button of 2022. It draws nothing.

A person's list is `artists.csv` (columns artist, category, as A1111 had it) or `artists.txt` (a name a line) in a
models folder or in A1111's own folder beside its `models`. The first found takes the place of the one that comes along.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stable_core.sdk import InvalidParams
from stable_core_sd.model_roots import BUNDLED, roots_and_beside

FILES = ("artists.csv", "artists.txt")


@dataclass(frozen=True)
class Artist:
    """A name and the category that the list puts it into; empty in a list without categories."""

    name: str
    category: str = ""


def artists_file() -> Path:
    """Return the list that counts."""
    found = [root / name for root in [*roots_and_beside(), BUNDLED] for name in FILES]
    return next(path for path in found if path.is_file())


def read_artists(path: Path) -> list[Artist]:
    """Return the artists of a list.

    Raises:
        InvalidParams: it is not in UTF-8, a table without a column `artist`, or empty.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except ValueError:
        raise InvalidParams(f"{path} is not in UTF-8.", "Save it as UTF-8 in a text editor.") from None
    if path.suffix == ".csv":
        rows = csv.DictReader(lines)
        if "artist" not in (rows.fieldnames or ()):
            raise InvalidParams(f"{path} has no column artist.", "Its first line is artist,category.")
        named = [Artist((row["artist"] or "").strip(), (row.get("category") or "").strip()) for row in rows]
    else:
        named = [Artist(line.strip()) for line in lines]
    artists = [artist for artist in named if artist.name]
    if not artists:
        raise InvalidParams(f"{path} names no artist.", "Write one a line, or take the file away.")
    return artists


def with_artist(prompt: str, categories: Sequence[str], words: str, seed: int) -> str:
    """Return the prompt with an artist at its end.

    Args:
        categories: those that count; none is all.
        words: what is added; `{artist}` stands for the name.
        seed: the same one chooses the same artist from the same list; -1 is random.

    Raises:
        InvalidParams: the list cannot be used, or has none of these categories.
    """
    path = artists_file()
    artists = read_artists(path)
    chosen = [artist for artist in artists if not categories or artist.category in categories]
    if not chosen:
        known = ", ".join(sorted({artist.category for artist in artists} - {""})) or "none"
        raise InvalidParams(f"{path} has no artist in {', '.join(categories)}.", f"Its categories are: {known}.")
    source = random.Random(seed) if seed >= 0 else random.SystemRandom()
    added = words.replace("{artist}", source.choice(chosen).name)
    return f"{prompt}, {added}" if prompt else added
