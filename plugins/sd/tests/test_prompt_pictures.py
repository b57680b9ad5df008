"""What the prompt language does to real pictures, measured in them: the built-in model draws, the colours judge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from prompt_pictures import COMPOSED, EDITED, OPEN, WEIGHTS, pictures

RED, BLUE = 0, 2


def share(made: Iterable[Any], channel: int, part: slice = slice(None)) -> float:
    """Return the share of the pixels, in some columns, in which one channel stands out clearly."""
    pixels = np.stack([np.asarray(picture, dtype=int)[:, part] for picture in made])
    others = np.delete(pixels, channel, axis=-1).max(axis=-1)
    return float((pixels[..., channel] > others + 40).mean())


def difference(some: Iterable[Any], others: Iterable[Any]) -> float:
    pairs = zip(some, others, strict=True)
    return float(np.mean([np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).mean() for a, b in pairs]))


def test_weights_shift_colours() -> None:
    red, blue = (pictures(prompt) for prompt in WEIGHTS)
    assert share(red, RED) > 1.2 * share(blue, RED)
    assert share(blue, BLUE) > 1.1 * share(red, BLUE)


def test_a_negative_prompt_takes_colours_out() -> None:
    free, bound = pictures(OPEN), pictures(OPEN, "red, blue")
    assert share(free, RED) + share(free, BLUE) > 0.03
    assert share(bound, RED) + share(bound, BLUE) < 0.005


def test_and_composes_two_things() -> None:
    made, left, right = pictures(COMPOSED), slice(0, 64), slice(64, 128)
    assert share(made, RED, left) > 0.02 > 0.005 > share(made, RED, right)
    assert share(made, BLUE, right) > 0.01 > 0.005 > share(made, BLUE, left)


def test_editing_changes_the_subject() -> None:
    circle, square = (pictures(EDITED.replace("[circle:square:0.3]", name)) for name in ("circle", "square"))
    edited = pictures(EDITED)
    assert difference(edited, square) < 0.5 * difference(edited, circle)


def test_an_edit_in_the_last_steps_changes_little() -> None:
    late = pictures(EDITED.replace("0.3", "0.9"))
    circle, square = (pictures(EDITED.replace("[circle:square:0.3]", name)) for name in ("circle", "square"))
    assert difference(late, circle) < 0.5 * difference(late, square)
