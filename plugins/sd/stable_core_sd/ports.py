"""What jobs take or give on their wires where it is more than one class tells. What they are set to is in params."""

from __future__ import annotations

from dataclasses import dataclass

from stable_core.sdk import Image, Mask, Text
from stable_core_sd.counted import Prompt


@dataclass(frozen=True)
class Picture:
    """A picture to change.

    Attributes:
        mask: white is changed; without one it is everything.
        latent_mask: where the latents are changed, if not where `mask` is white, which then says what is seen of it.
        colours: whose colours the result gets, if that is wanted; without one it is the picture itself.
    """

    image: Image
    prompt: Prompt
    mask: Mask | None = None
    latent_mask: Mask | None = None
    colours: Image | None = None


@dataclass(frozen=True)
class CodeResult:
    """What code of a person made."""

    pictures: list[Image]
    text: Text
