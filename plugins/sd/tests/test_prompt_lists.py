"""Lists of prompts, one run per line."""

from __future__ import annotations

from typing import Any

import pytest

from stable_core.sdk import InvalidParams
from stable_core_sd.invocations.prompt_lists import plan_prompts, read_line
from stable_core_sd.params_scripts import PromptsFromFileParams


def runs_of(prompts: str, prompt: str = "", **knobs: Any) -> list[Any]:
    return plan_prompts(prompts, PromptsFromFileParams(**{"seed": 5, "prompt": prompt, **knobs}))


def test_each_line_is_a_run_and_empty_ones_are_none() -> None:
    assert [prompt for prompt, _ in runs_of("a cat\n\n  a dog \r\n")] == ["a cat", "a dog"]


def test_a_line_sets_knobs_for_itself() -> None:
    (first, one), (second, two) = runs_of(
        '--prompt a red cat --negative_prompt "bad, worse" --steps 3 --subseed_strength 0.5 --sampler_name "Euler a" '
        "--sd_model nano --outpath_samples somewhere --tiling True\na dog",
        steps=9,
    )
    assert (first, one.negative_prompt, one.steps, one.variation.strength) == ("a red cat", "bad, worse", 3, 0.5)
    assert (one.sampler, one.tiling, one.checkpoint) == ("Euler a", True, "nano")
    assert (second, two.steps, two.tiling) == ("a dog", 9, False)


def test_a_line_may_ask_for_restored_faces() -> None:
    (_, with_faces), (_, without) = runs_of("--prompt a --restore_faces True\n--prompt b")
    assert (with_faces.restore_faces, without.restore_faces) == (True, False)


def test_a_line_may_have_styles_of_its_own() -> None:
    [(_, run)] = runs_of('--prompt a cat --styles "Ink, Old paper"', styles=["Other"])
    assert run.styles == ["Ink", "Old paper"]


@pytest.mark.parametrize("line", ["a --nonsense 3", "a cat -- a dog", "--steps", '--prompt "open', "--steps many"])
def test_what_cannot_be_read_is_a_prompt(line: str) -> None:
    assert read_line(line) == {"prompt": line}


def test_the_main_prompt_stands_behind_or_before() -> None:
    assert runs_of("a cat", "best")[0][0] == "a cat best"
    assert runs_of("a cat", "best", position="end")[0][0] == "best a cat"


@pytest.mark.parametrize(
    ("seeds", "expected"), [("same", [5, 5, 5]), ("one after the other", [5, 9, 11])], ids=["same", "next"]
)
def test_seeds_of_the_lines(seeds: str, expected: list[int]) -> None:
    found = runs_of("--prompt a --n_iter 2\nb\nc", batch_size=2, seeds=seeds)
    assert [knobs.seed for _, knobs in found] == expected


def test_random_seeds_differ() -> None:
    assert len({knobs.seed for _, knobs in runs_of("a\nb\nc", seeds="random")}) == 3


@pytest.mark.parametrize(("prompts", "message"), [("", "no prompts"), ("a\n--prompt b --steps 100000", "Line 2")])
def test_what_is_wrong_is_said_before_anything_runs(prompts: str, message: str) -> None:
    with pytest.raises(InvalidParams, match=message):
        runs_of(prompts)
