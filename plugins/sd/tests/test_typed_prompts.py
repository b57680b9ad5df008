"""Prompts before a run: styles and comments in all of them, and what the person is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from stable_core_sd.params import EachParams, HiresParams, TextParams, Txt2ImgParams
from stable_core_sd.typed_prompts import finish_prompts

STYLES = "name,prompt,negative_prompt\nInk,{prompt} in ink,colour\nBest,masterpiece,\n"


@pytest.fixture(autouse=True)
def styles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "styles.csv").write_text(STYLES)
    monkeypatch.setenv("STABLE_CORE_MODELS", str(tmp_path))


def test_styles_are_added_in_their_order_to_both_prompts() -> None:
    prompt, finished, notes = finish_prompts("a cat", Txt2ImgParams(negative_prompt="bad", styles=["Best", "Ink"]))
    assert (prompt, finished.negative_prompt, notes) == ("a cat, masterpiece in ink", "bad, colour", [])


def test_comments_are_left_out_after_that_so_one_in_the_last_line_hides_styles() -> None:
    params = Txt2ImgParams(negative_prompt="# old\nbad", styles=["Best"])
    prompt, finished, _ = finish_prompts("a cat # mine", params)
    assert (prompt, finished.negative_prompt) == ("a cat \n", "\nbad")


def test_a_comment_can_be_text() -> None:
    prompt, _, _ = finish_prompts("a #cat", Txt2ImgParams(text=TextParams(comments=False)))
    assert prompt == "a #cat"


def test_the_second_pass_has_styles_too_where_it_has_prompts_of_its_own() -> None:
    params = Txt2ImgParams(styles=["Ink"], hires=HiresParams(prompt="a dog", negative_prompt=""))
    _, finished, _ = finish_prompts("a cat", params)
    assert (finished.hires.prompt, finished.hires.negative_prompt) == ("a dog in ink", "")


def test_the_person_is_told_what_may_surprise() -> None:
    _, _, notes = finish_prompts("ratio 16:9", Txt2ImgParams(styles=["None", "Ink "]))
    assert notes == [
        "There is no style 'None'",
        "There is no style 'Ink '",
        "The number at the end is read as a weight of 9 for the whole prompt",
    ]


def test_the_hypernetwork_of_all_prompts_is_added_to_those_that_do_not_name_it() -> None:
    params = Txt2ImgParams(
        styles=["Ink"],
        negative_prompt="bad",
        hires=HiresParams(prompt="a dog <hypernet:mood:0.5>"),
        each=EachParams(prompts=["a <hypernet:other:1>", "b"]),
    )
    prompt, finished, _ = finish_prompts("a cat", params, "mood")
    assert (prompt, finished.negative_prompt) == ("a cat in ink<hypernet:mood:1>", "bad, colour")
    assert finished.hires.prompt == "a dog <hypernet:mood:0.5> in ink"
    assert finished.each.prompts == ["a <hypernet:other:1> in ink<hypernet:mood:1>", "b in ink<hypernet:mood:1>"]
    assert finish_prompts("a cat", Txt2ImgParams(), "None")[0] == "a cat"
    assert finish_prompts("ratio 16:9", Txt2ImgParams(), "mood")[2] != []
