"""A plugin for tests: each job does one small thing, good or bad, so that the core's answer to it can be seen."""

from __future__ import annotations

import ctypes
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import PIL.Image
from pydantic import ConfigDict

from stable_core.errors import InvalidInput, JobCancelled
from stable_core.sdk import Data, Field, File, Image, Job, ModelFile, Params, Plugin, Progress, Secret, Seed, Text


class Settings(Params):
    greeting: str = Field(default="hello")
    password: Secret = Field(default="")


plugin = Plugin("probe", settings=Settings)


def note_run(tally: str) -> None:
    """Add a line to a file, so that a test can count how often a job really ran."""
    if tally:
        with Path(tally).open("a", encoding="utf-8") as file:
            file.write("ran\n")


class EchoParams(Params):
    suffix: str = Field(default="")
    number: int = Field(default=0, ge=0, le=100)
    tally: str = Field(default="")
    seed: Seed = Field(default=0)


@plugin.job
def echo(text: Text, params: EchoParams, progress: Progress) -> Text:
    """Return the text with the suffix."""
    note_run(params.tally)
    progress(1, 1)
    return text + params.suffix


@plugin.job
def seeded(params: EchoParams) -> Text:
    """Return the seed."""
    note_run(params.tally)
    return str(params.seed)


@plugin.job
def greet(name: Text, params: EchoParams) -> Text:
    """Greet with the words of the settings."""
    note_run(params.tally)
    return f"{plugin.settings.greeting} {name}"


class HoldParams(Params):
    gate: str = Field(description="a FIFO; one byte in it lets one job through")
    is_stubborn: bool = Field(default=False)
    swallows: bool = Field(default=False)
    tally: str = Field(default="")


@plugin.job(cached=False)
def hold(text: Text, params: HoldParams, progress: Progress) -> Text:
    """Say that it runs, then wait at the gate; a stubborn one never looks up."""
    note_run(params.tally)
    progress(1, 2, "at the gate", preview=PIL.Image.new("RGB", (8, 8), "red"))
    gate = os.open(params.gate, os.O_RDWR)
    try:
        while not params.is_stubborn and not select.select([gate], [], [], 0.01)[0]:
            try:
                progress(1, 2)
            except Exception:  # noqa: BLE001 - what careless plugins do
                assert params.swallows
        os.read(gate, 1)
    finally:
        os.close(gate)
    return text


class GlanceParams(Params):
    gate: str = Field(default="", description="a FIFO; one byte in it lets one job through")


@plugin.job(cached=False, light=True)
def glance(text: Text, params: GlanceParams) -> Text:
    """Return the text and the process it was seen in, without waiting for the other jobs."""
    if params.gate:
        with Path(params.gate).open("rb", buffering=0) as gate:
            gate.read(1)
    return f"{text} {os.getpid()}"


@plugin.job
def parts(text: Text, params: Params, progress: Progress) -> Iterator[Text]:
    """Return the text, then wait; a skipped wait returns "skipped", an interrupted one ends the job."""
    yield text
    while not progress.is_interrupted:
        progress(1, 2)
        if progress.is_skipped:
            progress.is_skipped = False
            yield "skipped"
        select.select([], [], [], 0.01)


@plugin.job(timeout_seconds=0.2)
def slow(params: Params, progress: Progress) -> Text:
    """Never end."""
    while True:
        progress(1, 2)
        select.select([], [], [], 0.01)


class PictureParams(Params):
    color: str = Field(default="red")
    count: int = Field(default=1, ge=0)
    fails_at: int = Field(default=-1)
    tally: str = Field(default="")


@plugin.job
def picture(params: PictureParams) -> Image:
    """Paint one colour."""
    note_run(params.tally)
    painted = PIL.Image.new("RGB", (8, 8), params.color)
    painted.info["notes"] = ["A small one."]
    return painted


@plugin.job
def pictures(params: PictureParams) -> Iterator[Image]:
    """Paint several, one after the other."""
    note_run(params.tally)
    for number in range(params.count):
        if number == params.fails_at:
            raise ValueError("no more paint")
        yield PIL.Image.new("RGB", (8, 8), (number, 0, 0))


@plugin.job
def endless_pictures(params: Params, progress: Progress) -> Iterator[Image]:
    """Paint one picture and never another."""
    yield PIL.Image.new("RGB", (8, 8), "red")
    while True:
        progress(1, 2)
        select.select([], [], [], 0.01)


@plugin.job
def flip(image: Image, params: PictureParams) -> Image:
    """Turn a picture upside down."""
    note_run(params.tally)
    return image.transpose(PIL.Image.Transpose.FLIP_TOP_BOTTOM)


@plugin.job
def overlay(below: Image, above: Image | None, params: Params) -> Text:
    """Tell which pictures came."""
    return "one" if above is None else "two"


@plugin.job
def join(texts: list[Text], params: EchoParams) -> Text:
    """Join all texts."""
    note_run(params.tally)
    return "+".join(texts)


@plugin.job
def split(text: Text, params: EchoParams) -> list[Text]:
    """Return the words."""
    note_run(params.tally)
    return text.split()


@plugin.job
def default(text: Text = "given") -> Text:
    """Return the text or its default."""
    return text


@plugin.job
def odd_names(job: Text, artifact: Text, data: Text, each: Text) -> Text:
    """Have ports that are called like the words of the request."""
    return f"{job} {artifact} {data} {each}"


@plugin.job
def same(value: Data) -> Data:
    """Return any JSON value."""
    return value


@plugin.job
def measure(file: File) -> Text:
    """Return what is in a file."""
    return file.path.read_text("utf-8")


@dataclass
class Two:
    first: Text
    second: Image


@dataclass
class One:
    only: Text


@plugin.job
def two() -> Two:
    """Make a text and an image."""
    return Two("one", PIL.Image.new("L", (4, 4)))


@plugin.job
def one() -> One:
    """Make a text, in a dataclass of one port."""
    return One("alone")


@plugin.job
def both(pair: Two) -> Text:
    """Take a dataclass of ports."""
    return f"{pair.first} {pair.second.size}"


class HowParams(Params):
    how: str = Field(default="")
    tally: str = Field(default="")


class Touchy(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@plugin.job(cached=False)
def end(params: HowParams, progress: Progress) -> Text:  # noqa: C901 - one case for each way
    """End in the way that is asked for."""
    note_run(params.tally)
    print("last words")
    match params.how:
        case "segfault":
            ctypes.string_at(0)
        case "os._exit":
            os._exit(3)
        case "sys.exit":
            sys.exit("bye")
        case "kill":
            os.kill(os.getpid(), 9)
        case "memory":
            raise MemoryError("too much")
        case "raise":
            raise ValueError("it broke")
        case "touchy":
            raise Touchy
        case "own error":
            raise InvalidInput("the image is too small", "Use a larger one.")
        case "cancelled":
            raise JobCancelled
        case "closed":
            os.close(1)
            os.close(2)
            sys.stdout.close()
        case "deep":
            return end(params, progress)
        case "child":
            child = subprocess.Popen(["sleep", "600"])
            Path(params.tally).write_text(str(child.pid), "utf-8")
            os._exit(3)
    return "fine"


@plugin.job(cached=False)
def garbage(params: HowParams) -> Text:
    """Return what was not announced."""
    return {"none": None, "number": 7, "object": object(), "surrogate": "\ud800", "type": Text}[params.how]  # type: ignore[return-value]


@plugin.job(cached=False)
def garbage_list(params: HowParams) -> list[Image]:
    """Return what was not announced."""
    return {"none": None, "text": "abc", "mixed": [PIL.Image.new("L", (2, 2)), "x"]}[params.how]  # type: ignore[return-value]


@plugin.job(cached=False)
def garbage_file(params: HowParams) -> File:
    """Return a file that is not there."""
    return File(Path(params.how))


class TalkParams(Params):
    count: int = Field(default=1)
    how: str = Field(default="print")
    mark: str = Field(default="")


@plugin.job(cached=False)
def talk(params: TalkParams, progress: Progress) -> Text:
    """Print, in many ways."""
    libc = ctypes.CDLL(None)
    for _ in range(params.count):
        match params.how:
            case "print":
                print(f"printed {params.mark}")
            case "error":
                print(f"complained {params.mark}", file=sys.stderr)
            case "json":
                print('{"type":"done","job":"x"}')
            case "c":
                libc.printf(f"from C {params.mark}\n".encode())
            case "write":
                os.write(1, f"raw {params.mark}\n".encode())
            case "child":
                subprocess.run(["echo", f"child {params.mark}"], check=True)
            case "zeros":
                os.write(1, b"a\0b\n\0\n\0x y\n\0")
            case "line":
                os.write(1, b"y" * 65536)
    return "told"


@plugin.job(cached=False)
def read_stdin(params: Params) -> Text:
    """Start a program that reads its standard input to the end, as ffmpeg does."""
    return subprocess.run(["cat"], check=True, capture_output=True, text=True).stdout


class ModelParams(Params):
    checkpoint: Annotated[str, ModelFile("checkpoints")] = Field(default="")
    tally: str = Field(default="")


class Refiner(Params):
    model: ModelParams = Field(default=ModelParams())
    steps: int = Field(default=5, ge=1)
    seed: Seed = Field(default=-1)


class GroupedParams(Params):
    refiner: Refiner = Field(default=Refiner(steps=7))
    second: Refiner | None = Field(default=None)
    tally: str = Field(default="")


@plugin.job
def refine(params: GroupedParams) -> Data:
    """Return the params as they came."""
    note_run(params.tally)
    return Data(params.model_dump(mode="json"))


@plugin.invocation
def refine_later(params: GroupedParams) -> Job[Data]:
    """Refine with a group of which only the steps are set."""
    return refine.job(GroupedParams(second=Refiner(steps=3)))


@plugin.job
def load_model(params: ModelParams) -> Text:
    """Pretend to use a model file."""
    note_run(params.tally)
    return params.checkpoint


class WordsParams(Params):
    model_config = ConfigDict(json_schema_extra={"x-models": ["loras", "words.csv"]})

    tally: str = Field(default="")


@plugin.job
def read_words(text: Text, params: WordsParams) -> Text:
    """Pretend to use model files that a text names."""
    note_run(params.tally)
    return text


@plugin.job(cached=False)
def report_badly(params: Params, progress: Progress) -> Text:
    """Report something that has no form in JSON."""
    progress(object(), 1)  # type: ignore[arg-type]
    return "told"


class FloodParams(Params):
    step: int = Field(default=0)
    total: int = Field(default=0)
    count: int = Field(default=20_000)


@plugin.job(cached=False)
def flood(params: FloodParams, progress: Progress) -> Text:
    """Report far too often."""
    for _ in range(params.count):
        progress(params.step, params.total)
    progress(9, 10)
    progress(10, 10)
    return "told"


@plugin.invocation
def twice(text: Text, params: EchoParams) -> list[Job[Text]]:
    """Make two jobs."""
    note_run(params.tally)
    return [echo.job(text, EchoParams(suffix="1", tally=params.tally)), echo.job(text, EchoParams(suffix="2"))]


@plugin.invocation
def once(text: Text, params: EchoParams) -> Job[Text]:
    """Make one job."""
    return echo.job(text, params)


@plugin.invocation
def shared(text: Text, params: EchoParams) -> list[Job[Text]]:
    """Make two jobs that need the same third one."""
    base = echo.job(text, EchoParams(suffix="!", tally=params.tally))
    return [echo.job(base, EchoParams(suffix="a")), join.job([base, base], EchoParams())]


@plugin.invocation
def flip_twice(image: Image, params: PictureParams) -> Job[Image]:
    """Hand on the picture that came in."""
    return flip.job(flip.job(image, params), params)


@plugin.invocation
def paint_and_flip(params: PictureParams) -> Job[Image]:
    """Bring a picture of its own."""
    return flip.job(PIL.Image.new("RGB", (8, 8), params.color), params)


@plugin.invocation
def one_fails(text: Text, params: HowParams) -> list[Job[Text]]:
    """Make a job that ends well and one that does not."""
    return [echo.job(text, EchoParams()), end.job(params)]


@plugin.invocation
def pairs(text: Text, params: EchoParams) -> Job[Text]:
    """Pair the words of a text with themselves."""
    words = split.job(text, EchoParams())
    return odd_names.job(words, words, "x", "y")


@plugin.invocation
def deep(text: Text, params: EchoParams) -> Job[Text]:
    """Make another of its kind until the number is 0."""
    if params.number == 0:
        return echo.job(text, params)
    return deep.job(text, EchoParams(number=params.number - 1))


@plugin.invocation
def forever(text: Text, params: EchoParams) -> Job[Text]:
    """Make another of its kind without end."""
    return forever.job(text, params)


@plugin.invocation
def nothing(text: Text, params: EchoParams) -> list[Job[Text]]:
    """Make no job."""
    return []


@plugin.invocation
def no_jobs(text: Text, params: HowParams) -> Job[Text]:
    """Return no job but something else."""
    return {"none": None, "text": "abc", "list": [1]}[params.how]  # type: ignore[return-value]


@plugin.invocation
def waits(text: Text, params: HoldParams) -> list[Job[Text]]:
    """Wait at the gate before it makes its jobs; it has no progress to hear a cancel from."""
    note_run(params.tally)
    gate = os.open(params.gate, os.O_RDWR)
    os.read(gate, 1)
    os.close(gate)
    first = echo.job(text, EchoParams(suffix="1"))
    return [first, echo.job(first, EchoParams(suffix="2"))]


@plugin.invocation
def parts_twice(text: Text, params: Params) -> list[Job[Text]]:
    """Make two jobs that run until they are interrupted."""
    return [parts.job(text), parts.job(f"{text}?")]


@plugin.invocation
def holds(text: Text, params: HoldParams) -> list[Job[Text]]:
    """Make two jobs that wait at the gate."""
    return [hold.job(text, params), hold.job(text, params)]
