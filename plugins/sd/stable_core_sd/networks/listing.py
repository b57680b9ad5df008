"""Lists of the networks that prompts can name, as plain data. It loads none into a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from stable_core.sdk import InvalidParams, Progress
from stable_core_sd.networks import lora_file
from stable_core_sd.networks.embedding_file import readable_embeddings
from stable_core_sd.networks.hypernetwork_file import hypernetwork_files, read_hypernetwork

Item = TypeVar("Item")


def list_loras(search: str, progress: Progress) -> list[dict[str, Any]]:
    """Return names, hash, base model and tags of the LoRAs with `search` in their name."""
    found = [lora for lora in lora_file.list_loras() if _matches(search, lora.name, lora.alias)]
    return [lora.describe() for lora in _counted(found, progress)]


def list_embeddings(search: str, progress: Progress) -> list[dict[str, Any]]:
    """Return the embeddings with `search` in their name; those that cannot be read with a `problem`."""
    readable, broken = readable_embeddings()
    listed: list[dict[str, Any]] = [
        {
            "name": embedding.name,
            "vectors": len(embedding),
            "widths": list(embedding.vectors),
            "step": embedding.step,
            "checkpoint": embedding.checkpoint_name,
            "checksum": embedding.checksum,
            "hash": embedding.short_hash,
        }
        for embedding in _counted(readable, progress)
    ]
    listed += [{"name": name, "problem": problem} for name, problem in broken.items()]
    return [one for one in sorted(listed, key=lambda one: str(one["name"])) if _matches(search, one["name"])]


def list_hypernetworks(search: str, progress: Progress) -> list[dict[str, Any]]:
    """Return the hypernetworks with `search` in their name; those that cannot be read with a `problem`."""
    listed: list[dict[str, Any]] = []
    files = [(name, path) for name, path in sorted(hypernetwork_files().items()) if _matches(search, name)]
    for name, path in _counted(files, progress):
        try:
            network = read_hypernetwork(path)
        except InvalidParams as error:
            listed.append({"name": name, "problem": error.message})
            continue
        widths, layers = sorted(network.modules), list(network.structure.layers)
        facts = {"widths": widths, "layers": layers, "activation": network.structure.activation}
        listed.append({"name": name, **facts, "step": network.step, "checkpoint": network.checkpoint_name})
    return listed


def _matches(search: str, *names: str) -> bool:
    return any(search.lower() in name.lower() for name in names)


def _counted(items: list[Item], progress: Progress) -> Iterable[Item]:
    """Yield items and report how many of them are done."""
    for index, item in enumerate(items):
        progress(index, len(items))
        yield item
    progress(len(items) or 1, len(items) or 1)
