"""The announcement of the jobs that say what a picture shows. What they do is in `interrogation`."""

from __future__ import annotations

from stable_core.sdk import Image, Progress, Text
from stable_core_sd.late_imports import torch_module
from stable_core_sd.params_interrogation import InterrogateParams
from stable_core_sd.plugin import plugin


@plugin.job
def interrogate(image: Image, params: InterrogateParams, progress: Progress) -> Text:
    """Guess a prompt from a picture: a caption by BLIP and what fits best of each list of phrases, as CLIP sees it."""
    progress(0, params.max_length, "Starting PyTorch")
    found: str = torch_module("interrogation.report").interrogate_picture(image, params, progress, plugin.settings)
    return found
