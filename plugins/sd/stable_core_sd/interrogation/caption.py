"""Captions of pictures by BLIP. What its weights are called in files is not known here.

Source: Li et al. 2022, https://arxiv.org/abs/2201.12086.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import BertWordPieceTokenizer, Tokenizer
from torch import Tensor

from stable_core.sdk import InvalidParams
from stable_core_sd.checkpoint_store import Format
from stable_core_sd.interrogation.blip_file import read_blip_file
from stable_core_sd.interrogation.pixels import normalized_pixels
from stable_core_sd.interrogation.pretrained import find_pretrained, kept, library, load_pretrained, on_device
from stable_core_sd.recent import file_stamps

KIND = "BLIP"
WHAT = (
    "a transformers folder of BlipForConditionalGeneration with its vocab.txt, or A1111's "
    "model_base_caption_capfilt_large.pth with the vocab.txt of bert-base-uncased,"
)
START = "a picture of "
"""What each caption starts with while it is written; it is no part of the result."""


class Captioner:
    """BLIP and its vocabulary."""

    def __init__(self, source: Path, form: Format) -> None:
        """Load a folder of transformers, or a file of BLIP's authors.

        Raises:
            InvalidParams: files are missing, cut off or of another model.
        """
        self.form = form
        self.tokenizer = read_vocabulary(source if source.is_dir() else source.parent)
        weights, config = None, None
        if source.is_file():
            facts, weights = read_blip_file(source)
            config = library().BlipConfig(**facts)
        self.model = load_pretrained("BlipForConditionalGeneration", source, form, weights, config)
        self.size = int(self.model.config.vision_config.image_size)

    @torch.inference_mode()
    def __call__(
        self, image: Image.Image, beams: int, shortest: int, longest: int, on_token: Callable[[int], None]
    ) -> str:
        """Return what a picture shows.

        Args:
            beams: so many captions are tried side by side.
            shortest: length of the caption in tokens, the four of its start included.
            longest: where it is cut off.
            on_token: called with the length so far.
        """
        text = self.model.config.text_config
        start = self.tokenizer.encode(START, add_special_tokens=False).ids
        tokens = torch.tensor([[text.bos_token_id, *start, text.sep_token_id]], device=self.form.device)

        def count(written: Tensor, scores: Any, **_: Any) -> Tensor:
            on_token(written.shape[1])
            return torch.zeros(len(written), dtype=torch.bool, device=written.device)

        with on_device(self.model, self.form):
            written = self.model.generate(
                normalized_pixels(image.resize((self.size, self.size), Image.Resampling.BICUBIC), self.form),
                tokens,
                torch.ones_like(tokens),
                num_beams=beams,
                min_length=shortest,
                max_length=longest,
                do_sample=False,
                stopping_criteria=[count],
            )[0].tolist()
        special = {text.bos_token_id, text.sep_token_id, text.pad_token_id}
        caption = self.tokenizer.decode([token for token in written if token not in special])
        return str(caption.strip().removeprefix(START.strip()).strip())


def open_captioner(name: str, form: Format) -> Captioner:
    """Return the captioning model of this name, the first one if it is empty.

    Raises:
        InvalidParams: there is none, or it cannot be used.
    """
    source = find_pretrained(KIND, name, "blip", WHAT)
    return kept.get((KIND, form, *file_stamps(source)), lambda: Captioner(source, form))


def read_vocabulary(folder: Path) -> Any:
    """Return the tokenizer of a folder, from `vocab.txt` or `tokenizer.json`.

    Raises:
        InvalidParams: there is neither, or it cannot be read.
    """
    try:
        if (folder / "vocab.txt").is_file():
            return BertWordPieceTokenizer(str(folder / "vocab.txt"))
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception:  # noqa: BLE001 - the library raises Exception itself
        raise InvalidParams(
            f"{folder} holds no vocab.txt and no tokenizer.json that can be read.",
            "Put the vocab.txt of bert-base-uncased there.",
        ) from None
