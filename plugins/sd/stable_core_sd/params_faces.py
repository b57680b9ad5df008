"""The knobs of restoring faces. It imports no torch and computes nothing."""

from __future__ import annotations

from typing import Literal

from stable_core.sdk import Field, Params

FACE_FOLDERS = ("GFPGAN", "Codeformer", "CodeFormer", "facerestore_models", "facedetection")
"""Where A1111 and ComfyUI keep the files for faces, below a models folder."""

CODEFORMER_WEIGHT = "CodeFormer: 0 restores the most, 1 keeps the most of the given face"


class FaceParams(Params):
    """How the faces of a finished picture are restored."""

    model: Literal["CodeFormer", "GFPGAN", "RestoreFormer"] = Field(
        default="CodeFormer",
        description="The network that restores; its file belongs into models/Codeformer or models/GFPGAN",
    )
    weight: float = Field(
        default=0.5, ge=0, le=1, component="slider", title="CodeFormer weight", description=CODEFORMER_WEIGHT
    )


class FinishedFaceParams(Params):
    """Restoring the faces of a picture that is enlarged: with GFPGAN first, then with CodeFormer."""

    gfpgan_visibility: float = Field(
        default=0,
        ge=0,
        le=1,
        component="slider",
        title="GFPGAN visibility",
        description="How much of the faces that GFPGAN makes is seen; 0 is off",
    )
    codeformer_visibility: float = Field(
        default=0,
        ge=0,
        le=1,
        component="slider",
        title="CodeFormer visibility",
        description="How much of the faces that CodeFormer makes is seen; 0 is off",
    )
    codeformer_weight: float = Field(
        default=0, ge=0, le=1, component="slider", title="CodeFormer weight", description=CODEFORMER_WEIGHT
    )
