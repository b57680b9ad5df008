"""The knobs of enlarging a finished picture. It imports no torch and computes nothing."""

from __future__ import annotations

import pydantic

from stable_core.sdk import Field, Params
from stable_core_sd.params import UPSCALERS_WITHOUT_FILE, UpscalerName
from stable_core_sd.params_faces import FACE_FOLDERS, FinishedFaceParams


class UpscaleParams(Params):
    """The knobs of enlarging a finished picture."""

    model_config = pydantic.ConfigDict(json_schema_extra={"x-models": ["LDSR", *FACE_FOLDERS]})

    upscaler: UpscalerName = Field(
        default="Lanczos",
        examples=UPSCALERS_WITHOUT_FILE,
        description="What enlarges: Lanczos and Nearest come along, LDSR lies in models/LDSR, others are model files",
    )
    scale: float = Field(default=2, gt=0, le=16, component="slider", description="How many times larger")
    width: int = Field(default=0, ge=0, le=16384, unit="px", description="Width to reach instead; 0 follows the scale")
    height: int = Field(
        default=0, ge=0, le=16384, unit="px", description="Height to reach instead; 0 follows the scale"
    )
    crop: bool = Field(default=True, description="Cut what is larger than the width and height asked for")
    second_upscaler: UpscalerName = Field(
        default="None", examples=UPSCALERS_WITHOUT_FILE, description="An upscaler whose result is mixed in"
    )
    second_visibility: float = Field(
        default=0, ge=0, le=1, component="slider", description="How much of the second upscaler's result is seen"
    )
    faces: FinishedFaceParams = Field(
        default=FinishedFaceParams(), description="Draw the faces of the enlarged picture anew, more clearly"
    )
    max_side: int = Field(
        default=0, ge=0, le=16384, unit="px", advanced=True, description="Longest side of the result; 0 is no limit"
    )
    tile: int = Field(
        default=192, ge=0, le=4096, unit="px", advanced=True, description="What a network sees at once; 0 is everything"
    )
    tile_overlap: int = Field(default=8, ge=0, le=256, unit="px", advanced=True, description="Shared by two tiles")
    ldsr_steps: int = Field(
        default=100, ge=2, le=200, title="LDSR steps", advanced=True, description="Steps of LDSR; fewer are faster"
    )
