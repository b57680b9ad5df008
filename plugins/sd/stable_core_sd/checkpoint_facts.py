"""What can be told about a checkpoint without loading it. It builds no model."""

from __future__ import annotations

from collections import Counter
from typing import Any

from stable_core_sd import hashes
from stable_core_sd.checkpoint_list import find_checkpoint
from stable_core_sd.diffusers_folder import read_folder
from stable_core_sd.merge_metadata import parsed_metadata
from stable_core_sd.model_kinds import TASKS
from stable_core_sd.single_file import read_single_file


def describe_checkpoint(name: str) -> dict[str, Any]:
    """Return kind, task, what it predicts, formats of its numbers, hashes and metadata.

    Raises:
        InvalidParams: there is none of that name, or it is none that runs here.
    """
    found = find_checkpoint(name)
    is_file = found.path.is_file()
    kind, parts, scheduler = read_single_file(found.path) if is_file else read_folder(found.path)
    unet, vae = parts["unet"], parts["vae"]
    formats = Counter(str(unet.tensors.empty(name).dtype).removeprefix("torch.") for name in unet.tensors)
    return {
        "title": found.title,
        "name": found.key,
        "kind": kind.label,
        "task": TASKS[unet.config["in_channels"] - vae.config["latent_channels"]],
        "prediction_type": scheduler.get("prediction_type", "epsilon"),
        "formats": dict(formats),
        "sha256": hashes.sha256_of(found.path) if is_file else None,
        "legacy_hash": found.legacy_hash or None,
        "metadata": parsed_metadata(unet.tensors.metadata),
    }
