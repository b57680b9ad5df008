"""What becomes of jobs: inputs, maps, invocations, cache, cancel, retry, timeouts, order; real rows, real worker."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from stable_core.core import Core
from stable_core.errors import BadAnnouncement, BadRequest, Conflict, InvalidInput

pytestmark = pytest.mark.anyio

numbers = itertools.count()


def fresh() -> str:
    """Return a text that no test had before, so that nothing comes from the cache unasked."""
    return f"text{next(numbers)}"


def runs(tally: Path) -> int:
    return len(tally.read_text("utf-8").splitlines())


def graph(**jobs: Any) -> dict[str, Any]:
    return {"version": 1, "jobs": {key: {**job, "job": f"probe.{job['job']}"} for key, job in jobs.items()}}


async def run_graph(core: Core, lab: Any, **jobs: Any) -> dict[str, dict[str, Any]]:
    made = await core.submit_graph(graph(**jobs))
    return {key: await lab.end(core, job["id"]) for key, job in made["jobs"].items()}


# -- dependencies ------------------------------------------------------------------------------------------------------


async def test_a_job_waits_for_its_input(core: Core, lab: Any, gate: Any) -> None:
    made = await core.submit_graph(
        graph(
            first={"job": "hold", "inputs": {"text": fresh()}, "params": {"gate": gate.path}},
            second={"job": "echo", "inputs": {"text": {"job": "first"}}, "params": {"suffix": "!"}},
        )
    )
    first, second = made["jobs"]["first"], made["jobs"]["second"]
    assert second["state"] == "waiting"
    await lab.until(core, "job.running", first["id"])
    assert core.get_job(second["id"])["state"] == "waiting"
    gate.open()
    text = lab.texts(core, await lab.end(core, first["id"]))[0]
    assert lab.texts(core, await lab.end(core, second["id"])) == [text + "!"]


async def test_a_finished_job_is_an_input_by_its_id(core: Core, lab: Any) -> None:
    first = await lab.run(core, "echo", inputs={"text": fresh()})
    second = await lab.run(core, "echo", inputs={"text": {"job": first["id"]}}, params={"suffix": "."})
    assert lab.texts(core, second)[0] == lab.texts(core, first)[0] + "."


async def test_a_named_output_is_wired(core: Core, lab: Any) -> None:
    done = await run_graph(
        core,
        lab,
        a={"job": "two"},
        b={"job": "flip", "inputs": {"image": {"job": "a", "output": "second"}}},
        c={"job": "echo", "inputs": {"text": {"job": "a"}}},
    )
    assert [job["state"] for job in done.values()] == ["succeeded"] * 3
    assert lab.texts(core, done["c"]) == ["one"]
    assert done["b"]["outputs"]["image"][0]["width"] == 4


async def test_what_depends_on_a_failed_job_fails_with_it(core: Core, lab: Any) -> None:
    bad = {"job": "end", "params": {"how": "raise"}}
    done = await run_graph(
        core,
        lab,
        a=bad,
        b={"job": "echo", "inputs": {"text": {"job": "a"}}},
        c={"job": "echo", "inputs": {"text": {"job": "b"}}},
        d={"job": "echo", "inputs": {"text": fresh()}},
    )
    assert [done[key]["state"] for key in "abcd"] == ["failed", "failed", "failed", "succeeded"]
    assert done["a"]["error"]["code"] == "plugin_raised"
    assert done["b"]["error"]["code"] == done["c"]["error"]["code"] == "input_failed"
    assert f"probe.end {done['a']['id']}" in done["b"]["error"]["message"]


async def test_a_job_that_needs_a_failed_one_fails_at_once(core: Core, lab: Any) -> None:
    bad = await lab.run(core, "end", params={"how": "raise"})
    after = await core.submit({"job": "probe.echo", "inputs": {"text": {"job": bad["id"]}}})
    assert (after["state"], after["error"]["code"]) == ("failed", "input_failed")


async def test_a_long_chain_that_fails(core: Core, lab: Any) -> None:
    chain: dict[str, Any] = {"0": {"job": "end", "params": {"how": "raise"}}}
    chain |= {str(place): {"job": "echo", "inputs": {"text": {"job": str(place - 1)}}} for place in range(1, 400)}
    done = await run_graph(core, lab, **chain)
    assert {job["state"] for job in done.values()} == {"failed"}


async def test_a_long_chain_from_the_cache(core: Core, lab: Any) -> None:
    chain: dict[str, Any] = {"0": {"job": "echo", "inputs": {"text": fresh()}}}
    chain |= {str(place): {"job": "echo", "inputs": {"text": {"job": str(place - 1)}}} for place in range(1, 400)}
    await run_graph(core, lab, **chain)
    again = await core.submit_graph(graph(**chain))
    assert {job["state"] for job in again["jobs"].values()} == {"succeeded"}
    assert all(job["cached"] for job in again["jobs"].values())


# -- lists and sweeps --------------------------------------------------------------------------------------------------


async def test_a_list_maps_the_job(core: Core, lab: Any) -> None:
    word = fresh()
    job = await lab.run(core, "echo", inputs={"text": [word, word + "b"]}, params={"suffix": "!"})
    assert lab.texts(core, job) == [f"{word}!", f"{word}b!"]
    children = [row for row in core.list_jobs(limit=10) if row["parent"] == job["id"]]
    assert len(children) == 2


async def test_a_map_answered_by_the_cache_ends(core: Core, lab: Any) -> None:
    request: dict[str, Any] = {"inputs": {"text": [fresh(), fresh()]}}
    first = await lab.run(core, "echo", **request)
    second = await lab.run(core, "echo", **request)
    assert lab.texts(core, first) == lab.texts(core, second)


async def test_groups_of_params_are_completed_and_shown(core: Core, lab: Any) -> None:
    job = await lab.run(core, "refine", params={"second": {"steps": 3}})
    model = {"checkpoint": "", "tally": ""}
    first, second = job["params"]["refiner"], job["params"]["second"]
    assert first == {"model": model, "steps": 7, "seed": first["seed"]}
    assert second == {"model": model, "steps": 3, "seed": second["seed"]}
    assert min(first["seed"], second["seed"]) >= 0
    assert job["outputs"]["data"][0]["value"] == job["params"]


async def test_groups_of_params_are_swept(core: Core, lab: Any) -> None:
    params = {"refiner": {"steps": {"each": [1, 2]}, "seed": {"each": [-1, 4]}}, "tally": {"each": ["", ""]}}
    job = await lab.run(core, "refine", params=params)
    made = [artifact["value"]["refiner"] for artifact in job["outputs"]["data"]]
    assert [refiner["steps"] for refiner in made] == [1, 2]
    assert [refiner["seed"] for refiner in made] == job["params"]["refiner"]["seed"]["each"]
    assert made[0]["seed"] >= 0


async def test_an_invocation_makes_jobs_with_groups(core: Core, lab: Any) -> None:
    job = await lab.run(core, "refine_later")
    params = job["outputs"]["data"][0]["value"]
    assert (params["refiner"]["steps"], params["second"]["steps"]) == (7, 3)
    assert min(params["refiner"]["seed"], params["second"]["seed"]) >= 0


async def test_the_list_output_of_a_job_maps_the_next(core: Core, lab: Any) -> None:
    done = await run_graph(
        core,
        lab,
        a={"job": "split", "inputs": {"text": "x y z"}},
        b={"job": "echo", "inputs": {"text": {"job": "a"}}, "params": {"suffix": "1"}},
        c={"job": "join", "inputs": {"texts": {"job": "b"}}},
    )
    assert lab.texts(core, done["b"]) == ["x1", "y1", "z1"]
    assert lab.texts(core, done["c"]) == ["x1+y1+z1"]


async def test_lists_are_paired(core: Core, lab: Any) -> None:
    job = await lab.run(core, "odd_names", inputs={"job": ["a", "b"], "artifact": ["1", "2"], "data": "x", "each": "y"})
    assert lab.texts(core, job) == ["a 1 x y", "b 2 x y"]


async def test_lists_of_different_length_are_refused(core: Core, lab: Any) -> None:
    job = await lab.run(
        core, "odd_names", inputs={"job": ["a", "b"], "artifact": ["1", "2", "3"], "data": "x", "each": "y"}
    )
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_input")
    assert "job: 2" in job["error"]["message"]
    assert "product" in job["error"]["hint"]


async def test_the_product_is_made_on_request(core: Core, lab: Any) -> None:
    inputs = {"job": ["a", "b"], "artifact": ["1", "2", "3"], "data": "x", "each": "y"}
    job = await lab.run(core, "odd_names", inputs=inputs, map="product")
    assert lab.texts(core, job) == [f"{a} {b} x y" for a in "ab" for b in "123"]


async def test_an_empty_list_makes_an_empty_result(core: Core, lab: Any) -> None:
    job = await lab.run(core, "echo", inputs={"text": []})
    assert (job["state"], job["outputs"]) == ("succeeded", {"text": []})


async def test_an_empty_list_goes_on_through_a_graph(core: Core, lab: Any) -> None:
    done = await run_graph(
        core,
        lab,
        a={"job": "split", "inputs": {"text": " "}},
        b={"job": "echo", "inputs": {"text": {"job": "a"}}},
        c={"job": "join", "inputs": {"texts": {"job": "b"}}},
    )
    assert done["b"]["outputs"] == {"text": []}
    assert lab.texts(core, done["c"]) == [""]


async def test_a_list_port_takes_the_whole_list(core: Core, lab: Any) -> None:
    word = fresh()
    done = await run_graph(
        core,
        lab,
        a={"job": "echo", "inputs": {"text": word}},
        b={"job": "join", "inputs": {"texts": ["x", {"job": "a"}, ["y", "z"]]}},
        c={"job": "join", "inputs": {"texts": []}},
    )
    assert lab.texts(core, done["b"]) == [f"x+{word}+y+z"]
    assert lab.texts(core, done["c"]) == [""]


async def test_each_sweeps_a_list_port(core: Core, lab: Any) -> None:
    job = await lab.run(core, "join", inputs={"texts": {"each": [["a", "b"], ["c"], "d"]}})
    assert lab.texts(core, job) == ["a+b", "c", "d"]


async def test_each_sweeps_params_and_inputs(core: Core, lab: Any) -> None:
    word = fresh()
    job = await lab.run(
        core,
        "echo",
        inputs={"text": {"each": [word, word + "b"]}},
        params={"suffix": {"each": ["1", "2"]}, "number": 3},
    )
    assert lab.texts(core, job) == [f"{word}1", f"{word}b2"]


async def test_a_sweep_times_a_sweep(core: Core, lab: Any) -> None:
    word = fresh()
    job = await lab.run(
        core,
        "echo",
        inputs={"text": {"each": [word, {"each": ["b", "c"]}]}},
        params={"suffix": {"each": ["1", "2"]}},
        map="product",
    )
    assert lab.texts(core, job) == [f"{text}{suffix}" for text in (word, "b", "c") for suffix in "12"]


async def test_a_swept_seed_is_chosen_at_submission(core: Core, lab: Any) -> None:
    submitted = await core.submit({"job": "probe.seeded", "params": {"seed": {"each": [-1, 7, -1]}}})
    chosen = submitted["params"]["seed"]["each"]
    assert -1 not in chosen
    assert chosen[1] == 7
    assert chosen[0] != chosen[2]
    job = await lab.end(core, submitted["id"])
    assert lab.texts(core, job) == [str(seed) for seed in chosen]
    children = [row for row in core.list_jobs(limit=10) if row["parent"] == job["id"]]
    assert [row["params"]["seed"] for row in reversed(children)] == chosen


async def test_a_random_seed_is_chosen_at_submission(core: Core, lab: Any) -> None:
    job = await core.submit({"job": "probe.seeded", "params": {"seed": -1}})
    assert job["params"]["seed"] >= 0
    assert lab.texts(core, await lab.end(core, job["id"])) == [str(job["params"]["seed"])]


async def test_one_bad_child_fails_the_map_and_keeps_the_others(core: Core, lab: Any) -> None:
    job = await lab.run(core, "pictures", params={"count": 2, "fails_at": {"each": [-1, 1]}, "color": fresh()})
    assert (job["state"], job["error"]["code"]) == ("failed", "input_failed")
    assert "1 of its 2 jobs" in job["error"]["message"]
    assert "no more paint" in job["error"]["message"]
    assert len(job["outputs"]["image"]) == 3  # and what the bad one made until then


async def test_a_map_tells_how_many_of_its_jobs_have_ended(core: Core, lab: Any) -> None:
    word = fresh()
    await lab.run(core, "echo", inputs={"text": word})
    job = await lab.run(core, "echo", inputs={"text": [word, "x", "y"]})  # the first comes from the cache
    told = []
    async for event in core.events(0, job=job["id"]):
        if event["type"] == "job.progress":
            told.append(event["data"])
        if event["type"] == "job.succeeded":
            break
    assert told == [{"step": step, "total": 3, "message": ""} for step in (1, 2, 3)]
    assert job["progress"] == told[-1]


async def test_a_job_of_a_map_that_is_retried_has_not_ended(core: Core, lab: Any, gate: Any) -> None:
    request = {"job": "probe.hold", "inputs": {"text": ["x", "y"]}, "params": {"gate": gate.path}}
    job = await core.submit(request)
    children = (await lab.until(core, "job.waiting", job["id"]))["data"]["jobs"]
    for ended in (1, 0, 1):
        await (core.cancel if ended else core.retry)(children[1])
        assert core.get_job(job["id"])["progress"]["step"] == ended
    await core.retry(children[1])
    gate.open(2)
    assert (await lab.end(core, job["id"]))["progress"] == {"step": 2, "total": 2, "message": ""}


async def test_too_large_a_product_is_refused(core: Core, lab: Any) -> None:
    many = {"each": [str(number) for number in range(101)]}
    inputs = {"job": many, "artifact": many, "data": "x", "each": "y"}
    job = await lab.run(core, "odd_names", inputs=inputs, map="product")
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_input")


# -- ports -------------------------------------------------------------------------------------------------------------


async def test_ports_may_have_the_names_of_the_request_format(core: Core, lab: Any) -> None:
    job = await lab.run(core, "odd_names", inputs={"job": "a", "artifact": "b", "data": "c", "each": "d"})
    assert lab.texts(core, job) == ["a b c d"]


@pytest.mark.parametrize(
    "value", [{"job": "cook"}, {"artifact": "amphora"}, {"each": [1, 2]}, [{"job": "x"}], None, 3, "text", {}, []]
)
async def test_data_is_never_read_as_a_reference(core: Core, lab: Any, value: Any) -> None:
    job = await lab.run(core, "same", inputs={"value": {"data": value}})
    assert job["state"] == "succeeded", job["error"]
    assert job["outputs"]["data"][0]["value"] == value
    again = await run_graph(
        core,
        lab,
        job={"job": "same", "inputs": {"value": {"data": value}}},
        cook={"job": "same", "inputs": {"value": {"job": "job"}}},
    )
    assert again["cook"]["outputs"]["data"][0]["value"] == value


async def test_data_is_text_where_text_is_wanted(core: Core, lab: Any) -> None:
    done = await run_graph(
        core,
        lab,
        a={"job": "echo", "inputs": {"text": {"data": {"a": [1, "ü"]}}}},
        b={"job": "same", "inputs": {"value": {"data": {"a": [1, "ü"]}}}},
        c={"job": "echo", "inputs": {"text": {"job": "b"}}},
    )
    measured = await lab.run(core, "measure", inputs={"file": ["any text", {"data": [1]}]})
    assert lab.texts(core, measured) == ["any text", "[1]"]
    assert [json.loads(lab.texts(core, done[key])[0]) for key in "ac"] == [{"a": [1, "ü"]}] * 2


async def test_an_optional_port_left_empty_has_its_default(core: Core, lab: Any) -> None:
    assert lab.texts(core, await lab.run(core, "default")) == ["given"]
    assert lab.texts(core, await lab.run(core, "default", inputs={"text": "other"})) == ["other"]
    assert lab.texts(core, await lab.run(core, "default", inputs={"text": None})) == ["given"]


async def test_an_optional_image(core: Core, lab: Any) -> None:
    below = await lab.run(core, "picture")
    reference = {"job": below["id"]}
    assert lab.texts(core, await lab.run(core, "overlay", inputs={"below": reference})) == ["one"]
    assert lab.texts(core, await lab.run(core, "overlay", inputs={"below": reference, "above": reference})) == ["two"]


async def test_a_dataclass_of_ports_comes_in_and_goes_out(core: Core, lab: Any) -> None:
    done = await run_graph(
        core,
        lab,
        a={"job": "two"},
        b={"job": "both", "inputs": {"first": {"job": "a"}, "second": {"job": "a", "output": "second"}}},
    )
    assert sorted(done["a"]["outputs"]) == ["first", "second"]
    assert lab.texts(core, done["b"]) == ["one (4, 4)"]


async def test_a_dataclass_of_one_port_goes_out(core: Core, lab: Any) -> None:
    assert lab.texts(core, await lab.run(core, "one"), "only") == ["alone"]


# -- invocations -------------------------------------------------------------------------------------------------------


async def test_an_invocation_returns_several_jobs(core: Core, lab: Any) -> None:
    word = fresh()
    job = await lab.run(core, "twice", inputs={"text": word})
    assert lab.texts(core, job) == [f"{word}1", f"{word}2"]
    assert job["attempt"] == 1


async def test_an_invocation_returns_one_job(core: Core, lab: Any) -> None:
    word = fresh()
    assert lab.texts(core, await lab.run(core, "once", inputs={"text": word}, params={"suffix": "?"})) == [f"{word}?"]


async def test_a_shared_job_of_an_invocation_runs_once(core: Core, lab: Any) -> None:
    word, tally = fresh(), lab.tally()
    job = await lab.run(core, "shared", inputs={"text": word}, params={"tally": str(tally)})
    assert lab.texts(core, job) == [f"{word}!a", f"{word}!+{word}!"]
    assert runs(tally) == 1
    assert len([row for row in core.list_jobs(limit=10) if row["parent"] == job["id"]]) == 3


async def test_an_invocation_hands_its_input_on_as_it_came(core: Core, lab: Any) -> None:
    source = await lab.run(core, "picture", params={"color": "blue"})
    artifact = source["outputs"]["image"][0]["id"]
    job = await lab.run(core, "flip_twice", inputs={"image": {"artifact": artifact}})
    assert job["state"] == "succeeded", job["error"]
    first = next(
        row for row in core.list_jobs(limit=10) if row["parent"] == job["id"] and "artifact" in row["inputs"]["image"]
    )
    assert first["inputs"]["image"] == {"artifact": artifact}


async def test_an_invocation_brings_an_artifact_of_its_own(core: Core, lab: Any) -> None:
    job = await lab.run(core, "paint_and_flip", params={"color": "#123456"})
    assert job["state"] == "succeeded", job["error"]
    assert len(job["outputs"]["image"]) == 1
    child = next(row for row in core.list_jobs(limit=5) if row["parent"] == job["id"])
    assert job["id"] in core.artifact(child["inputs"]["image"]["artifact"])["jobs"]


async def test_an_invocation_whose_job_fails(core: Core, lab: Any) -> None:
    job = await lab.run(core, "one_fails", inputs={"text": fresh()}, params={"how": "raise"})
    assert (job["state"], job["error"]["code"]) == ("failed", "input_failed")
    assert "it broke" in job["error"]["message"]
    assert len(job["outputs"]["text"]) == 1


async def test_an_invocation_may_return_invocations(core: Core, lab: Any) -> None:
    word = fresh()
    assert lab.texts(core, await lab.run(core, "deep", inputs={"text": word}, params={"number": 5})) == [word]


async def test_an_invocation_without_end_is_refused(core: Core, lab: Any) -> None:
    job = await lab.run(core, "forever", inputs={"text": fresh()})
    assert job["state"] == "failed"
    assert "deep" in job["error"]["message"]


async def test_an_invocation_of_nothing_makes_nothing(core: Core, lab: Any) -> None:
    job = await lab.run(core, "nothing", inputs={"text": fresh()})
    assert (job["state"], job["outputs"]) == ("succeeded", {"text": []})


@pytest.mark.parametrize("how", ["none", "text", "list"])
async def test_an_invocation_that_returns_no_jobs(core: Core, lab: Any, how: str) -> None:
    job = await lab.run(core, "no_jobs", inputs={"text": "x"}, params={"how": how})
    assert (job["state"], job["error"]["code"]) == ("failed", "plugin_raised")
    assert "announced jobs" in job["error"]["message"]


async def test_an_invocation_maps_over_a_list(core: Core, lab: Any) -> None:
    word = fresh()
    job = await lab.run(core, "twice", inputs={"text": [word, word + "b"]})
    assert lab.texts(core, job) == [f"{word}1", f"{word}2", f"{word}b1", f"{word}b2"]


async def test_how_an_invocation_maps_is_not_how_its_jobs_map(core: Core, lab: Any) -> None:
    job = await lab.run(core, "pairs", inputs={"text": "a b"}, map="product")
    assert lab.texts(core, job) == ["a a x y", "b b x y"]


# -- cache -------------------------------------------------------------------------------------------------------------


async def test_an_unchanged_job_does_not_run_again(core: Core, lab: Any) -> None:
    request: dict[str, Any] = {"inputs": {"text": fresh()}, "params": {"tally": str(lab.tally())}}
    first, second = await lab.run(core, "echo", **request), await lab.run(core, "echo", **request)
    assert runs(Path(request["params"]["tally"])) == 1
    assert (first["cached"], second["cached"]) == (False, True)
    assert second["outputs"] == first["outputs"]
    assert second["attempt"] == 0
    assert second["plugin_version"] == first["plugin_version"]


@pytest.mark.parametrize("change", [{"params": {"number": 1}}, {"inputs": {"text": "other"}}, {"cache": False}])
async def test_a_changed_job_runs_again(core: Core, lab: Any, change: dict[str, Any]) -> None:
    tally = lab.tally()
    params = {"tally": str(tally), "number": 0}
    request: dict[str, Any] = {"inputs": {"text": "same"}, "params": params}
    await lab.run(core, "echo", **request)
    await lab.run(core, "echo", **request | change | {"params": params | change.get("params", {})})
    assert runs(tally) == 2


async def test_a_job_that_may_differ_is_not_cached(core: Core, lab: Any) -> None:
    tally = lab.tally()
    for _ in range(2):
        await lab.run(core, "end", params={"tally": str(tally)})
    assert runs(tally) == 2


async def test_a_failed_job_is_not_cached(core: Core, lab: Any) -> None:
    tally = lab.tally()
    for _ in range(2):
        await lab.run(core, "pictures", params={"count": 1, "fails_at": 0, "tally": str(tally)})
    assert runs(tally) == 2


async def test_a_lost_file_makes_the_job_run_again(core: Core, lab: Any) -> None:
    tally = lab.tally()
    request: dict[str, Any] = {"params": {"color": "#010203", "tally": str(tally)}}
    first = await lab.run(core, "picture", **request)
    core.artifact_path(first["outputs"]["image"][0]["id"]).unlink()
    second = await lab.run(core, "picture", **request)
    assert runs(tally) == 2
    assert not second["cached"]
    Path(second["outputs"]["image"][0]["path"]).unlink()
    third = await lab.run(core, "picture", **request)
    assert runs(tally) == 3
    assert Path(third["outputs"]["image"][0]["path"]).is_file()


async def test_a_replaced_model_file_makes_the_job_run_again(core: Core, lab: Any) -> None:
    tally = lab.tally()
    model = core.home / "models" / "checkpoints" / "tiny.safetensors"
    for name in ("tiny", "tiny.safetensors"):
        for count, content in enumerate((b"one", b"one", b"another"), 1):
            if not model.exists() or model.read_bytes() != content:
                model.write_bytes(content)
            await lab.run(core, "load_model", params={"checkpoint": name, "tally": str(tally)})
            assert runs(tally) == (1 if count < 3 else 2)
        tally.write_text("")
        model.unlink()


async def test_a_file_replaced_in_a_diffusers_folder_makes_the_job_run_again(core: Core, lab: Any) -> None:
    tally = lab.tally()
    unet = core.home / "models" / "checkpoints" / "whole" / "unet" / "model.safetensors"
    unet.parent.mkdir(parents=True)
    (unet.parent.parent / "model_index.json").write_text("{}")
    for count, content in enumerate((b"one", b"another"), 1):
        unet.write_bytes(content)
        await lab.run(core, "load_model", params={"checkpoint": "whole", "tally": str(tally)})
        assert runs(tally) == count


async def test_a_replaced_model_file_of_a_group_makes_the_job_run_again(core: Core, lab: Any) -> None:
    tally = lab.tally()
    model = core.home / "models" / "checkpoints" / "grouped.safetensors"
    refiner = {"model": {"checkpoint": "grouped"}, "seed": 1}
    for count, content in enumerate((b"one", b"another"), 1):
        model.write_bytes(content)
        for _ in range(2):
            await lab.run(core, "refine", params={"refiner": refiner, "tally": str(tally)})
        assert runs(tally) == count


@pytest.mark.parametrize("name", ["loras/ink.safetensors", "Lora/old/ink.pt", "words.csv"])
async def test_changed_models_that_texts_may_name_make_the_job_run_again(core: Core, lab: Any, name: str) -> None:
    tally, model = lab.tally(), core.home / "models" / name
    request: dict[str, Any] = {"inputs": {"text": "<lora:ink:1>"}, "params": {"tally": str(tally)}}
    for count, content in enumerate((b"", b"one", b"another"), 1):
        if content:
            model.parent.mkdir(parents=True, exist_ok=True)
            model.write_bytes(content)
        for _ in range(2):
            await lab.run(core, "read_words", **request)
        assert runs(tally) == count
    model.unlink()


async def test_a_model_that_goes_away_while_it_is_looked_at_fails_no_job(
    core: Core, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = core.home / "models" / "loras" / "half_written.new"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(b"one")
    scandir = os.scandir

    def then_gone(path: Any) -> Any:
        with scandir(path) as found:
            entries = list(found)
        if Path(path) == model.parent:
            model.unlink(missing_ok=True)
        return entries

    monkeypatch.setattr(os, "scandir", then_gone)
    assert lab.texts(core, await lab.run(core, "read_words", inputs={"text": "still here"})) == ["still here"]
    assert not model.exists()


async def test_a_folder_may_be_a_link_and_links_in_circles_do_no_harm(core: Core, lab: Any, tmp_path: Path) -> None:
    tally, loras, elsewhere = lab.tally(), core.home / "models" / "loras", tmp_path / "elsewhere"
    for folder in (loras, elsewhere):
        folder.mkdir(parents=True, exist_ok=True)
    links = [loras / "linked", loras / "itself", loras / "gone"]
    for link, target in zip(links, (elsewhere, loras, tmp_path / "nothing"), strict=True):
        link.symlink_to(target)
    for count, content in enumerate((b"one", b"another"), 1):
        (elsewhere / "ink.safetensors").write_bytes(content)
        for _ in range(2):
            await lab.run(core, "read_words", inputs={"text": "<lora:ink:1>"}, params={"tally": str(tally)})
        assert runs(tally) == count
    for link in links:
        link.unlink()


async def test_a_model_may_be_known_by_a_name_that_the_core_does_not_know(core: Core, lab: Any) -> None:
    tally, model = lab.tally(), core.home / "models" / "checkpoints" / "ink.safetensors"
    for count, content in enumerate((b"one", b"another"), 1):
        model.write_bytes(content)
        for _ in range(2):
            await lab.run(core, "load_model", params={"checkpoint": "ink.safetensors [1234]", "tally": str(tally)})
        assert runs(tally) == count
    model.unlink()


async def test_changed_plugin_settings_make_the_job_run_again(core: Core, lab: Any) -> None:
    name = fresh()
    assert lab.texts(core, await lab.run(core, "greet", inputs={"name": name})) == [f"hello {name}"]
    await core.update_plugin_settings("probe", {"greeting": "hi"})
    assert lab.texts(core, await lab.run(core, "greet", inputs={"name": name})) == [f"hi {name}"]
    await core.update_plugin_settings("probe", {"greeting": None})
    back = await lab.run(core, "greet", inputs={"name": name})
    assert back["cached"]
    assert lab.texts(core, back) == [f"hello {name}"]


# -- cancel ------------------------------------------------------------------------------------------------------------


async def test_light_jobs_do_not_wait_for_the_others_of_their_plugin(core: Core, lab: Any, gate: Any) -> None:
    held = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    await lab.until(core, "job.running", held["id"])
    seen = [lab.texts(core, await lab.run(core, "glance", inputs={"text": "now"})) for _ in range(2)]
    assert core.get_job(held["id"])["state"] == "running"
    assert seen[0] == seen[1]  # one worker for all of them
    assert seen[0][0].startswith("now ")
    gate.open()
    assert (await lab.end(core, held["id"]))["state"] == "succeeded"


async def test_light_jobs_wait_for_each_other_in_their_order(core: Core, lab: Any, gate: Any) -> None:
    held = {"job": "probe.glance", "params": {"gate": gate.path}}
    jobs = [await core.submit({**held, "inputs": {"text": str(number)}}) for number in range(5)]
    for place, job in enumerate(jobs):
        await lab.until(core, "job.running", job["id"])
        assert [core.get_job(behind["id"])["state"] for behind in jobs[place + 1 :]] == ["queued"] * (4 - place)
        gate.open()
    ended = [await lab.end(core, job["id"]) for job in jobs]
    seen = [lab.texts(core, job)[0].split() for job in ended]
    assert seen == [[str(number), seen[0][1]] for number in range(5)], "one worker for all of them"


async def test_the_order_of_queued_light_jobs_can_be_changed(core: Core, lab: Any, gate: Any) -> None:
    held = {"job": "probe.glance", "params": {"gate": gate.path}}
    first, second, third = [await core.submit({**held, "inputs": {"text": text}}) for text in "abc"]
    await lab.until(core, "job.running", first["id"])
    await core.prioritise({third["id"]: 5})
    gate.open(3)
    ended = [await lab.end(core, job["id"]) for job in (first, third, second)]
    assert [job["priority"] for job in ended] == [0, 5, 0]
    assert sorted(ended, key=lambda job: job["started"]) == ended


async def test_the_order_can_be_changed_while_the_plugin_is_broken(lab: Any, gate: Any) -> None:
    async with lab.open() as core:
        held = {"job": "probe.hold", "params": {"gate": gate.path}}
        running, queued = [await core.submit({**held, "inputs": {"text": text}}) for text in "ab"]
        await lab.until(core, "job.running", running["id"])
        (core.home / "plugins" / "probe.py").write_text('# Plugin("probe")\nraise ValueError\n', "utf-8")
        with pytest.raises(BadAnnouncement):
            await core.signature("probe.hold")
        assert [job["priority"] for job in await core.prioritise({queued["id"]: 3})] == [3]


async def test_a_queued_job_does_not_say_for_ever_that_its_worker_starts(core: Core, lab: Any, gate: Any) -> None:
    held = {"job": "probe.hold", "params": {"gate": gate.path}}
    running, queued = [await core.submit({**held, "inputs": {"text": text}}) for text in "ab"]
    await lab.until(core, "job.running", running["id"])
    assert core.get_job(queued["id"])["progress"]["message"] == ""
    gate.open(2)
    await lab.end(core, queued["id"])


async def test_cancel_a_running_job(core: Core, lab: Any, gate: Any) -> None:
    job = await core.submit(
        {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path, "swallows": True}}
    )
    await lab.until(core, "job.running", job["id"])
    await core.cancel(job["id"])
    await core.cancel(job["id"])
    ended = await lab.end(core, job["id"])
    assert (ended["state"], ended["error"]) == ("cancelled", None)
    assert (await core.cancel(job["id"]))["state"] == "cancelled"


async def test_a_cancelled_job_keeps_what_it_made(core: Core, lab: Any) -> None:
    job = await core.submit({"job": "probe.endless_pictures"})
    await lab.until(core, "job.output", job["id"])
    await core.cancel(job["id"])
    ended = await lab.end(core, job["id"])
    assert ended["state"] == "cancelled"
    assert [Path(artifact["path"]).suffix for artifact in ended["outputs"]["image"]] == [".png"]


async def test_a_failed_job_keeps_what_it_made(core: Core, lab: Any) -> None:
    failed = await lab.run(core, "pictures", params={"count": 3, "fails_at": 2})
    late = await lab.run(core, "endless_pictures", timeout=0.5)
    assert [job["error"]["code"] for job in (failed, late)] == ["plugin_raised", "timed_out"]
    assert [len(job["outputs"]["image"]) for job in (failed, late)] == [2, 1]
    assert all(Path(made["path"]).is_file() for job in (failed, late) for made in job["outputs"]["image"])


async def test_cancel_a_queued_and_a_waiting_job(core: Core, lab: Any, gate: Any) -> None:
    running = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    await lab.until(core, "job.running", running["id"])
    made = await core.submit_graph(
        graph(a={"job": "echo", "inputs": {"text": fresh()}}, b={"job": "echo", "inputs": {"text": {"job": "a"}}})
    )
    a, b = made["jobs"]["a"]["id"], made["jobs"]["b"]["id"]
    assert (core.get_job(a)["state"], core.get_job(b)["state"]) == ("queued", "waiting")
    assert (await core.cancel(b))["state"] == "cancelled"
    assert (await core.cancel(a))["state"] == "cancelled"
    assert core.get_job(b)["state"] == "cancelled"
    gate.open()
    assert (await lab.end(core, running["id"]))["state"] == "succeeded"
    assert core.get_job(a)["state"] == "cancelled"


async def test_what_waits_for_a_cancelled_job_fails(core: Core, lab: Any, gate: Any) -> None:
    made = await core.submit_graph(
        graph(
            a={"job": "hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}},
            b={"job": "echo", "inputs": {"text": {"job": "a"}}},
        )
    )
    await core.cancel(made["jobs"]["a"]["id"])
    b = await lab.end(core, made["jobs"]["b"]["id"])
    assert (b["state"], b["error"]["code"]) == ("failed", "input_failed")


async def test_cancel_after_the_end_changes_nothing(core: Core, lab: Any) -> None:
    job = await lab.run(core, "echo", inputs={"text": fresh()})
    last = core.last_event()
    assert (await core.cancel(job["id"]))["state"] == "succeeded"
    assert core.last_event() == last


async def test_cancel_as_the_job_ends(core: Core, lab: Any, gate: Any) -> None:
    """Whoever is first wins: the job ends once, and no worker is lost."""
    for _ in range(20):
        job = await core.submit(
            {"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path, "is_stubborn": True}}
        )
        await lab.until(core, "job.running", job["id"])
        gate.open()
        await core.cancel(job["id"])
        assert (await lab.end(core, job["id"]))["state"] in ("succeeded", "cancelled")
        endings = [
            event
            async for event in _stored(core, job["id"])
            if event["type"] in ("job.succeeded", "job.cancelled", "job.failed")
        ]
        assert len(endings) == 1
    assert lab.texts(core, await lab.run(core, "echo", inputs={"text": "after"})) == ["after"]


async def test_cancel_while_results_are_saved(core: Core, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def save_slowly(*_: Any) -> Path:
        begun.set()
        go_on.wait(120)
        return Path("nowhere")

    monkeypatch.setattr("stable_core.job_queue.save_output", save_slowly)
    job = await core.submit({"job": "probe.echo", "inputs": {"text": fresh()}})
    assert await asyncio.to_thread(begun.wait, 120)
    other = await lab.run(core, "report_badly")  # the worker is free and goes on
    assert (await core.cancel(job["id"]))["state"] == "running"
    go_on.set()
    ended = await lab.end(core, job["id"])
    assert (ended["state"], other["state"]) == ("cancelled", "failed")


async def _stored(core: Core, job: str) -> Any:
    last = core.last_event()
    async for event in core.events(0):
        if event["job"] == job:
            yield event
        if event["seq"] >= last:
            return


async def test_cancel_a_parent_cancels_its_children(core: Core, lab: Any, gate: Any) -> None:
    job = await core.submit({"job": "probe.holds", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    made = (await lab.until(core, "job.waiting", job["id"]))["data"]["jobs"]
    await lab.until(core, "job.running", made[0])
    assert (await core.cancel(job["id"]))["state"] == "cancelled"
    assert [(await lab.end(core, child))["state"] for child in made] == ["cancelled", "cancelled"]
    assert core.get_job(job["id"])["state"] == "cancelled"


async def test_cancel_a_parent_whose_children_need_each_other(core: Core, lab: Any, gate: Any) -> None:
    held = {"params": {"gate": gate.path}}
    job = await core.submit({"job": "probe.waits", "inputs": {"text": fresh()}, **held})
    await lab.until(core, "job.running", job["id"])
    blocker = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "priority": 1, **held})
    gate.open()
    made = (await lab.until(core, "job.waiting", job["id"]))["data"]["jobs"]
    assert [core.get_job(child)["state"] for child in made] == ["queued", "waiting"]
    await core.cancel(job["id"])
    assert [core.get_job(child)["state"] for child in made] == ["cancelled", "cancelled"]
    gate.open()
    assert (await lab.end(core, blocker["id"]))["state"] == "succeeded"


async def test_a_cancelled_parent_may_be_retried_at_once(core: Core, lab: Any, gate: Any) -> None:
    job = await core.submit({"job": "probe.holds", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    made = (await lab.until(core, "job.waiting", job["id"]))["data"]["jobs"]
    await lab.until(core, "job.running", made[0])
    await core.cancel(job["id"])
    await core.retry(job["id"])
    assert [(await lab.end(core, child))["state"] for child in made] == ["cancelled", "cancelled"]
    gate.open(2)
    assert lab.texts(core, await lab.end(core, job["id"])) == ["x", "x"]


async def test_an_interrupted_job_succeeds_with_what_there_is_and_is_no_answer_to_others(core: Core, lab: Any) -> None:
    request = {"job": "probe.parts", "inputs": {"text": fresh()}}
    job = await core.submit(request)
    seen = await lab.until(core, "job.output", job["id"])
    await core.interrupt(job["id"], skip=True)
    await lab.until(core, "job.output", job["id"], after=seen["seq"])
    assert (await core.interrupt(job["id"]))["id"] == job["id"]
    ended = await lab.end(core, job["id"])
    assert (ended["state"], lab.texts(core, ended)) == ("succeeded", [request["inputs"]["text"], "skipped"])
    assert (await core.interrupt(job["id"]))["state"] == "succeeded"
    again = await core.submit(request)
    assert not core.get_job(again["id"])["cached"]
    await lab.until(core, "job.output", again["id"])
    await core.cancel(again["id"])


async def test_a_job_that_does_not_run_yet_or_cannot_be_interrupted_goes_on(core: Core, lab: Any, gate: Any) -> None:
    first, second = [
        await core.submit({"job": "probe.hold", "inputs": {"text": fresh()}, "params": {"gate": gate.path}})
        for _ in range(2)
    ]
    await lab.until(core, "job.running", first["id"])
    for job in (first, second):
        await core.interrupt(job["id"])
    gate.open(2)
    assert [(await lab.end(core, job["id"]))["state"] for job in (first, second)] == ["succeeded", "succeeded"]


async def test_interrupting_a_parent_interrupts_what_it_made(core: Core, lab: Any) -> None:
    text = fresh()
    parent = await core.submit({"job": "probe.parts_twice", "inputs": {"text": text + "!"}})
    made = (await lab.until(core, "job.waiting", parent["id"]))["data"]["jobs"]
    for child in made:
        await lab.until(core, "job.output", child)
        await core.interrupt(parent["id"])
    assert lab.texts(core, await lab.end(core, parent["id"])) == [text + "!", text + "!?"]


async def test_cancel_a_child_fails_its_parent(core: Core, lab: Any, gate: Any) -> None:
    job = await core.submit({"job": "probe.holds", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    first, second = (await lab.until(core, "job.waiting", job["id"]))["data"]["jobs"]
    await core.cancel(second)
    gate.open()
    ended = await lab.end(core, job["id"])
    assert (ended["state"], ended["error"]["code"]) == ("failed", "input_failed")
    assert core.get_job(first)["state"] == "succeeded"


async def test_cancel_an_invocation_before_it_made_its_jobs(core: Core, lab: Any, gate: Any) -> None:
    job = await core.submit({"job": "probe.waits", "inputs": {"text": fresh()}, "params": {"gate": gate.path}})
    await lab.until(core, "job.running", job["id"])
    await core.cancel(job["id"])
    gate.open()
    assert (await lab.end(core, job["id"]))["state"] == "cancelled"
    assert not [row for row in core.list_jobs(limit=10) if row["parent"] == job["id"]]


async def test_a_job_that_does_not_hear_a_cancel_loses_its_worker(core: Core, lab: Any, gate: Any) -> None:
    core.update_settings({"cancel_grace_seconds": 0.05})
    try:
        params = {"gate": gate.path, "is_stubborn": True}
        job = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": params})
        await lab.until(core, "job.running", job["id"])
        await core.cancel(job["id"])
        ended = await lab.end(core, job["id"])
        assert (ended["state"], ended["attempt"]) == ("cancelled", 1)
        late = await lab.run(core, "hold", inputs={"text": "x"}, params=params, timeout=0.05)
        assert (late["state"], late["error"]["code"], late["attempt"]) == ("failed", "timed_out", 1)
    finally:
        core.update_settings({"cancel_grace_seconds": None})
    assert (await lab.run(core, "echo", inputs={"text": fresh()}))["state"] == "succeeded"


async def test_cancel_all_of_a_graph(core: Core, lab: Any, gate: Any) -> None:
    hold = {"job": "hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}
    made = await core.submit_graph(
        graph(
            a=hold,
            b={"job": "echo", "inputs": {"text": {"job": "a"}}},
            c={"job": "echo", "inputs": {"text": {"job": "b"}}},
            d={"job": "echo", "inputs": {"text": [{"job": "a"}, {"job": "c"}]}},
        )
    )
    other = await core.submit({"job": "probe.echo", "inputs": {"text": fresh()}})
    await lab.until(core, "job.running", made["jobs"]["a"]["id"])
    assert await core.cancel_all(graph=made["id"]) == 4
    assert [(await lab.end(core, job["id"]))["state"] for job in made["jobs"].values()] == ["cancelled"] * 4
    assert (await lab.end(core, other["id"]))["state"] == "succeeded"


# -- retry -------------------------------------------------------------------------------------------------------------


async def test_retry_runs_a_failed_job_again(core: Core, lab: Any) -> None:
    tally = lab.tally()
    job = await lab.run(core, "end", params={"how": "raise", "tally": str(tally)})
    await core.retry(job["id"])
    ended = await lab.end(core, job["id"])
    assert (ended["state"], ended["attempt"], runs(tally)) == ("failed", 1, 2)


async def test_retry_of_a_job_on_its_way_changes_nothing(core: Core, lab: Any, gate: Any) -> None:
    job = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
    await lab.until(core, "job.running", job["id"])
    assert (await core.retry(job["id"]))["state"] == "running"
    gate.open()
    assert (await lab.end(core, job["id"]))["attempt"] == 1
    with pytest.raises(Conflict):
        await core.retry(job["id"])


async def test_retry_of_the_first_takes_the_others_along(core: Core, lab: Any, gate: Any) -> None:
    made = await core.submit_graph(
        graph(
            a={"job": "hold", "inputs": {"text": fresh()}, "params": {"gate": gate.path}},
            b={"job": "echo", "inputs": {"text": {"job": "a"}}},
            c={"job": "echo", "inputs": {"text": {"job": "b"}}},
        )
    )
    ids = {key: job["id"] for key, job in made["jobs"].items()}
    await core.cancel(ids["a"])
    assert (await lab.end(core, ids["c"]))["state"] == "failed"
    await core.retry(ids["a"])
    assert core.get_job(ids["c"])["state"] == "waiting"
    gate.open()
    assert [(await lab.end(core, ids[key]))["state"] for key in "abc"] == ["succeeded"] * 3


async def test_retry_of_the_last_takes_the_first_along(core: Core, lab: Any, gate: Any) -> None:
    made = await core.submit_graph(
        graph(
            a={"job": "hold", "inputs": {"text": fresh()}, "params": {"gate": gate.path}},
            b={"job": "echo", "inputs": {"text": {"job": "a"}}},
            c={"job": "echo", "inputs": {"text": {"job": "b"}}},
            d={"job": "echo", "inputs": {"text": {"job": "a"}}},
        )
    )
    ids = {key: job["id"] for key, job in made["jobs"].items()}
    await core.cancel(ids["a"])
    await lab.end(core, ids["c"])
    await core.retry(ids["c"])
    gate.open()
    assert [(await lab.end(core, ids[key]))["state"] for key in "abcd"] == ["succeeded"] * 4


async def test_retry_of_a_long_chain(core: Core, lab: Any, gate: Any) -> None:
    chain: dict[str, Any] = {"0": {"job": "hold", "inputs": {"text": fresh()}, "params": {"gate": gate.path}}}
    chain |= {str(place): {"job": "echo", "inputs": {"text": {"job": str(place - 1)}}} for place in range(1, 400)}
    made = await core.submit_graph(graph(**chain))
    ids = {key: job["id"] for key, job in made["jobs"].items()}
    await core.cancel(ids["0"])
    await lab.end(core, ids["399"])
    gate.open()
    await core.retry(ids["399"])
    assert {(await lab.end(core, ids[str(place)]))["state"] for place in range(400)} == {"succeeded"}


async def test_retry_of_a_map_runs_only_what_failed(core: Core, lab: Any, gate: Any) -> None:
    word, tally = fresh(), lab.tally()
    made = await core.submit_graph(
        graph(
            a={"job": "hold", "inputs": {"text": word}, "params": {"gate": gate.path}},
            b={"job": "echo", "inputs": {"text": [{"job": "a"}, word + "b"]}, "params": {"tally": str(tally)}},
        )
    )
    gate.open()
    b = await lab.end(core, made["jobs"]["b"]["id"])
    assert (b["state"], runs(tally)) == ("succeeded", 2)


async def test_retry_of_an_invocation(core: Core, lab: Any) -> None:
    tally = lab.tally()
    job = await lab.run(core, "one_fails", inputs={"text": fresh()}, params={"how": "raise", "tally": str(tally)})
    assert job["state"] == "failed"
    await core.retry(job["id"])
    ended = await lab.end(core, job["id"])
    assert (ended["state"], runs(tally)) == ("failed", 2)
    assert len(ended["outputs"]["text"]) == 1


# -- timeouts ----------------------------------------------------------------------------------------------------------


async def test_a_job_that_takes_too_long(core: Core, lab: Any, gate: Any) -> None:
    job = await lab.run(core, "hold", inputs={"text": "x"}, params={"gate": gate.path}, timeout=0.1)
    assert (job["state"], job["error"]["code"]) == ("failed", "timed_out")
    assert "0.1 s" in job["error"]["message"]


async def test_the_timeout_of_the_announcement(core: Core, lab: Any) -> None:
    job = await lab.run(core, "slow")
    assert (job["state"], job["error"]["code"]) == ("failed", "timed_out")


async def test_the_timeout_of_the_settings(core: Core, lab: Any, gate: Any) -> None:
    core.update_settings({"job_timeout_seconds": 0.1})
    try:
        job = await lab.run(core, "hold", inputs={"text": "x"}, params={"gate": gate.path})
    finally:
        core.update_settings({"job_timeout_seconds": None})
    assert (job["state"], job["error"]["code"]) == ("failed", "timed_out")


async def test_an_invocation_that_takes_too_long(core: Core, lab: Any, gate: Any) -> None:
    core.update_settings({"cancel_grace_seconds": 0.0})
    try:
        job = await lab.run(core, "waits", inputs={"text": "x"}, params={"gate": gate.path}, timeout=0.1)
    finally:
        core.update_settings({"cancel_grace_seconds": None})
    assert (job["state"], job["error"]["code"]) == ("failed", "timed_out")


# -- the order ---------------------------------------------------------------------------------------------------------


async def _order(core: Core, lab: Any, gate: Any, jobs: list[tuple[str, int]]) -> list[int]:
    """Queue jobs of (owner, priority) behind one that holds the worker; return their places in the order they ran."""
    first = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}}, "first")
    await lab.until(core, "job.running", first["id"])
    ids = [
        (await core.submit({"job": "probe.echo", "inputs": {"text": fresh()}, "priority": priority}, owner))["id"]
        for owner, priority in jobs
    ]
    gate.open()
    started = [(await lab.end(core, job_id))["started"] for job_id in ids]
    return sorted(range(len(jobs)), key=lambda place: started[place])


async def test_a_higher_priority_runs_first(core: Core, lab: Any, gate: Any) -> None:
    assert await _order(core, lab, gate, [("a", 0), ("a", -5), ("a", 10), ("a", 0)]) == [2, 0, 3, 1]


async def test_owners_take_turns(core: Core, lab: Any, gate: Any) -> None:
    order = await _order(core, lab, gate, [*[("many", 0)] * 20, ("single", 0)])
    assert order.index(20) <= 1
    assert [place for place in order if place != 20] == list(range(20))


async def test_thousands_of_queued_jobs_are_cancelled_at_once(lab: Any, gate: Any) -> None:
    async with lab.open() as core:
        first = await core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
        await lab.until(core, "job.running", first["id"])
        made = await core.submit({"job": "probe.echo", "inputs": {"text": [str(number) for number in range(2000)]}})
        assert core.health()["jobs"]["queued"] == 2000
        cancelling = asyncio.create_task(core.cancel_all(state="queued"))
        left = set()
        while not cancelling.done():
            await asyncio.sleep(0)
            left.add(core.health()["jobs"].get("queued", 0))
        assert await cancelling == 2000
        assert len(left) >= 5, "others are served in between"
        assert (await lab.end(core, made["id"]))["state"] == "failed"
        gate.open()
        assert (await lab.end(core, first["id"]))["state"] == "succeeded"


async def test_a_bad_reference_stores_nothing(core: Core) -> None:
    before = core.last_event()
    for bad in (
        {"job": "nobody"},
        {"artifact": "0" * 64},
        {"artifact": "../../etc/passwd"},
        {"artifact": "\ud800"},
        {"job": "\ud800"},
        {"job": ""},
    ):
        with pytest.raises((InvalidInput, BadRequest)):
            await core.submit({"job": "probe.echo", "inputs": {"text": bad}})
    assert core.last_event() == before
    await asyncio.sleep(0)
