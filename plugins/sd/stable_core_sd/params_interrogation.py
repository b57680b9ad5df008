"""The knobs of the jobs that say what a picture shows. It imports no torch and computes nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import model_validator

from stable_core.sdk import Field, ModelFile, Params
from stable_core_sd.params_scripts import TagParams


class InterrogateParams(Params):
    """How a picture becomes a prompt."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={"x-models": ["BLIP", "CLIP", "interrogate", "../interrogate"]}
    )

    min_length: int = Field(
        default=24, ge=1, le=128, unit="tokens", description="Shortest caption, with four tokens before its first word"
    )
    max_length: int = Field(default=48, ge=8, le=256, unit="tokens", description="Where a caption is cut off")
    num_beams: int = Field(
        default=1, ge=1, le=16, description="Captions tried side by side: more are slower and read better"
    )
    dict_limit: int = Field(
        default=1500, ge=0, le=1_000_000, description="Lines of each list that are looked at; 0 is all"
    )
    include_ranks: bool = Field(default=False, description="Write each match with its share, as (phrase:0.123)")
    skip_categories: list[str] = Field(default=[], description="Names of lists that are left out, such as artists")
    captioner: Annotated[str, ModelFile("BLIP")] = Field(
        default="", advanced=True, description="The BLIP that writes the caption; empty takes the first there is"
    )
    clip: Annotated[str, ModelFile("CLIP")] = Field(
        default="", title="CLIP", advanced=True, description="The CLIP that compares; empty takes the first there is"
    )

    @model_validator(mode="after")
    def _check_lengths(self) -> Any:
        if self.min_length > self.max_length:
            raise ValueError("min_length is above max_length")
        return self


class DeepDanbooruParams(TagParams):
    """How the tags that DeepDanbooru sees become a prompt."""

    model_config = pydantic.ConfigDict(json_schema_extra={"x-models": ["torch_deepdanbooru", "DeepDanbooru"]})

    model: Annotated[str, ModelFile("torch_deepdanbooru")] = Field(
        default="", advanced=True, description="The model file; empty takes the first there is"
    )


class DescriptionParams(Params):
    """Who says what a picture shows."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={
            "x-models": ["BLIP", "CLIP", "interrogate", "../interrogate", "torch_deepdanbooru", "DeepDanbooru"]
        }
    )

    by: Literal["CLIP", "DeepBooru"] = Field(
        default="CLIP", description="CLIP writes a caption and matches, DeepBooru tags"
    )
