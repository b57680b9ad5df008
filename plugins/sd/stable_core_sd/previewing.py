"""Which preview a run shows: how it is made, of which pictures, and after which steps. The making is in preview."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image

from stable_core.sdk import InvalidParams
from stable_core_sd.checkpoint import Checkpoint
from stable_core_sd.denoiser import Denoiser
from stable_core_sd.outcome import Outcome
from stable_core_sd.params import PreviewParams
from stable_core_sd.preview import preview_image, preview_sheet
from stable_core_sd.tiny_decoders import NAMES, DecodeLatents, find_decoder

Show = Callable[[torch.Tensor], Image.Image]
"""Makes a small picture of guesses of shape (batch, channels, height / 8, width / 8)."""


def preview_of(checkpoint: Checkpoint, knobs: PreviewParams, outcome: Outcome, asked: Callable[[], Denoiser]) -> Show:
    """Return what makes the previews of a run; a note is left where the weights of the wanted kind cannot be used.

    Args:
        asked: returns the denoiser in use, for what one of the prompts alone would lead to.
    """
    decode: DecodeLatents | None = checkpoint.decode if knobs.method == "Full" else None
    if knobs.method in NAMES:
        try:
            decode = find_decoder(knobs.method, checkpoint.kind, checkpoint.device)
            why = f"There are no weights for {knobs.method} in models/vae_approx"
        except InvalidParams as error:
            why = error.message.rstrip(".")
        if decode is None:
            outcome.note(f"{why}: previews are approximate.")

    def show(denoised: torch.Tensor) -> Image.Image:
        if knobs.content != "Combined":
            alone = asked().latest_guess(of_negative=knobs.content == "Negative prompt")
            denoised = denoised if alone is None else alone
        shown = denoised if knobs.whole_batch else denoised[:1]
        if decode is None:
            return preview_image(shown, checkpoint.rgb_factors, checkpoint.factor)
        with torch.inference_mode():
            return preview_sheet(torch.cat([decode(latent[None].float()) for latent in shown]), largest=1)

    return show
