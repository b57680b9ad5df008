"""Tags: how the tags that a classifier such as DeepDanbooru sees in a picture become a prompt. It looks at no picture.

Source of the rules: A1111 1.10, `tag_multi`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stable_core_sd.params_scripts import TagParams

SPECIAL = re.compile(r"([\\()])")


def prompt_of_tags(  # noqa: PLR0913 - every choice of the original
    tags: Mapping[str, float],
    *,
    threshold: float = 0.5,
    by_name: bool = True,
    spaces: bool = True,
    escape: bool = True,
    ranks: bool = False,
    left_out: str = "",
) -> str:
    """Return tags with their probabilities as a prompt; those about the rating are left out.

    Args:
        by_name: sort by name, not by falling probability.
        spaces: write underscores as spaces.
        escape: write a backslash before brackets and backslashes, which mean something in prompts.
        ranks: write each as `(tag:probability)`.
        left_out: more tags that are not wanted, separated by commas, with spaces or underscores.
    """
    unwanted = {name.strip().replace(" ", "_") for name in left_out.split(",")}
    kept = {
        tag: probability
        for tag, probability in tags.items()
        if probability >= threshold and not tag.startswith("rating:") and tag not in unwanted
    }
    order = sorted(kept) if by_name else sorted(kept, key=lambda tag: -kept[tag])
    shown = []
    for tag in order:
        text = tag.replace("_", " ") if spaces else tag
        text = SPECIAL.sub(r"\\\1", text) if escape else text
        shown.append(f"({text}:{kept[tag]:.3f})" if ranks else text)
    return ", ".join(shown)


def prompt_as_asked(tags: Mapping[str, float], params: TagParams) -> str:
    """Return tags with their probabilities as the prompt that the knobs ask for."""
    return prompt_of_tags(
        tags,
        threshold=params.threshold,
        by_name=params.order == "name",
        spaces=params.spaces,
        escape=params.escape,
        ranks=params.weights,
        left_out=params.left_out,
    )
