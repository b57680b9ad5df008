"""The generation data that is written into a picture."""

from __future__ import annotations

from typing import Any

import pytest

from stable_core_sd.infotext import quote, write_infotext


def test_prompts_and_pairs_stand_as_in_a1111() -> None:
    pairs = {
        "Steps": 20,
        "Sampler": "Euler a",
        "CFG scale": 7.0,
        "Seed": 12345,
        "Size": "512x512",
        "Model hash": None,
        "Model": "a, b",
    }
    expected = (
        "a cat\non a mat\nNegative prompt: a dog\n"
        'Steps: 20, Sampler: Euler a, CFG scale: 7.0, Seed: 12345, Size: 512x512, Model: "a, b"'
    )
    assert write_infotext("a cat\non a mat", "a dog", pairs) == expected


def test_empty_prompts_leave_no_empty_lines() -> None:
    assert write_infotext("", "", {"Steps": 1, "Tiling": "Tiling"}) == "Steps: 1, Tiling"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7),
        ("plain", "plain"),
        ("a, b", '"a, b"'),
        ("a:b", '"a:b"'),
        ("two\nlines", '"two\\nlines"'),
        ('"a\tb"', '"a\tb"'),
        ("ü,", '"ü,"'),
    ],
)
def test_only_values_that_would_break_the_line_are_quoted(value: Any, expected: Any) -> None:
    assert quote(value) == expected
