"""Values of an axis from text; the reference cases are in test_parity."""

from __future__ import annotations

from typing import Any

import pytest

from stable_core_sd.invocations.axis_values import read_values, reorder_prompt, spread


@pytest.mark.parametrize(
    ("axis_type", "text", "expected"),
    [
        ("float", "0.1-0.3(+0.1)", [0.1, 0.2, 0.3]),
        ("float", "3-7(+1.5)", [3, 4.5, 6]),
        ("float", "1e-3", [0.001]),
        ("float", "1-2(+0.1)", [1 + index / 10 for index in range(11)]),
        ("int", "5-1(-1)", [5, 4, 3, 2, 1]),
        ("int", "5-1(-2)", [5, 3, 1]),
        ("int", "10-20[0]", []),
        ("float", "1-3[1]", [1]),
    ],
)
def test_ranges_end_at_their_ends(axis_type: Any, text: str, expected: list[float]) -> None:
    assert read_values(axis_type, text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.0--3[3]", [5, 1, -3]),
        ("5 - -3[3]", [5, 1, -3]),
        ("-1.0--0.5[3]", [-1, -0.75, -0.5]),
        ("-3.0--1", [-3, -2, -1]),
        ("+1.5-+3.5", [1.5, 2.5, 3.5]),
        (".5", [0.5]),
        ("-.5", [-0.5]),
        ("1e3", [1000]),
        ("2.5e-1", [0.25]),
        ("0-1e1(+5)", [0, 5, 10]),
        ("1E1 - 0 [3]", [10, 5, 0]),
        ("1. - 2.(+.5),3", None),
        ("5--3[3]", None),
        ("-3--1", None),
        (".5-1", None),
        ("0-.5[2]", None),
        ("1e-3-1", None),
        ("- 1", None),
        ("1-3[2.0]", None),
        ("1-3[2]4", None),
        ("1-5(+0)", None),
    ],
)
def test_numbers_are_written_as_in_the_original(text: str, expected: list[float] | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="is no number and no range"):
            read_values("float", text)
    else:
        assert read_values("float", text) == pytest.approx(expected)


def test_a_whole_number_may_be_followed_by_a_negative_one() -> None:
    assert read_values("int", "5--3[3],-3--1, 1 - +2") == [5, 1, -3, -3, -2, -1, 1, 2]


@pytest.mark.parametrize("text", ["1-1000000", "1-9[1000000]", "0-4294967295(+1),1"])
def test_a_slip_of_the_finger_does_not_fill_the_memory(text: str) -> None:
    with pytest.raises(ValueError, match="at most 1,000 values"):
        read_values("int", text)


def test_too_many_permutations_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="at most 1,000 values"):
        read_values("permutations", ",".join(map(str, range(12))))


@pytest.mark.parametrize("order", [("cat", "dog"), ("red cat", "cat")])
def test_prompt_order_does_not_garble_a_prompt_that_lacks_a_text(order: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="not in the prompt"):
        reorder_prompt("a red cat", order)


def test_spread_hits_both_ends() -> None:
    assert spread(0.1, 0.7, 7)[-1] == 0.7
