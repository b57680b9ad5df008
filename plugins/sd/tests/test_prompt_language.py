"""The prompt language where the reference cases do not look: any text at all, deep nesting, what a person is told."""

from __future__ import annotations

import random
import time

import pytest

from stable_core_sd.prompt.attention import BREAK, parse_attention
from stable_core_sd.prompt.comments import strip_comments
from stable_core_sd.prompt.composition import ends_in_weight, split_parts
from stable_core_sd.prompt.editing import StepCount, entry_at, schedule_texts
from stable_core_sd.prompt.extra_networks import take_networks

SOUP = [
    *"[]()|:\\,.# \n<>=",
    "a",
    "cat",
    "é",
    "1.2",
    "0.5",
    "3",
    "BREAK",
    "AND",
    ":1.2)",
    ":0.5]",
    "<lora:x:1>",
    "1e9",
    "-",
]


def soups(count: int, length: int) -> list[str]:
    """Return random prompts of all that means something."""
    chance = random.Random(3)
    return ["".join(chance.choices(SOUP, k=chance.randint(0, length))) for _ in range(count)]


def test_any_text_is_a_prompt() -> None:
    for soup in soups(1500, 25):
        assert parse_attention(soup)
        assert split_parts(soup)
        assert len(strip_comments(soup)) <= len(soup) + 1
        assert "<lora:x:1>" not in take_networks(soup)[0]
        for count in (StepCount(7), StepCount(7, 5), StepCount(7, 5, old_timelines=True)):
            schedule = schedule_texts(soup, count)
            ends = [text.end for text in schedule]
            assert ends == sorted(set(ends))
            assert ends[0] >= 1
            assert ends[-1] == count.total


def test_plain_text_comes_out_as_it_went_in() -> None:
    for soup in soups(500, 25):
        plain = "".join(character for character in soup if character not in "[]()\\:|").replace("BREAK", "x")
        assert [(piece.text, piece.weight) for piece in parse_attention(plain)] == [(plain, 1.0)]
        assert [text.text for text in schedule_texts(plain, StepCount(4))] == [plain]


@pytest.mark.parametrize("prompt", ["[" * 3000, "(" * 3000 + "a" + ")" * 3000, "[a:" * 2000 + "b" + ":0.5]" * 2000])
def test_deep_nesting_takes_no_time_and_no_stack(prompt: str) -> None:
    started = time.perf_counter()
    assert parse_attention(prompt)
    assert schedule_texts(prompt, StepCount(20))
    assert time.perf_counter() - started < 5


def test_long_prompts_are_read_in_no_time() -> None:
    prompt = ", ".join(f"(word{number}:1.1) [a|b] [c:d:{number % 20}]" for number in range(700))
    started = time.perf_counter()
    assert len(schedule_texts(prompt, StepCount(20))) == 20
    assert time.perf_counter() - started < 2


def test_a_malformed_weight_is_text() -> None:
    assert parse_attention("(cat:1.2.3)") == [("cat:1.2.3", 1.1)]
    assert parse_attention("(cat:.) dog") == [("cat:.", 1.1), (" dog", 1.0)]
    assert parse_attention("(cat:1..2:0.5)") == [("cat:1..2", 0.5)]


def test_break_marks_a_place_only_outside_of_weights() -> None:
    assert BREAK in parse_attention("a BREAK b")
    assert BREAK not in parse_attention("(a BREAK b:1.2)")


def test_a_surplus_bracket_after_an_edit_is_text() -> None:
    assert schedule_texts("[a:b:2]]", StepCount(4)) == [(2, "a]"), (4, "b]")]
    assert schedule_texts("[a:b:2](", StepCount(4)) == [(2, "a("), (4, "b(")]


def test_an_edit_is_seen_by_one_call_more_than_its_step() -> None:
    schedule = schedule_texts("[a:b:2]", StepCount(4))
    assert [schedule[entry_at(schedule, call)].text for call in range(5)] == ["a", "a", "a", "b", "b"]
    assert entry_at(schedule, 99) == 0


def test_an_edit_at_an_infinite_step_is_never_reached() -> None:
    assert schedule_texts("[a:b:1e999]", StepCount(4)) == [(4, "a")]
    assert schedule_texts("[a:b:-1e999]", StepCount(4)) == [(4, "b")]


def test_edits_of_the_second_pass_count_from_its_start() -> None:
    assert schedule_texts("[a:b:1.5]", StepCount(20, 10)) == [(5, "a"), (10, "b")]
    assert schedule_texts("[a:b:24]", StepCount(20, 10)) == [(4, "a"), (10, "b")]


def test_a_number_at_the_end_is_a_weight_and_this_can_be_told() -> None:
    assert split_parts("ratio 16:9") == [("ratio 16", 9.0)]
    assert ends_in_weight("ratio 16:9 ")
    assert not ends_in_weight("16:9 ratio")
    assert not ends_in_weight("a AND b:0.5")


def test_the_items_of_a_network_may_have_names() -> None:
    prompt, [call] = take_networks("a <lora:style:0.5:unet=0.3:x=y=z> cat")
    assert prompt == "a  cat"
    assert (call.kind, call.positional, call.named) == ("lora", ("style", "0.5", "x=y=z"), {"unet": "0.3"})
