"""A plugin for tests of the web client: a knob of every kind, a port of every type, slow jobs, jobs that count."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from stable_core.sdk import Audio, Counted, Data, Field, File, Image, Mask, Params, Plugin, Progress, Seed, Text, Video

plugin = Plugin("showcase")


class Border(Params):
    """A line around the picture."""

    enabled: bool = Field(default=False, description="Draw it")
    width: int = Field(default=2, ge=1, le=64, unit="px", description="How wide it is")


class Knobs(Params):
    """One of each."""

    strength: float = Field(default=0.5, ge=0, le=1, component="slider", description="How strong", group="Numbers")
    size: int = Field(default=512, ge=64, le=2048, unit="px", description="How large", group="Numbers")
    seed: Seed = Field(default=-1, description="The same seed gives the same", group="Numbers")
    mode: Literal["calm", "wild"] = Field(default="calm", description="Which way", group="Choices")
    wildness: int = Field(
        default=3, ge=1, le=9, description="Shown for wild only", group="Choices", depends={"mode": "wild"}
    )
    paper: str = Field(default="plain", examples=["plain", "lined", "squared"], description="Any", group="Choices")
    colour: str = Field(default="#1a1a40", component="color", description="Which colour", group="Choices")
    model: str = Field(default="", description="A hidden extra", advanced=True)
    caption: Annotated[str, Counted("showcase.count", short=True)] = Field(default="", description="What stands below")
    border: Border = Field(default=Border(), description="A line around it")


class CountKnobs(Params):
    """What is counted."""

    short: bool = Field(default=False, description="There is room for three words only")
    size: int = Field(default=512, description="As large as the picture")


@plugin.job
def count(text: Text, params: CountKnobs, progress: Progress) -> Data:
    """Count the words of a text."""
    words, limit = text.split(), 3 if params.short else params.size // 64
    progress(1, 1)
    return Data({"tokens": len(words), "limit": limit, "cut": " ".join(words[limit:])})


@plugin.job(cached=False)
def say(text: Annotated[Text, Counted("showcase.count")], params: Knobs, progress: Progress) -> Text:
    """Say a text again."""
    progress(1, 1)
    return text


@plugin.job(cached=False)
def wait(text: Text, params: Params, progress: Progress) -> Text:
    """Take a long time, which nothing shortens but cancel."""
    for step in range(3000):
        time.sleep(0.01)
        progress(step, 3000)
    return text


@plugin.job
def play(
    sound: Audio | None,
    film: Video | None,
    picture: Image | None,
    mask: Mask | None,
    document: File | None,
    params: Params,
    progress: Progress,
) -> Text:
    """Tell which inputs there are."""
    given = {"sound": sound, "film": film, "picture": picture, "mask": mask, "document": document}
    progress(1, 1)
    return ", ".join(name for name, value in given.items() if value is not None)
