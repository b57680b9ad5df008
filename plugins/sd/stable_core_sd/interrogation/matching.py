"""Which phrases fit a picture, as CLIP sees it. It knows no files of phrases and writes no text.

Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020; for prompts used first by
https://github.com/pharmapsychotic/clip-interrogator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from stable_core.sdk import InvalidParams
from stable_core_sd.checkpoint_store import Format
from stable_core_sd.interrogation.clip_file import read_clip_file
from stable_core_sd.interrogation.pixels import middle_square, normalized_pixels
from stable_core_sd.interrogation.pretrained import find_pretrained, kept, library, load_pretrained
from stable_core_sd.recent import Recent, file_stamps
from stable_core_sd.token_count import tokenizer

KIND = "CLIP"
WHAT = "a transformers folder of CLIPModel, such as clip-vit-large-patch14, or OpenAI's ViT-L-14.pt"
BATCH = 64
"""So many phrases are read at once."""
SHARPNESS = 100.0
"""What cosines are multiplied by before they become probabilities; CLIP's training ends with it."""
_LISTS_KEPT = 16


class Matcher:
    """CLIP, which puts pictures and phrases into one space."""

    def __init__(self, source: Path, form: Format) -> None:
        """Load a folder of transformers, or a file of OpenAI.

        Raises:
            InvalidParams: files are missing, cut off or of another model.
        """
        weights, config = None, None
        if source.is_file():
            facts, weights = read_clip_file(source)
            config = library().CLIPConfig(**facts)
        self.form = form
        self.model = load_pretrained("CLIPModel", source, form, weights, config)
        self.size = int(self.model.config.vision_config.image_size)
        self.length = int(self.model.config.text_config.max_position_embeddings)
        if self.model.config.text_config.vocab_size <= tokenizer().end_token:
            raise InvalidParams(f"{source} has another vocabulary than CLIP's.", "Choose a CLIP of OpenAI or OpenCLIP.")
        self._features: Recent[Tensor] = Recent(_LISTS_KEPT)

    @torch.inference_mode()
    def picture_features(self, image: Image.Image) -> Tensor:
        """Return what the middle of a picture shows, as a vector of length 1."""
        pixels = normalized_pixels(middle_square(image, self.size), self.form)
        return normalize(self.model.get_image_features(pixels).pooler_output.float(), dim=-1)[0]

    @torch.inference_mode()
    def phrase_features(self, phrases: tuple[str, ...], on_batch: Callable[[], None]) -> Tensor:
        """Return what phrases mean, as vectors of length 1, of shape (phrases, width).

        Those of the last few lists are remembered; `on_batch` is called after each batch that is read.
        """

        def read() -> Tensor:
            made = []
            for start in range(0, len(phrases), BATCH):
                tokens = torch.tensor(self.tokens(phrases[start : start + BATCH]), device=self.form.device)
                made.append(self.model.get_text_features(tokens).pooler_output.float())
                on_batch()
            return normalize(torch.cat(made), dim=-1)

        return self._features.get(phrases, read)

    def tokens(self, phrases: Sequence[str]) -> list[list[int]]:
        """Return a row of tokens for each phrase, cut to what CLIP can read and filled up with 0 to the longest.

        CLIP's own code fills up to 77; as no token sees a later one, that takes ten times as long for the same result.
        """
        text = tokenizer()
        rows = [[text.start_token, *text(phrase)[: self.length - 2], text.end_token] for phrase in phrases]
        longest = max(map(len, rows))
        return [row + [0] * (longest - len(row)) for row in rows]


def best_matches(picture: Tensor, phrases: Tensor, count: int) -> list[tuple[int, float]]:
    """Return the places of the phrases that fit best and their probabilities among all of them, the best first.

    Args:
        picture: a vector of length 1, of shape (width,).
        phrases: vectors of length 1, of shape (phrases, width).
    """
    probabilities = (SHARPNESS * phrases @ picture).softmax(dim=-1)
    best = probabilities.topk(min(count, len(probabilities)))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


def open_matcher(name: str, form: Format) -> Matcher:
    """Return the CLIP of this name, the first one if it is empty.

    Raises:
        InvalidParams: there is none, or it cannot be used.
    """
    source = find_pretrained(KIND, name, "clip", WHAT)
    return kept.get((KIND, form, *file_stamps(source)), lambda: Matcher(source, form))
