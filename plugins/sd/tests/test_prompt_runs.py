"""Prompts in whole runs: styles and comments end up in the picture and its data, and surprises in its notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stable_core_sd.params import EachParams, HiresParams, TextParams
from test_txt2img import make

pytestmark = pytest.mark.usefixtures("tiny_models")


@pytest.fixture(autouse=True)
def styles(tiny_models: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny_models / "styles.csv").write_text("name,prompt,negative_prompt\nInk,{prompt} in ink,colour\n")


def pixels(prompt: str = "a cat", **knobs: Any) -> Any:
    return np.asarray(make(prompt, **knobs)[0], dtype=int)


def test_styles_and_comments_are_as_if_typed_or_not() -> None:
    [styled] = make("# mine\na cat", negative_prompt="bad", styles=["Ink"])
    [typed] = make("\na cat in ink", negative_prompt="bad, colour")
    assert styled.info == typed.info
    assert np.array_equal(np.asarray(styled), np.asarray(typed))


def test_own_prompts_of_pictures_have_styles_too() -> None:
    made = make(batch_size=2, styles=["Ink"], each=EachParams(prompts=["a dog", "a cat AND a dog"]))
    assert [one.info["parameters"].split("\n")[0] for one in made] == ["a dog in ink", "a cat AND a dog in ink"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("(a:1.5) cat", "a cat"),
        ("a [cat:dog:0.5]", "a cat"),
        ("a [cat|dog]", "a cat"),
        ("a cat AND a dog", "a cat"),
        ("a cat AND a dog:0.5", "a cat AND a dog"),
        ("a BREAK cat", "a cat"),
    ],
)
def test_what_the_language_says_changes_the_picture(first: str, second: str) -> None:
    assert np.abs(pixels(first) - pixels(second)).max() > 0


def test_the_way_of_reading_changes_the_picture() -> None:
    def drawn(**options: Any) -> Any:  # a tiny text encoder's states have a mean of 0, which no scale brings back
        return pixels("(a:1.5) red circle", checkpoint="nano", steps=4, text=TextParams(**options))

    plain = drawn()
    for options in ({"emphasis": "No norm"}, {"emphasis": "Ignore"}, {"emphasis": "None"}, {"clip_skip": 2}):
        assert np.abs(drawn(**options) - plain).max() > 10, options


def test_a_batch_of_different_prompts_equals_single_runs() -> None:
    prompts = ["a cat", "a (dog:1.3) AND a cat:0.5", "a [cat:dog:0.5] BREAK x"]
    together = make(batch_size=3, steps=3, each=EachParams(prompts=prompts))
    for index, prompt in enumerate(prompts):
        alone = pixels(prompt, seed=7 + index, steps=3)
        # Shorter prompts of a batch repeat their last token, as in the original: only the longest stays the same.
        if "BREAK" in prompt:
            assert np.abs(np.asarray(together[index], dtype=int) - alone).max() <= 1


def test_an_edit_in_the_second_pass_counts_from_it() -> None:
    large = {"hires": HiresParams(enabled=True, scale=2, denoising_strength=0.8)}
    first = pixels("a cat", **large)
    assert np.array_equal(pixels("a [cat:dog:2.0]", **large), first)
    assert np.abs(pixels("a [cat:dog:1.5]", **large) - first).max() > 0


def test_what_was_cut_off_is_told_with_the_picture() -> None:
    long = "cat " * 76 + "dog"
    assert "notes" not in make(long)[0].info
    [cut] = make(long, text=TextParams(one_chunk=True))
    assert cut.info["notes"] == ["The prompt is too long: 2 tokens were cut off: cat dog"]


def test_surprises_are_told_with_each_picture() -> None:
    made = make("ratio 16:9", styles=["None"], batch_size=2)
    for one in made:
        assert [note[:20] for note in one.info["notes"]] == ["There is no style 'N", "The number at the en"]
    [missing] = make("a cat <lora:nothing:1>")
    assert "nothing" in missing.info["notes"][0]
    assert missing.info["parameters"].startswith("a cat <lora:nothing:1>\n")
