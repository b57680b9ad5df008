"""What tells the kinds of Stable Diffusion apart, as a table. It opens no file and knows no names of weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextRule:
    """How a kind of model uses one of its text encoders."""

    part: str
    """Its name in a diffusers folder."""
    pads_with_zero: bool = False
    """Rows are filled up with token 0, as OpenCLIP does, not with end tokens."""
    skipped_layers: int = 0
    """So many of the last layers are not used."""
    is_normalized: bool = True
    """The last norm is applied to what comes out."""
    follows_clip_skip: bool = False
    pools: bool = False
    """It also gives one vector for a whole row."""


@dataclass(frozen=True)
class Kind:
    """One kind of Stable Diffusion."""

    label: str
    config_folder: str
    """The folder below `configs/` with what a single file leaves out."""
    texts: tuple[TextRule, ...]
    size_numbers: int = 0
    """How many numbers about the size of the picture the UNet is told: 6, or 5 with a score of beauty."""


SD1 = Kind("Stable Diffusion 1.x", "sd15", (TextRule("text_encoder", follows_clip_skip=True),))
SD2 = Kind("Stable Diffusion 2.x", "sd21", (TextRule("text_encoder", pads_with_zero=True),))
"""Its text encoder is stored without the last layer, which is never used."""

_LARGE = TextRule("text_encoder_2", pads_with_zero=True, skipped_layers=1, is_normalized=False, pools=True)
SDXL = Kind(
    "Stable Diffusion XL",
    "sdxl",
    (TextRule("text_encoder", skipped_layers=1, is_normalized=False), _LARGE),
    size_numbers=6,
)
REFINER = Kind("Stable Diffusion XL refiner", "sdxl_refiner", (_LARGE,), size_numbers=5)

TASKS = {0: "text", 5: "inpainting", 4: "instruct-pix2pix"}
"""What a checkpoint is for, by the number of channels that its UNet takes beside those of the latent."""
