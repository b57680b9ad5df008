"""All that a plugin author imports. Needs pydantic and Pillow, nothing else of stable-core."""

from stable_core.errors import InvalidInput, InvalidParams, JobCancelled
from stable_core.sdk.artifacts import Audio, Data, File, Image, Mask, Text, Video
from stable_core.sdk.jobs import Job, JobSignature, JobState
from stable_core.sdk.params import Counted, Field, ModelFile, Params, Secret, Seed, find_model_file, model_files
from stable_core.sdk.plugin import Plugin
from stable_core.sdk.progress import Progress

__all__ = [
    "Audio",
    "Counted",
    "Data",
    "Field",
    "File",
    "Image",
    "InvalidInput",
    "InvalidParams",
    "Job",
    "JobCancelled",
    "JobSignature",
    "JobState",
    "Mask",
    "ModelFile",
    "Params",
    "Plugin",
    "Progress",
    "Secret",
    "Seed",
    "Text",
    "Video",
    "find_model_file",
    "model_files",
]
