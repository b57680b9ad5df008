"""From the prompts that a person typed to those that are drawn and noted: styles are added, comments left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from stable_core_sd.params import HiresParams, RunParams
from stable_core_sd.prompt.comments import strip_comments
from stable_core_sd.prompt.composition import ends_in_weight, split_parts
from stable_core_sd.prompt.extra_networks import take_networks
from stable_core_sd.prompt.styles import Style, apply_styles
from stable_core_sd.style_files import find_styles

SomeParams = TypeVar("SomeParams", bound=RunParams)


@dataclass(frozen=True)
class Finish:
    """What is done to each text that a person typed."""

    styles: Sequence[Style]
    strips_comments: bool
    hypernetwork: str = ""

    def prompt(self, text: str) -> str:
        """Return a prompt with its styles and the hypernetwork of all prompts, and without its comments."""
        text = self._strip(apply_styles(text, [style.prompt for style in self.styles]))
        named = [call.positional[:1] for call in take_networks(text)[1] if call.kind == "hypernet"]
        is_missing = self.hypernetwork not in ("", "None") and (self.hypernetwork,) not in named
        return f"{text}<hypernet:{self.hypernetwork}:1>" if is_missing else text

    def negative_prompt(self, text: str) -> str:
        """Return a negative prompt with its styles and without its comments."""
        return self._strip(apply_styles(text, [style.negative_prompt for style in self.styles]))

    def _strip(self, text: str) -> str:
        return strip_comments(text) if self.strips_comments else text


def finish_prompts(prompt: str, params: SomeParams, hypernetwork: str = "") -> tuple[str, SomeParams, list[str]]:
    """Return the prompt and the params with the finished prompts of all passes, and notes for who typed them.

    Args:
        hypernetwork: name of one that is added to every prompt that does not name it; empty or `None` is none.

    Raises:
        InvalidParams: a file of styles cannot be read.
    """
    styles, unknown = find_styles(params.styles)
    finish = Finish(styles, params.text.comments, hypernetwork)
    each = params.each.model_copy(
        update={
            "prompts": [finish.prompt(one) for one in params.each.prompts],
            "negative_prompts": [finish.negative_prompt(one) for one in params.each.negative_prompts],
        }
    )
    changes: dict[str, object] = {"negative_prompt": finish.negative_prompt(params.negative_prompt), "each": each}
    hires = getattr(params, "hires", None)
    if isinstance(hires, HiresParams):
        second = {
            "prompt": hires.prompt and finish.prompt(hires.prompt),
            "negative_prompt": hires.negative_prompt and finish.negative_prompt(hires.negative_prompt),
        }
        changes["hires"] = hires.model_copy(update=second)
    prompt = finish.prompt(prompt)
    notes = [*style_notes(unknown), *weight_notes(take_networks(prompt)[0])]
    return prompt, params.model_copy(update=changes), notes


def style_notes(unknown: Sequence[str]) -> list[str]:
    """Return what a person is told about styles that there are not."""
    return [f"There is no style {name!r}" for name in unknown]


def weight_notes(prompt: str) -> list[str]:
    """Return what a person is told about a prompt like `ratio 16:9`."""
    if not ends_in_weight(prompt):
        return []
    [part] = split_parts(prompt)
    return [f"The number at the end is read as a weight of {part.weight:g} for the whole prompt"]


def cut_notes(tokens: int, text: str) -> list[str]:
    """Return what a person is told about a prompt that is too long for one chunk."""
    return [f"The prompt is too long: {tokens} tokens were cut off: {text}"] if tokens else []
