"""The knobs of the jobs about prompts: tokens, styles, a random artist. It imports no torch and computes nothing."""

from __future__ import annotations

import pydantic

from stable_core.sdk import Field, Params, Seed
from stable_core_sd.params import TextParams


class TokenizeParams(Params):
    """What the prompt is for."""

    negative: bool = Field(default=False, description="It is a negative prompt, in which AND and networks mean nothing")
    steps: int = Field(default=20, ge=1, le=150, description="Steps of the run; edits are counted in them")
    styles: list[str] = Field(default=[], description="Names of styles that are added before counting")
    text: TextParams = Field(default=TextParams(), advanced=True, description="How prompts are read")


class StyleListParams(Params):
    """Which styles to list."""

    search: str = Field(default="", description="Only those whose name contains this")


class StyleParams(Params):
    """A style to keep."""

    name: str = Field(min_length=1, max_length=200, description="Its name; a style of that name is replaced")
    prompt: str = Field(
        default="", component="textarea", description="Added to the prompt, or put around it where it says {prompt}"
    )
    negative_prompt: str = Field(default="", component="textarea", description="The same for the negative prompt")


class StyleNameParams(Params):
    """A style to forget."""

    name: str = Field(min_length=1, max_length=200, description="Its name")


class RandomArtistParams(Params):
    """Which artist is added to a prompt."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={"x-models": ["artists.csv", "artists.txt", "../artists.csv", "../artists.txt"]}
    )

    categories: list[str] = Field(default=[], description="Categories of the list that count; empty is all")
    words: str = Field(default="by {artist}", description="What is added behind a comma; {artist} stands for the name")
    seed: Seed = Field(default=-1, description="The same seed chooses the same artist again; -1 takes any")
