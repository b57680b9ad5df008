"""Requests and graph documents: checks, references, sweeps; no store, no worker."""

from __future__ import annotations

from typing import Any

import pytest

from stable_core import graphs
from stable_core.errors import BadRequest, InvalidInput

ECHO = {"job": "p.echo"}


def port(name: str, kind: str = "text", *, is_list: bool = False, is_optional: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, "list": is_list, "optional": is_optional}


SIGNATURE = {
    "name": "p.echo",
    "inputs": [port("text"), port("image", "image", is_optional=True), port("many", is_list=True, is_optional=True)],
    "outputs": [port("first"), port("second", "image")],
}


# -- requests ----------------------------------------------------------------------------------------------------------


def test_a_request_is_filled_in() -> None:
    filled = graphs.check_request(ECHO)
    assert filled == {
        "job": "p.echo",
        "inputs": {},
        "params": {},
        "priority": 0,
        "timeout": None,
        "cache": True,
        "map": "zip",
    }
    given = {
        **ECHO,
        "inputs": {"a": 1},
        "params": {"b": 2},
        "priority": -3,
        "timeout": 1.5,
        "cache": False,
        "map": "product",
    }
    assert graphs.check_request(given) == given


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        "p.echo",
        7,
        {},
        {"inputs": {}},
        {"job": 7},
        {"job": None},
        {**ECHO, "inputs": []},
        {**ECHO, "params": "x"},
        {**ECHO, "priority": 1.5},
        {**ECHO, "priority": True},
        {**ECHO, "priority": 2**31 + 1},
        {**ECHO, "timeout": True},
        {**ECHO, "timeout": "1"},
        {**ECHO, "timeout": -1},
        {**ECHO, "timeout": 1e300},
        {**ECHO, "cache": 1},
        {**ECHO, "cache": None},
        {**ECHO, "map": "zap"},
        {**ECHO, "map": None},
        {**ECHO, "seed": 1},
    ],
)
def test_a_request_of_another_form_is_refused(request_: Any) -> None:
    with pytest.raises(BadRequest):
        graphs.check_request(request_)


def test_a_request_nested_without_end_is_refused() -> None:
    deep: Any = "text"
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(BadRequest):
        graphs.check_request({**ECHO, "inputs": {"text": deep}})


# -- documents ---------------------------------------------------------------------------------------------------------


def wired(*keys: str) -> dict[str, Any]:
    return {**ECHO, "inputs": {"many": [{"job": key} for key in keys]}}


def document(**jobs: Any) -> dict[str, Any]:
    return {"version": 1, "jobs": jobs, "ui": {"anything": [1]}}


def test_jobs_come_after_those_they_need() -> None:
    ordered = list(
        graphs.check_document(document(d=wired("b", "c"), c=wired("a"), b=wired("a", "a"), a=ECHO, e=wired("other")))
    )
    assert sorted(ordered) == list("abcde")
    assert ordered.index("a") < min(ordered.index("b"), ordered.index("c"))
    assert max(ordered.index("b"), ordered.index("c")) < ordered.index("d")


@pytest.mark.parametrize(
    "jobs",
    [
        {"a": wired("a")},
        {"a": wired("b"), "b": wired("a")},
        {"a": wired("b"), "b": wired("c"), "c": wired("a"), "d": ECHO},
    ],
)
def test_a_circle_is_refused(jobs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="circle"):
        graphs.check_document(document(**jobs))


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {"version": 1},
        {"version": 2, "jobs": {"a": ECHO}},
        {"jobs": {"a": ECHO}},
        {"version": 1, "jobs": []},
        {"version": 1, "jobs": {}},
        {"version": 1, "jobs": {"a": {}}},
        {"version": 1, "jobs": {"a": ECHO}, "more": 1},
        {"version": 1, "jobs": {"": ECHO}},
        {"version": 1, "jobs": {"a": None}},
        {"version": 1, "jobs": {"\ud800": ECHO}},
    ],
)
def test_a_document_of_another_form_is_refused(wrong: Any) -> None:
    with pytest.raises(BadRequest):
        graphs.check_document(wrong)


def test_the_wrong_job_of_a_document_is_named() -> None:
    with pytest.raises(BadRequest, match="'b'"):
        graphs.check_document(document(a=ECHO, b={**ECHO, "map": 1}))


def test_a_long_chain_in_the_wrong_order() -> None:
    jobs = {str(number): wired(str(number + 1)) for number in range(300)} | {"300": ECHO}
    assert list(graphs.check_document(document(**jobs))) == [str(number) for number in reversed(range(301))]


# -- input values ------------------------------------------------------------------------------------------------------

NESTED = {
    "text": {"each": ["a", {"job": "one", "output": "x"}, [{"artifact": "f1"}]]},
    "many": [{"job": "two"}, ["b", {"each": [{"job": "one"}]}], {"artifact": "f2"}],
    "job": "not a reference",
    "data": {"data": {"job": "inside data", "artifact": "inside data"}},
    "nothing": None,
}


def test_references_and_artifacts_are_found_at_any_depth() -> None:
    assert graphs.named_in(NESTED, "job") == ["one", "two"]
    assert graphs.named_in(NESTED, "artifact") == ["f1", "f2"]


def test_keys_become_ids_and_nothing_else_changes() -> None:
    replaced = graphs.with_job_ids(NESTED, {"one": "id1", "inside data": "id2", "not a reference": "id3"})
    assert replaced["text"] == {"each": ["a", {"job": "id1", "output": "x"}, [{"artifact": "f1"}]]}
    assert replaced["many"] == [{"job": "two"}, ["b", {"each": [{"job": "id1"}]}], {"artifact": "f2"}]
    assert {name: replaced[name] for name in ("job", "data", "nothing")} == {
        name: NESTED[name] for name in ("job", "data", "nothing")
    }


@pytest.mark.parametrize(
    "inputs",
    [
        {"text": "a"},
        {"text": ["a", ["b"]]},
        {"text": {"each": ["a", "b"]}},
        {"text": {"artifact": "t"}},
        {"text": {"job": "j", "output": "o"}},
        {"text": [], "image": None},
    ],
)
def test_inputs_that_fit(inputs: dict[str, Any]) -> None:
    graphs.check_inputs(SIGNATURE, inputs, lambda _: "text")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "needs the input 'text'"),
        ({"text": "a", "other": "b"}, "no input 'other'"),
        ({"text": 1}, "no input value: 1"),
        ({"text": {}}, "no input value"),
        ({"text": {"job": ""}}, "no input value"),
        ({"text": {"job": 3}}, "no input value"),
        ({"text": {"artifact": "a", "output": "b"}}, "no input value"),
        ({"text": {"each": "a"}}, "no input value"),
        ({"text": "a", "image": "b"}, "takes image, not text"),
        ({"text": "a", "image": {"artifact": "t"}}, "takes image, not text"),
        ({"text": "a", "many": [["b", None]]}, "no input value"),
    ],
)
def test_inputs_that_do_not_fit(inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        graphs.check_inputs(SIGNATURE, inputs, lambda _: "text")


def test_a_reference_means_the_first_port_or_the_named_one() -> None:
    assert graphs.output_port(SIGNATURE, {"job": "j"})["name"] == "first"
    assert graphs.output_port(SIGNATURE, {"job": "j", "output": "second"})["name"] == "second"
    with pytest.raises(InvalidInput, match="no output 'third'"):
        graphs.output_port(SIGNATURE, {"job": "j", "output": "third"})
    with pytest.raises(InvalidInput, match="makes nothing"):
        graphs.output_port({**SIGNATURE, "outputs": []}, {"job": "j"})


# -- maps and sweeps ---------------------------------------------------------------------------------------------------


def unfold(inputs: dict[str, Any], params: dict[str, Any] | None = None, how: str = "zip") -> Any:
    made = {"three": ["x", "y", "z"], "one": ["w"], "none": []}
    resolved = graphs.resolve_inputs(
        SIGNATURE, inputs, lambda reference: [{"id": name} for name in made[reference["job"]]]
    )
    children = graphs.fan_out(SIGNATURE, resolved, params or {}, how)
    if children is None:
        return graphs.single_inputs(SIGNATURE, resolved)
    return [(child["inputs"], child["params"]) for child in children]


def files(*names: str) -> list[dict[str, str]]:
    return [{"artifact": name} for name in names]


def test_single_values_run_once() -> None:
    assert unfold({"text": "a", "many": ["b", {"job": "three"}], "image": None}) == {
        "text": "a",
        "many": ["b", *files(*"xyz")],
    }
    assert unfold({"text": ["a"]}) == {"text": "a"}
    assert unfold({"text": {"job": "one"}, "many": []}) == {"text": {"artifact": "w"}, "many": []}


def test_lists_make_children() -> None:
    assert [inputs["text"] for inputs, _ in unfold({"text": {"job": "three"}})] == files(*"xyz")
    assert unfold({"text": {"job": "none"}}) == []
    assert unfold({"text": []}) == []


def test_a_list_port_goes_whole_to_each_child() -> None:
    children = unfold({"text": ["a", "b"], "many": ["c", "d"]})
    assert [inputs["many"] for inputs, _ in children] == [["c", "d"], ["c", "d"]]


def test_a_swept_list_port() -> None:
    children = unfold({"text": "a", "many": {"each": [["b", {"job": "three"}], [], "c"]}})
    assert [inputs["many"] for inputs, _ in children] == [["b", *files(*"xyz")], [], ["c"]]


def test_params_are_swept_with_inputs() -> None:
    params = {"steps": {"each": [1, 2]}, "size": 8}
    assert [(inputs["text"], chosen) for inputs, chosen in unfold({"text": ["a", "b"]}, params)] == [
        ("a", {"steps": 1, "size": 8}),
        ("b", {"steps": 2, "size": 8}),
    ]
    crossed = unfold({"text": ["a", "b"]}, params, "product")
    assert [(inputs["text"], chosen["steps"]) for inputs, chosen in crossed] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


def test_sweeps_inside_groups_are_combined_with_others() -> None:
    params = {"hires": {"scale": {"each": [2, 3]}, "steps": 5}, "size": {"each": [8, 9]}}
    assert [chosen for _, chosen in unfold({"text": "a"}, params)] == [
        {"hires": {"scale": 2, "steps": 5}, "size": 8},
        {"hires": {"scale": 3, "steps": 5}, "size": 9},
    ]
    crossed = [chosen for _, chosen in unfold({"text": "a"}, params, "product")]
    assert [(chosen["hires"]["scale"], chosen["size"]) for chosen in crossed] == [(2, 8), (2, 9), (3, 8), (3, 9)]


def test_lists_of_different_length_are_not_paired() -> None:
    with pytest.raises(InvalidInput, match=r"hires\.scale: 2, steps: 3"):
        unfold({"text": "a"}, {"hires": {"scale": {"each": [1, 2]}}, "steps": {"each": [1, 2, 3]}})
    with pytest.raises(InvalidInput, match="text: 2, steps: 3"):
        unfold({"text": ["a", "b"]}, {"steps": {"each": [1, 2, 3]}})
    with pytest.raises(InvalidInput, match="text: 0, steps: 1"):
        unfold({"text": []}, {"steps": {"each": [1]}})


def test_a_sweep_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MAX_FAN_OUT", 10)
    assert len(unfold({"text": ["a"] * 5}, {"steps": {"each": [1, 2]}}, "product")) == 10
    with pytest.raises(InvalidInput, match="more than 10"):
        unfold({"text": ["a"] * 11})
    with pytest.raises(InvalidInput, match="more than 10"):
        unfold({"text": ["a"] * 100}, {str(number): {"each": [1] * 100} for number in range(50)}, "product")
