"""How many steps a run from a picture does, and where in its schedule it starts. Plain numbers, no noise levels."""

from __future__ import annotations

from typing import NamedTuple

MAX_STRENGTH = 0.999
"""Above this strength a run from a picture would start before its first step."""


class PictureSteps(NamedTuple):
    """The steps of a run from a picture.

    Attributes:
        planned: the steps of the whole schedule; 0 means that there is nothing to do.
        done: the steps at its end that are done, but one: A1111 does one more.
    """

    planned: int
    done: int


def picture_steps(steps: int, strength: float, is_exact: bool = False) -> PictureSteps:
    """Return the steps for a denoising strength in 0..1.

    Args:
        is_exact: do all `steps` whatever the strength, so that the schedule gets longer; the second pass of a run does.

    Source: A1111 1.10, `setup_img2img_steps`.
    """
    strength_used = min(strength, MAX_STRENGTH)
    if not is_exact:
        return PictureSteps(steps, int(strength_used * steps))
    return PictureSteps(int(steps / strength_used) if strength > 0 else 0, steps - 1)
