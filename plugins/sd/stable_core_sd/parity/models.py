"""Checks of merging checkpoints. The reference cases are run by runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from stable_core.sdk import InvalidParams
from stable_core_sd import merge_metadata, merging
from stable_core_sd.merge_metadata import ParentFacts, metadata_of_merge
from stable_core_sd.params_models import CONFIG_SOURCES, MergeParams
from stable_core_sd.parity.runner import Check, close

Case = Mapping[str, Any]


def merge(case: Case, header: Case) -> Any:
    """Merge small models; the original's messages and its choice of a writer are told from the outcome."""
    params = MergeParams(
        primary="modelA",
        method=case["interp_method"],
        multiplier=case["multiplier"],
        name=case["custom_name"],
        format=case["checkpoint_format"],
        save_as_half=case["save_as_half"],
        vae=case["bake_in_vae"] or "",
        discard_weights=case["discard_weights"],
        config_source=CONFIG_SOURCES[3],
        save_metadata=case["save_metadata"],
        add_merge_recipe=case["add_merge_recipe"],
        copy_metadata_fields=case["copy_metadata_fields"],
        metadata=case["metadata_json"],
    )
    recipe = merging.Recipe(params.method, case["multiplier"], params.save_as_half, params.discard_weights)
    try:
        merging.check_parents(recipe, case["B"] is not None, case["C"] is not None)
    except InvalidParams as error:
        return {"message": f"Failed: {error.message}"}
    used = [tensors_of(case[letter]) for letter in recipe.needs]
    vae = tensors_of(case["vae"]) if case["bake_in_vae"] else None
    parents = merging.Parents.of(used, vae)
    merged = {name: merging.merged_tensor(name, parents, recipe) for name in merging.merged_names(parents, recipe)}
    ending = merging.special_ending(parents, recipe)
    name = (params.name or merging.default_name(recipe, ("modelA", "modelB", "modelC"))) + f"{ending}.{params.format}"
    is_safetensors = params.format == "safetensors"
    metadata = metadata_of_merge(params, facts_of(case, recipe.needs), ending) if is_safetensors else None
    return {
        "message": f"Checkpoint saved to /ckpt/{name}",
        "filename": name,
        "saver": params.format if is_safetensors else "torch",
        "tensors": {name: described(tensor) for name, tensor in merged.items()},
        "metadata": metadata,
    }


def facts_of(case: Case, letters: str) -> list[ParentFacts]:
    """Return what the recipe says about the models of a case."""
    metas = case["metas"] or {}
    return [
        ParentFacts(f"model{letter}.safetensors", 64 * letter.lower(), f"h{letter}", metas.get(letter) or {})
        for letter in letters
    ]


def tensors_of(described: Case) -> dict[str, torch.Tensor]:
    """Return tensors from their types, shapes and numbers."""
    return {
        name: torch.tensor(one["data"], dtype=getattr(torch, one["dtype"])).reshape(one["shape"])
        for name, one in described.items()
    }


def described(tensor: torch.Tensor) -> dict[str, Any]:
    """Return a tensor's type, shape and numbers."""
    numbers = [float(number) for number in tensor.flatten().tolist()]
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "data": numbers}


def agrees(expected: Case, got: Case) -> bool:
    """Compare numbers within a tolerance and texts exactly, but what is JSON in the metadata by its meaning."""
    return close(absolute=1e-6, relative=1e-6)(parsed(expected), parsed(got))


def parsed(result: Case) -> dict[str, Any]:
    """Return a result with the metadata parsed; of the writer it only counts whether it is that of safetensors."""
    metadata = result.get("metadata")
    told = {"metadata": metadata and merge_metadata.parsed_metadata(metadata)}
    return {**result, **told, "saver": result.get("saver") == "safetensors"}


CHECKS: dict[str, Check] = {"checkpoint_merge": Check(merge, agrees)}
