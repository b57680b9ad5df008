"""Jobs: states, ports read off functions, described runs, calls and their outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import PIL.Image
import pytest

from stable_core.errors import BadAnnouncement, PluginRaised
from stable_core.sdk import (
    Audio,
    Data,
    Field,
    File,
    Image,
    Job,
    JobSignature,
    JobState,
    Mask,
    Params,
    Progress,
    Secret,
    Text,
    Video,
)
from stable_core.sdk.jobs import TRANSITIONS, Port
from stable_core.sdk.signatures import read_signature


class P(Params):
    steps: int = Field(default=3, ge=1, description="Steps")


class Other(Params):
    scale: int = Field(default=2, description="Scale")


@dataclass
class Layers:
    base: Image
    mask: Mask | None = None


@dataclass
class Parts:
    picture: Image
    words: list[Text]
    rest: Data | None = None


def ports(function: Callable[..., Any], side: str = "inputs", **options: Any) -> list[Port]:
    return list(getattr(read_signature(function, **options), side))


class TestStates:
    @pytest.mark.parametrize("state", list(JobState))
    def test_final_states_are_left_only_to_try_again(self, state: JobState) -> None:
        assert state.is_final == (TRANSITIONS[state] <= {JobState.QUEUED, JobState.WAITING})

    @pytest.mark.parametrize("state", list(JobState))
    def test_every_state_can_be_reached_and_none_follows_itself(self, state: JobState) -> None:
        assert state not in TRANSITIONS[state]
        assert any(state in following for following in TRANSITIONS.values())

    def test_a_success_stands_for_ever(self) -> None:
        assert TRANSITIONS[JobState.SUCCEEDED] == frozenset()

    def test_states_are_their_names_on_the_wire(self) -> None:
        assert json.dumps([JobState.WAITING, JobState.CANCELLED]) == '["waiting", "cancelled"]'


class TestPorts:
    def test_every_artifact_type(self) -> None:
        def job(
            a: Text, b: Image, c: Mask, d: Audio, e: Video, f: File, g: Data, params: P, progress: Progress
        ) -> Text:
            raise NotImplementedError

        types = [port.type for port in ports(job)]
        assert types == ["text", "image", "mask", "audio", "video", "file", "data"]

    def test_lists_and_optional_ports(self) -> None:
        def job(many: list[Mask], none: Mask | None, some: list[Text] | None, params: P, progress: Progress) -> Text:
            raise NotImplementedError

        assert ports(job) == [
            Port("many", "mask", is_list=True),
            Port("none", "mask", is_optional=True),
            Port("some", "text", is_list=True, is_optional=True),
        ]

    def test_a_default_makes_a_port_optional(self) -> None:
        def job(prompt: Text = "a cat", params: P = P(), progress: Progress = Progress()) -> Text:  # noqa: B008
            raise NotImplementedError

        assert ports(job) == [Port("prompt", "text", is_optional=True)]

    def test_a_dataclass_gives_its_fields(self) -> None:
        def job(layers: Layers, params: P, progress: Progress) -> Parts:
            raise NotImplementedError

        assert ports(job) == [Port("base", "image"), Port("mask", "mask", is_optional=True)]
        assert ports(job, "outputs") == [
            Port("picture", "image"),
            Port("words", "text", is_list=True),
            Port("rest", "data", is_optional=True),
        ]

    @pytest.mark.parametrize(
        ("output", "port"),
        [
            (Image, Port("image", "image")),
            (Mask, Port("mask", "mask")),
            (list[Image], Port("image", "image", is_list=True)),
            (Iterator[Audio], Port("audio", "audio", is_list=True)),
        ],
    )
    def test_a_single_output_is_named_by_its_type(self, output: Any, port: Port) -> None:
        assert JobSignature("job", print, None, output).outputs == (port,)

    def test_no_inputs_and_no_outputs(self) -> None:
        def job(params: P, progress: Progress) -> None: ...

        assert (ports(job), ports(job, "outputs")) == ([], [])

    @pytest.mark.parametrize(
        ("returned", "port"),
        [
            (Job[Image], Port("image", "image")),
            (list[Job[Image]], Port("image", "image", is_list=True)),
            (Job[list[Text]], Port("text", "text", is_list=True)),
            (list[Job[list[Text]]], Port("text", "text", is_list=True)),
        ],
    )
    def test_an_invocation_has_the_outputs_of_its_jobs(self, returned: Any, port: Port) -> None:
        assert JobSignature("job", print, None, returned, kind="invocation").outputs == (port,)

    def test_a_signature_made_by_hand(self) -> None:
        signature = JobSignature("remote", print, {"prompt": Text, "images": list[Image]}, Image, P, plugin="cloud")
        assert [port.name for port in signature.inputs] == ["prompt", "images"]
        assert JobSignature("remote", print, Image, Image).inputs == (Port("input", "image"),)
        assert signature.full_name == "cloud.remote"


class TestRefused:
    def refuse(self, function: Callable[..., Any], match: str, kind: str = "job") -> None:
        with pytest.raises(BadAnnouncement, match=match) as caught:
            read_signature(function, kind)
        assert caught.value.hint

    def test_an_argument_without_a_type(self) -> None:
        def job(image, params: P, progress: Progress) -> Image:  # type: ignore[no-untyped-def]
            raise NotImplementedError

        self.refuse(job, "argument 'image' has no type")

    def test_a_type_that_travels_on_no_wire(self) -> None:
        def job(number: int, params: P, progress: Progress) -> Image:
            raise NotImplementedError

        def made(params: P, progress: Progress) -> bytes:
            raise NotImplementedError

        def either(either: Text | Image, params: P, progress: Progress) -> Image:
            raise NotImplementedError

        self.refuse(job, "job: input 'number' has type <class 'int'>")
        self.refuse(made, "made: the output has type <class 'bytes'>")
        self.refuse(either, "travels on no wire")

    def test_another_shape(self) -> None:
        def swapped(image: Image, progress: Progress, params: P) -> Image:
            raise NotImplementedError

        def hidden(params: P, image: Image, progress: Progress) -> Image:
            raise NotImplementedError

        def blind(image: Image, progress: Progress) -> Image:
            raise NotImplementedError

        for function in (swapped, hidden, blind):
            self.refuse(function, "wrong order")

    def test_async_functions(self) -> None:
        async def job(params: P, progress: Progress) -> Image:
            raise NotImplementedError

        async def stream(params: P, progress: Progress) -> Any:
            yield Image()

        self.refuse(job, "async")
        self.refuse(stream, "async")

    def test_a_type_that_is_unknown(self) -> None:
        def job(image: Imaeg, params: P, progress: Progress) -> Image:  # type: ignore[name-defined]  # noqa: F821
            raise NotImplementedError

        self.refuse(job, "Imaeg")

    def test_an_input_named_like_a_param(self) -> None:
        def job(steps: Image, params: P, progress: Progress) -> Image:
            raise NotImplementedError

        self.refuse(job, "'steps' is both an input and a param")

    def test_a_secret_among_the_params(self) -> None:
        class Account(Params):
            token: Secret = ""

        class Accounts(Params):
            others: list[Account] = Field(default=[])

        for params in (Account, Accounts):
            with pytest.raises(BadAnnouncement, match=r"fetch: .* Secret") as caught:
                JobSignature("fetch", print, None, Image, params).to_dict()
            assert "settings" in caught.value.hint

    def test_an_invocation_that_returns_no_jobs(self) -> None:
        def job(params: P) -> Image:
            raise NotImplementedError

        self.refuse(job, "job: an invocation returns", kind="invocation")

    @pytest.mark.parametrize("name", ["Txt2Img", "two words", "1st", "", "a.b", "../up"])
    def test_names(self, name: str) -> None:
        with pytest.raises(BadAnnouncement, match="is no name for a job"):
            JobSignature(name, print, None, Image)


def upscale(image: Image, mask: Mask | None, params: P, progress: Progress) -> Image:
    """Enlarge.

    Slowly.
    """
    progress(1, 1)
    return image


UPSCALE = read_signature(upscale, plugin="sample", timeout_seconds=5.0)
PICTURE = PIL.Image.new("RGB", (1, 1))


class TestAnnouncement:
    def test_all_that_clients_get(self) -> None:
        told = json.loads(json.dumps(UPSCALE.to_dict()))
        assert told.pop("params")["properties"]["steps"]["default"] == 3
        assert told == {
            "name": "sample.upscale",
            "kind": "job",
            "title": "Enlarge.",
            "description": "Enlarge.\n\nSlowly.",
            "inputs": [
                {"name": "image", "type": "image", "list": False, "optional": False},
                {"name": "mask", "type": "mask", "list": False, "optional": True},
            ],
            "outputs": [{"name": "image", "type": "image", "list": False, "optional": False}],
            "cached": True,
            "timeout_seconds": 5.0,
            "light": False,
        }

    def test_without_a_docstring(self) -> None:
        told = JobSignature("job", lambda: 1, None, Image).to_dict()
        assert (told["title"], told["description"]) == ("", "")


class TestDescribedRuns:
    def test_inputs_by_place_and_by_name(self) -> None:
        assert UPSCALE.job(PICTURE, None, P(steps=5)).inputs == {"image": PICTURE, "mask": None}
        assert UPSCALE.job(image=PICTURE, params=P(steps=5)).params == P(steps=5)
        assert UPSCALE.job(PICTURE, P(steps=5)) == Job(UPSCALE, {"image": PICTURE}, P(steps=5))

    def test_params_have_defaults(self) -> None:
        assert UPSCALE.job(PICTURE).params == P()

    def test_an_input_may_be_a_described_run(self) -> None:
        inner = UPSCALE.job(PICTURE)
        assert UPSCALE.job(inner).inputs["image"] is inner

    def test_a_dataclass_is_taken_apart(self) -> None:
        def flatten(layers: Layers, params: P, progress: Progress) -> Image:
            raise NotImplementedError

        signature = read_signature(flatten)
        assert signature.job(Layers(PICTURE), P()).inputs == {"base": PICTURE, "mask": None}
        assert signature.job(base=PICTURE).inputs == {"base": PICTURE}

    @pytest.mark.parametrize(
        ("inputs", "named", "match"),
        [
            ((), {}, "needs the input image"),
            ((PICTURE, PICTURE, PICTURE), {}, "takes 2 inputs, got 3"),
            ((PICTURE,), {"picture": PICTURE}, "has no input picture"),
            ((PICTURE, Other()), {}, "takes P, not Other"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, inputs: tuple[Any, ...], named: dict[str, Any], match: str) -> None:
        with pytest.raises(TypeError, match=f"sample.upscale {match}"):
            UPSCALE.job(*inputs, **named)


class TestCalls:
    def test_inputs_come_by_name_and_empty_ports_as_none(self) -> None:
        def job(a: Text, b: Text | None, params: P, progress: Progress) -> Text:
            return f"{a} {b} {params.steps} {type(progress).__name__}"

        assert read_signature(job).call({"a": "x"}, P(), Progress()) == "x None 3 Progress"
        assert read_signature(job).call({"b": "y", "a": "x"}, P(), Progress()) == "x y 3 Progress"

    def test_an_empty_port_gets_its_default(self) -> None:
        def job(a: Text = "a cat", params: P = P(), progress: Progress = Progress()) -> Text:  # noqa: B008
            return a

        assert read_signature(job).call({}, P(), Progress()) == "a cat"

    def test_a_dataclass_is_put_together(self) -> None:
        def job(layers: Layers, params: P, progress: Progress) -> Any:
            return layers

        signature = JobSignature("job", job, Layers, Image, P)
        assert signature.call({"base": PICTURE}, P(), Progress()) == Layers(PICTURE)

    def test_what_the_function_does_not_take_is_left_out(self) -> None:
        def plain(a: Text) -> Text:
            return a

        def tuned(a: Text, params: P) -> Text:
            return f"{a} {params.steps}"

        assert read_signature(plain).call({"a": "x"}, P(), Progress()) == "x"
        assert read_signature(tuned).call({"a": "x"}, P(), Progress()) == "x 3"

    def test_an_invocation_gets_no_progress(self) -> None:
        def job(a: Text, params: P) -> Job[Image]:
            return UPSCALE.job(PICTURE, params)

        assert read_signature(job, "invocation").call({"a": "x"}, P(steps=9), Progress()).params.steps == 9


class TestOutputs:
    def outputs(self, output: Any, result: Any) -> list[tuple[str, Any]]:
        signature = JobSignature("job", print, None, output, plugin="sample")
        return [(port.name, value) for port, value in signature.outputs_of(result)]

    def test_one_value(self) -> None:
        assert self.outputs(Text, "x") == [("text", "x")]

    def test_a_list_and_an_iterator(self) -> None:
        assert self.outputs(list[Text], ["x", "y"]) == [("text", "x"), ("text", "y")]
        assert self.outputs(Iterator[Text], (letter for letter in "xy")) == [("text", "x"), ("text", "y")]
        assert self.outputs(list[Text], ()) == []

    def test_an_iterator_is_read_as_it_goes(self) -> None:
        made = []

        def stream() -> Iterator[str]:
            for letter in "xy":
                made.append(letter)
                yield letter

        signature = JobSignature("job", print, None, Iterator[Text])
        next(signature.outputs_of(stream()))
        assert made == ["x"]

    def test_a_dataclass_and_its_empty_ports(self) -> None:
        assert self.outputs(Parts, Parts(PICTURE, ["x", "y"])) == [("picture", PICTURE), ("words", "x"), ("words", "y")]

    @pytest.mark.parametrize("result", ["text", b"bytes", {"a": 1}, None, 5])
    def test_no_list_where_one_is_announced(self, result: Any) -> None:
        with pytest.raises(
            PluginRaised, match=rf"sample.job announced a list of text and returned {type(result).__name__}"
        ):
            self.outputs(list[Text], result)
