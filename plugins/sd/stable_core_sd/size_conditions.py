"""What Stable Diffusion XL is told beside the prompt: sizes, a crop, a score of beauty. It runs no model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stable_core_sd.model_kinds import Kind


@dataclass(frozen=True)
class SizeConditions:
    """The facts about a training picture that the model is asked to follow.

    Source: Podell et al. 2023, https://arxiv.org/abs/2307.01952, section 2.2. The defaults are A1111's: the picture is
    said to have the size that is made, without a crop, and to be beautiful, or ugly for the negative prompt.
    """

    width: int
    height: int
    crop_left: int = 0
    crop_top: int = 0
    high_score: float = 6.0
    low_score: float = 2.5

    def numbers(self, kind: Kind, is_negative: bool) -> list[float]:
        """Return the numbers that the UNet of a kind takes, in its order."""
        start = [self.height, self.width, self.crop_top, self.crop_left]
        score = self.low_score if is_negative else self.high_score
        return [*start, self.height, self.width] if kind.size_numbers == 6 else [*start, score]


def added_conditions(
    kind: Kind, pooled: Tensor | None, sizes: SizeConditions, is_negative: bool = False
) -> dict[str, Tensor]:
    """Return the `added_cond_kwargs` of diffusers' UNet for pooled texts of shape (batch, width); none for older kinds.

    `text_embeds` has shape (batch, width), `time_ids` has shape (batch, 6 or 5).
    """
    if not kind.size_numbers or pooled is None:
        return {}
    ids = torch.tensor([sizes.numbers(kind, is_negative)], device=pooled.device, dtype=torch.float32)
    return {"text_embeds": pooled, "time_ids": ids.expand(len(pooled), -1)}
