"""`<lora:name:0.8>`: networks named in a prompt. It finds and removes them; loading them is the networks' business."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_NETWORK = re.compile(r"<(\w+):([^>]+)>")


@dataclass(frozen=True)
class NetworkCall:
    """One network with what the prompt says about it.

    Attributes:
        kind: the word before the first colon, such as `lora` or `hypernet`; not checked.
        items: everything after it, as it was written.
    """

    kind: str
    items: tuple[str, ...]
    positional: tuple[str, ...] = field(init=False)
    named: dict[str, str] = field(init=False, hash=False)

    def __post_init__(self) -> None:
        pairs = [item.split("=") for item in self.items]
        object.__setattr__(self, "named", {pair[0]: pair[1] for pair in pairs if len(pair) == 2})
        positional = tuple(item for item, pair in zip(self.items, pairs, strict=True) if len(pair) != 2)
        object.__setattr__(self, "positional", positional)


def take_networks(prompt: str) -> tuple[str, list[NetworkCall]]:
    """Return the prompt without its networks, and them in the order in which they were written."""
    calls = [NetworkCall(kind, tuple(rest.split(":"))) for kind, rest in _NETWORK.findall(prompt)]
    return _NETWORK.sub("", prompt), calls


def take_batch_networks(prompts: Sequence[str]) -> tuple[list[str], list[NetworkCall]]:
    """Return the prompts of a batch without networks, and those of the first one: a batch has one set of weights."""
    taken = [take_networks(prompt) for prompt in prompts]
    return [prompt for prompt, _ in taken], taken[0][1] if taken else []
