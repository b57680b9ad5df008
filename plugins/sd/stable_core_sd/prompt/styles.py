"""Styles: named pieces of prompt, kept in A1111's `styles.csv`. It adds them to prompts and finds them in prompts."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PLACE = "{prompt}"
"""Where a style's text takes up the prompt."""


@dataclass(frozen=True)
class Style:
    """What one style adds to the prompt and to the negative prompt."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""


def apply_styles(prompt: str, texts: Iterable[str]) -> str:
    """Return the prompt with the texts of styles, one after the other.

    A text with `{prompt}` is put around what there is so far; any other is added after a comma.
    """
    for text in texts:
        if PLACE in text:
            prompt = text.replace(PLACE, prompt)
        else:
            prompt = ", ".join(part for part in (prompt.strip(), text.strip()) if part)
    return prompt


def extract_text(text: str, prompt: str) -> str | None:
    """Return a prompt without the text of a style; None if it does not have it.

    What stands before and after `{prompt}` may not overlap, so that adding the style again gives the same prompt.
    """
    text, stripped = text.strip(), prompt.strip()
    left, place, right = text.partition(PLACE)
    if not place:
        return stripped.removesuffix(text).removesuffix(", ") if stripped.endswith(text) else None
    fits = stripped.startswith(left) and stripped.endswith(right) and len(stripped) >= len(left) + len(right)
    return stripped[len(left) : len(stripped) - len(right)] if fits else None


def extract_styles(styles: Iterable[Style], prompt: str, negative_prompt: str) -> tuple[list[str], str, str]:
    """Return the names of the styles that two prompts have, in the order of adding them, and the rest of both."""
    waiting = [style for style in styles if style.prompt or style.negative_prompt]
    names: list[str] = []
    while True:
        for style in waiting:
            rest, negative_rest = (
                extract_text(style.prompt, prompt),
                extract_text(style.negative_prompt, negative_prompt),
            )
            if rest is not None and negative_rest is not None:
                prompt, negative_prompt = rest, negative_rest
                names.insert(0, style.name)
                waiting.remove(style)
                break
        else:
            return names, prompt, negative_prompt


def read_csv(text: str) -> list[Style]:
    """Return the styles of a table with the columns `name`, `prompt` (once `text`) and `negative_prompt`.

    Rows whose name starts with `#` are left out; of two styles of one name the last one counts.
    """
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), skipinitialspace=True)
    styles = {}
    for row in rows:
        name = row.get("name")
        if name is not None and not name.startswith("#"):
            prompt = row["prompt"] if "prompt" in row else row.get("text")
            styles[name] = Style(name, prompt or "", row.get("negative_prompt") or "")
    return list(styles.values())


def write_csv(styles: Iterable[Style]) -> str:
    """Return a table as A1111 writes it, without the byte order mark."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["name", "prompt", "negative_prompt"])
    writer.writerows([style.name, style.prompt, style.negative_prompt] for style in styles)
    return file.getvalue()


def save_csv(path: Path, styles: Iterable[Style]) -> None:
    """Write a table in UTF-8 with a byte order mark; what was there is kept beside it as `.bak`."""
    if path.is_file():
        shutil.copy(path, path.with_name(path.name + ".bak"))
    path.write_bytes(write_csv(styles).encode("utf-8-sig"))
