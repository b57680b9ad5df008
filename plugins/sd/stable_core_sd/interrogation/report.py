"""One interrogation: the caption of a picture and what fits it best of each list. The two models are elsewhere.

Source of the format: A1111 1.10, `InterrogateModels.interrogate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from stable_core.sdk import Progress
from stable_core_sd.checkpoint_store import Format
from stable_core_sd.interrogation.caption import open_captioner
from stable_core_sd.interrogation.categories import read_categories
from stable_core_sd.interrogation.matching import BATCH, best_matches, open_matcher
from stable_core_sd.interrogation.pretrained import on_device
from stable_core_sd.settings import SdSettings

if TYPE_CHECKING:
    from stable_core_sd.params_interrogation import InterrogateParams


def interrogate_picture(image: Image.Image, params: InterrogateParams, progress: Progress, settings: SdSettings) -> str:
    """Return a prompt that may make a picture like this one.

    Raises:
        InvalidParams: a model is missing or cannot be used, or a list is not in UTF-8.
        JobCancelled: out of `progress`, within one token or batch of phrases.
    """
    form = Format.chosen(settings)
    image = image.convert("RGB")
    categories = read_categories(params.skip_categories, params.dict_limit)
    batches = sum(-(-len(category.phrases) // BATCH) for category in categories)
    total = params.max_length + batches
    captioner = open_captioner(params.captioner, form)
    matcher = open_matcher(params.clip, form)

    def on_token(length: int) -> None:
        progress(min(length, params.max_length), total, "Writing the caption")

    parts = [captioner(image, params.num_beams, params.min_length, params.max_length, on_token)]
    done = params.max_length
    with on_device(matcher.model, form):
        picture = matcher.picture_features(image)
        for category in categories:

            def on_batch(name: str = category.name) -> None:
                nonlocal done
                done += 1
                progress(done, total, f"Comparing with {name}")

            known = matcher.phrase_features(category.phrases, on_batch)
            for place, probability in best_matches(picture, known, category.count):
                phrase = category.phrases[place]
                parts.append(f"({phrase}:{probability:.3f})" if params.include_ranks else phrase)
    progress(total, total)
    return ", ".join(parts)
