"""VAEs in files of their own: which names their weights have. It chooses none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from stable_core.sdk import InvalidParams
from stable_core_sd import ldm_keys
from stable_core_sd.diffusers_folder import current_name, read_json
from stable_core_sd.tensor_files import TensorFiles
from stable_core_sd.weights import Part


def read_vae(path: Path, config: dict[str, Any]) -> Part:
    """Return a VAE in the layout of A1111, with or without the names' start, or of diffusers.

    `config` describes the VAE that it replaces; one beside the file, as in a diffusers folder, counts more.

    Raises:
        InvalidParams: it is no VAE, unsafe or cut off.
    """
    tensors = TensorFiles([path])
    beside = path.with_name("config.json")
    config = {**config, **(read_json(beside) if beside.is_file() else {})}
    if "decoder.conv_in.weight" not in tensors and ldm_keys.VAE + "decoder.conv_in.weight" not in tensors:
        raise InvalidParams(f"{path.name} is no VAE.", "Choose a file with a decoder.")
    if any(name.startswith("decoder.up_blocks.") for name in tensors):
        return Part(config, tensors, current_name(tensors))
    return Part(config, tensors, _stored_name(partial(ldm_keys.vae_key, config=config), tensors))


def _stored_name(key: Callable[[str], str], tensors: TensorFiles) -> Callable[[str], str]:
    """Return what finds a weight in a VAE alone or in a whole checkpoint."""

    def stored_name(name: str) -> str:
        full = key(name)
        return full if full in tensors else full.removeprefix(ldm_keys.VAE)

    return stored_name
