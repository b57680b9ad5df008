"""Pictures as BLIP and CLIP take them. It knows no models."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stable_core_sd.checkpoint_store import Format

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the colours that both were trained with."""


def normalized_pixels(image: Image.Image, form: Format) -> Tensor:
    """Return a picture as (1, 3, height, width), in the range that BLIP and CLIP were trained with."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32)) / 255
    normal = (pixels - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
    return normal.permute(2, 0, 1)[None].to(form.device, form.dtype)


def middle_square(image: Image.Image, side: int) -> Image.Image:
    """Return the middle of a picture as a square, with the shorter side resampled to that of the square."""
    factor = side / min(image.size)
    width, height = max(int(image.width * factor), side), max(int(image.height * factor), side)
    resized = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - side) / 2), round((height - side) / 2)
    return resized.crop((left, top, left + side, top + side))
