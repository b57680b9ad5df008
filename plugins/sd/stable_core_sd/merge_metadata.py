"""What a merged file says about itself: where it comes from and how it was made. It reads and writes no file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stable_core.sdk import InvalidParams
from stable_core_sd.params_models import CONFIG_SOURCES, MergeParams


@dataclass(frozen=True)
class ParentFacts:
    """What the recipe says about one parent."""

    name: str
    """Its file name with the ending."""
    sha256: str
    legacy_hash: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The file's own metadata; what looks like JSON is parsed."""


def metadata_of_merge(params: MergeParams, parents: Sequence[ParentFacts], ending: str) -> dict[str, Any] | None:
    """Return the metadata of the result, or None without any.

    Args:
        params: the knobs of the merge.
        parents: those that took part, A first.
        ending: as from `merging.special_ending`.

    Raises:
        InvalidParams: the user's own metadata are no JSON object.
    """
    if not params.save_metadata:
        return None
    metadata: dict[str, Any] = {}
    if params.copy_metadata_fields:
        for parent in parents:
            metadata |= parent.metadata
    metadata |= _users_own(params.metadata)
    metadata["format"] = "pt"
    if params.add_merge_recipe:
        metadata["sd_merge_recipe"] = json.dumps(_recipe(params, parents, ending))
        metadata["sd_merge_models"] = json.dumps(_family(parents))
    return metadata


def parsed_metadata(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's metadata with everything parsed that looks like a JSON object."""
    parsed: dict[str, Any] = {}
    for name, value in stored.items():
        try:
            parsed[name] = json.loads(value) if str(value).startswith("{") else value
        except (TypeError, ValueError):
            parsed[name] = value
    return parsed


def _recipe(params: MergeParams, parents: Sequence[ParentFacts], ending: str) -> dict[str, Any]:
    hashes = [*(parent.sha256 for parent in parents), None, None]
    return {
        "type": "webui",
        "primary_model_hash": hashes[0],
        "secondary_model_hash": hashes[1],
        "tertiary_model_hash": hashes[2],
        "interp_method": params.method,
        "multiplier": params.multiplier,
        "save_as_half": params.save_as_half,
        "custom_name": params.name,
        "config_source": CONFIG_SOURCES.index(params.config_source),
        "bake_in_vae": params.vae or None,
        "discard_weights": params.discard_weights,
        "is_inpainting": ending == ".inpainting",
        "is_instruct_pix2pix": ending == ".instruct-pix2pix",
    }


def _family(parents: Sequence[ParentFacts]) -> dict[str, Any]:
    """Return all models that went into the result by their hash, with those that went into its parents."""
    family: dict[str, Any] = {}
    for parent in parents:
        recipe = parent.metadata.get("sd_merge_recipe")
        family[parent.sha256] = {"name": parent.name, "legacy_hash": parent.legacy_hash, "sd_merge_recipe": recipe}
        inherited = parent.metadata.get("sd_merge_models")
        family |= inherited if isinstance(inherited, Mapping) else {}
    return family


def _users_own(text: str) -> dict[str, Any]:
    try:
        own = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidParams(f"metadata is no JSON: {error}.", 'Write an object such as {"author": "me"}.') from None
    if not isinstance(own, dict):
        raise InvalidParams("metadata is no JSON object.", 'Write an object such as {"author": "me"}.')
    return own
