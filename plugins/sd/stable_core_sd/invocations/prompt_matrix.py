"""The prompt matrix: every combination of the parts of a prompt, and how they stand in a grid. It runs nothing.

Source of the rules: A1111 1.10, prompt matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Delimiter = Literal["comma", "space"]
MAX_PARTS = 12
"""The most parts after the first; each doubles the number of pictures."""


@dataclass(frozen=True)
class Matrix:
    """All combinations of a prompt in the order in which they fill the grid row by row.

    Attributes:
        columns: of the grid; the parts in `across` vary along a row, those in `down` from row to row.
    """

    prompts: list[str]
    across: list[str]
    down: list[str]

    @property
    def columns(self) -> int:
        """Return how many pictures stand in a row."""
        return 2 ** len(self.across)

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return 2 ** len(self.down)

    def seeds(self, first: int, are_different: bool) -> list[int]:
        """Return the seed of each picture: all the same, or one more each time."""
        return [first + number * are_different for number in range(len(self.prompts))]


def combine(prompt: str, *, put_at_start: bool = False, delimiter: Delimiter = "comma") -> Matrix:
    """Return the matrix of a prompt such as `a city|at night|in snow`: the first part is in every combination.

    Combination number `c`, from 0, has part `j` (from 1) if bit `j - 1` of `c` is set.

    Args:
        put_at_start: the parts go before the first one, not after it.

    Raises:
        ValueError: there are more than `MAX_PARTS` parts.
    """
    fixed, *parts = prompt.split("|")
    if len(parts) > MAX_PARTS:
        raise ValueError(f"A prompt matrix takes at most {MAX_PARTS} parts after the first, this has {len(parts)}")
    parts = [part.strip().strip(",") for part in parts]
    between = ", " if delimiter == "comma" else " "
    prompts = []
    for number in range(2 ** len(parts)):
        chosen = [part for bit, part in enumerate(parts) if number & 1 << bit]
        prompts.append(between.join([*chosen, fixed] if put_at_start else [fixed, *chosen]))
    wide = (len(parts) + 1) // 2
    return Matrix(prompts, parts[:wide], parts[wide:])
