"""The texts of a training: templates with `[name]` and `[filewords]`, and tags. It reads files' names, no pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

SUBJECT = (
    "[name]",
    "a picture of [name]",
    "a drawing of [name]",
    "an image of one [name]",
    "[name], seen from the front",
    "a close view of [name]",
    "a bright picture of [name]",
    "a simple picture of [name]",
)
"""For a thing, a person, an animal."""

STYLE = (
    "a picture in the style of [name]",
    "a drawing, [name] style",
    "art by [name]",
    "a scene as [name] would make it",
    "something small in the style of [name]",
    "something large in the style of [name]",
    "a portrait in the style of [name]",
    "a landscape in the style of [name]",
)
"""For a way of painting."""

_LEADING_NUMBER = re.compile(r"^[-\d]+\s*")


@dataclass(frozen=True)
class TagRules:
    """What happens to the tags of a picture, its `[filewords]` parted by commas, each time it is shown.

    Attributes:
        dropout: the share of tags that is left out.
    """

    shuffles: bool = False
    dropout: float = 0.0

    def apply(self, file_words: str, random: Random) -> str:
        """Return the tags in another order and with some left out, as far as wanted."""
        if not self.shuffles and not self.dropout:
            return file_words
        tags = [tag for tag in file_words.split(",") if not self.dropout or random.random() > self.dropout]
        if self.shuffles:
            random.shuffle(tags)
        return ",".join(tags)


def read_templates(text: str) -> tuple[str, ...]:
    """Return the templates of a text, one a line; empty lines are none."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def fill_template(templates: Sequence[str], name: str, file_words: str, random: Random) -> str:
    """Return one of the templates with the name and the words of a picture in it."""
    return random.choice(templates).replace("[name]", name).replace("[filewords]", file_words)


def file_words(path: Path, pattern: str = "", joint: str = " ") -> str:
    """Return the words of a picture: the text file beside it, else its name without a leading number.

    Args:
        pattern: a regular expression; if given, only what it matches in the name is taken.
        joint: what its matches are joined with.
    """
    text = path.with_suffix(".txt")
    if text.is_file():
        return text.read_text("utf-8").strip()
    words = _LEADING_NUMBER.sub("", path.stem)
    return joint.join(re.findall(pattern, words)) if pattern else words
