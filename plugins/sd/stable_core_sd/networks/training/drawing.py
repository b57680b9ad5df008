"""A picture in the middle of a training, drawn with what was learnt so far. Runs of users are in engine."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from stable_core.sdk import Progress
from stable_core_sd.batches import Batch
from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.latents import decode_latents
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.params import Txt2ImgParams
from stable_core_sd.passes import Pass, draw
from stable_core_sd.report import StepReport


def draw_picture(checkpoint: Checkpoint, prompt: str, seed: int, embeddings: Mapping[str, Embedding]) -> Image.Image:
    """Return a picture of the model's own size, with a run's default knobs.

    Args:
        checkpoint: draws, with the networks that it has now.
        prompt: what is drawn.
        seed: the same seed draws pictures that can be compared.
        embeddings: what names in the prompt stand for, beside those that have files.
    """
    params, side = Txt2ImgParams(preview=False), checkpoint.native_size
    one = Pass(checkpoint, params, StepReport(Progress(), params.steps), embeddings=embeddings)
    return decode_latents(checkpoint, draw(one, Batch([prompt], [""], [seed], [0], (side, side)))[0])
