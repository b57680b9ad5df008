"""The generation data that is written into a picture; the reference cases are in test_parity."""

from __future__ import annotations

from typing import Any

import pytest

from stable_core_sd.infotext import RunFacts, quote, takes_seed_delta, unquote, write_infotext
from stable_core_sd.names import find_sampler

RUN = {"steps": 20, "sampler": "Euler a", "scheduler": "Automatic", "cfg_scale": 7.0, "seed": 5}


def line_of(**facts: Any) -> str:
    known = RunFacts(**{**RUN, "width": 512, "height": 768, **facts})
    return write_infotext("", "", known.pairs())


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


def test_pairs_of_features_stand_before_the_version_in_the_order_given() -> None:
    features = {"Hires upscaler": "Latent", "Eta": 0.5, "Denoising strength": 0.7}
    line = line_of(features=features, version="x 1")
    assert line.endswith("Size: 512x768, Denoising strength: 0.7, Hires upscaler: Latent, Eta: 0.5, Version: x 1")


def test_what_has_its_default_is_not_written() -> None:
    assert line_of() == "Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7.0, Seed: 5, Size: 512x768"
    more = line_of(variation_seed=9, variation_strength=0.1, resize_from=(64, 32), clip_skip=2, noise_source="CPU")
    assert more.endswith(
        "Variation seed: 9, Variation seed strength: 0.1, Seed resize from: 64x32, Clip skip: 2, RNG: CPU"
    )


@pytest.mark.parametrize(
    ("label", "eta", "expected"),
    [("Euler a", None, True), ("Euler a", 0, False), ("Euler", None, False), ("DPM++ 2S a", 0.5, True)],
)
def test_only_ancestral_noise_has_seeds_of_its_own(label: str, eta: float | None, expected: bool) -> None:
    sampler = find_sampler(label)
    assert sampler is not None
    assert takes_seed_delta(sampler, eta) is expected


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


@pytest.mark.parametrize("text", ["a, b", 'say "hi", and\ngo: on', "\\", "日本: 語"])
def test_unquoting_undoes_quoting(text: str) -> None:
    assert unquote(quote(text)) == text


@pytest.mark.parametrize("text", ['"', '""a', '"bad\\q"', "plain", ""])
def test_what_is_no_quoted_text_stays(text: str) -> None:
    assert unquote(text) == text
