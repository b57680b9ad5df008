"""The networks that a prompt names, active for as long as a run lasts. How each kind works is in its own module."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stable_core.sdk import InvalidParams
from stable_core_sd.networks.embedding import Embedding
from stable_core_sd.networks.hypernetwork import Modules, attached
from stable_core_sd.networks.hypernetwork_file import find_hypernetwork, read_hypernetwork
from stable_core_sd.networks.lora import apply_loras, read_call
from stable_core_sd.networks.weight_patch import WeightPatch

if TYPE_CHECKING:
    from stable_core_sd.prompt.extra_networks import NetworkCall

LORAS = ("lora", "lyco")
"""Two words for the same: LyCORIS files had an extension of their own once."""

HYPERNETWORK = "hypernet"


@dataclass
class ActiveNetworks:
    """What a run tells about its networks.

    Attributes:
        lora_hashes: the hash of each LoRA by the name in the prompt.
        embeddings: that LoRAs brought with them and that the checkpoint can use, by name.
        key: the same for two runs whose text encoders are changed alike.
        notes: what was not found or does not fit, for the person who wrote the prompt.
    """

    lora_hashes: dict[str, str] = field(default_factory=dict)
    embeddings: dict[str, Embedding] = field(default_factory=dict)
    key: Hashable = ()
    notes: list[str] = field(default_factory=list)

    @property
    def infotext(self) -> dict[str, str]:
        """Return what the generation data say."""
        hashes = ", ".join(f"{name}: {short_hash}" for name, short_hash in self.lora_hashes.items())
        return {"Lora hashes": hashes} if hashes else {}


@contextmanager
def activated(checkpoint: Any, calls: Sequence[NetworkCall]) -> Iterator[ActiveNetworks]:
    """Put the LoRAs and hypernetworks that a prompt names into a checkpoint, and take them out at the end.

    LoRAs change text encoders too, so texts are encoded inside. A name that is not found or a file that cannot be
    used is noted, and the run goes on without it.
    """
    active = ActiveNetworks()
    with ExitStack() as stack:
        patch = WeightPatch()
        stack.callback(patch.undo)
        _activate_loras(checkpoint, [call for call in calls if call.kind in LORAS], patch, active)
        hypernetworks = _load_hypernetworks(checkpoint, [call for call in calls if call.kind == HYPERNETWORK], active)
        unknown = [call.kind for call in calls if call.kind not in (*LORAS, HYPERNETWORK)]
        active.notes += [f"Networks of the kind {kind!r} are unknown" for kind in dict.fromkeys(unknown)]
        if hypernetworks and not stack.enter_context(attached(checkpoint.unet, hypernetworks)):
            active.notes.append("The hypernetwork has no effect: it was made for another kind of model")
        yield active


def _activate_loras(checkpoint: Any, calls: Sequence[NetworkCall], patch: WeightPatch, active: ActiveNetworks) -> None:
    wanted = []
    for call in calls:
        try:
            wanted.append(read_call(call.positional, call.named))
        except InvalidParams as error:
            active.notes.append(error.message)
    applied = apply_loras(checkpoint, wanted, patch)
    active.lora_hashes |= applied.hashes
    active.embeddings |= {name: one for name, one in applied.embeddings.items() if one.fits(checkpoint.text_widths)}
    active.notes += applied.notes
    active.key = tuple((call, applied.hashes.get(call.name)) for call in wanted)


def _load_hypernetworks(
    checkpoint: Any, calls: Sequence[NetworkCall], active: ActiveNetworks
) -> list[tuple[Modules, float]]:
    found: list[tuple[Modules, float]] = []
    for call in calls:
        name, multiplier = (*call.positional, "1", "1")[:2] if call.positional else ("", "1")
        path = find_hypernetwork(name)
        if path is None:
            active.notes.append(f"Hypernetworks not found: {name}")
            continue
        try:
            strength = float(multiplier)
            modules = read_hypernetwork(path).modules
        except (ValueError, InvalidParams) as error:
            active.notes.append(f"<hypernet:{':'.join(call.items)}> was left out: {error}")
            continue
        for pair in modules.values():
            for module in pair:
                module.to(checkpoint.device, checkpoint.unet.dtype)
        found.append((modules, strength))
    return found
