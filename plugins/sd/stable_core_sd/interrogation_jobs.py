"""The announcement of the jobs that say what a picture shows. What they do is in `interrogation`."""

from __future__ import annotations

from stable_core.sdk import Image, Progress, Text
from stable_core_sd.late_imports import torch_module
from stable_core_sd.params_interrogation import DeepDanbooruParams, DescriptionParams, InterrogateParams
from stable_core_sd.plugin import plugin
from stable_core_sd.tags import prompt_as_asked


@plugin.job
def interrogate(image: Image, params: InterrogateParams, progress: Progress) -> Text:
    """Guess a prompt from a picture: a caption by BLIP and what fits best of each list of phrases, as CLIP sees it."""
    progress(0, params.max_length, "Starting PyTorch")
    found: str = torch_module("interrogation.report").interrogate_picture(image, params, progress, plugin.settings)
    return found


@plugin.job
def deepdanbooru(image: Image, params: DeepDanbooruParams, progress: Progress) -> Text:
    """Write the tags that DeepDanbooru sees in a drawing as a prompt."""
    progress(0, 1, "Starting PyTorch")
    tags = torch_module("interrogation.deepdanbooru").find_tags(image, params.model, plugin.settings)
    progress(1, 1)
    return prompt_as_asked(tags, params)


@plugin.job
def add_description(prompt: Text, image: Image, params: DescriptionParams, progress: Progress) -> Text:
    """Add to a prompt what a picture shows, as `interrogate` or `deepdanbooru` say it."""
    if params.by == "CLIP":
        told = interrogate(image, InterrogateParams(), progress)
    else:
        told = deepdanbooru(image, DeepDanbooruParams(), progress)
    return f"{prompt}, {told}" if prompt else told
