"""File names from patterns; the reference cases are in test_parity."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image

from stable_core_sd.file_names import TOKENS, NamedPicture, fill_pattern, sanitize

NOON = datetime(2024, 5, 6, 12, 0, 1, tzinfo=UTC)


def name_of(pattern: str, **facts: Any) -> str:
    known = {"picture": Image.new("RGB", (64, 32)), "prompt": "a red cat", "seed": 5, "seeds": [5, 6], "now": NOON}
    return fill_pattern(pattern, NamedPicture(**{**known, **facts}))


@pytest.mark.parametrize(
    ("pattern", "facts", "expected"),
    [
        ("[seed]-[prompt_spaces]", {}, "5-a red cat"),
        ("[SEED_first]_[seed_last]", {"batch_size": 2}, "5_6"),
        ("x-[batch_number]-[generation_number]", {"batch_size": 2, "iteration": 3, "batch_index": 1}, "x-2-8"),
        ("x-[batch_number]y[seed]", {}, "y5"),
        ("[datetime]", {}, "20240506120001"),
        ("[datetime<%H:%M><Asia/Tokyo>]", {}, "21_00"),
        ("[datetime<%Y><No/Where>]", {}, "2024"),
        ("[hasprompt<CAT|none><dog|nodog><bird>]", {}, "catnodog"),
        ("[scheduler]|[sampler_scheduler]", {"sampler": "DPM2", "scheduler": "Automatic"}, "Karras|DPM2 Karras"),
        ("[prompt_no_styles]", {"prompt": "art of a cat, fine", "style_texts": ["art of {prompt}, fine"]}, "a cat"),
        ("[unknown<1>]", {}, "[unknown]"),
        ("[model_name]/[user]", {"model_name": "sub/a:b", "user": "me"}, "sub_a_b/me"),
        ("[seed<3>]", {}, "[seed]"),
        ("[prompt_hash<x>]-[prompt_hash<>]-[prompt_hash<4><9>]", {}, "[prompt_hash]-ff966ff1-ff96"),
        ("[prompt_words]", {"prompt": " .,"}, "empty"),
    ],
)  # fmt: skip
def test_patterns_are_filled(pattern: str, facts: dict[str, Any], expected: str) -> None:
    assert name_of(pattern, **facts) == expected


@pytest.mark.parametrize("token", TOKENS)
def test_every_token_has_a_value_without_arguments(token: str) -> None:
    assert f"[{token}]" not in name_of(f"[{token}]", user="me")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a/b\\c:d", "a_b_c_d"), ("a\0b\nc", "a_b_c"), ("end.. .", "end.._"), ("..", ""), ("x" * 200, "x" * 128)],
)
def test_names_are_fit_for_every_system(text: str, expected: str) -> None:
    assert sanitize(text) == expected
