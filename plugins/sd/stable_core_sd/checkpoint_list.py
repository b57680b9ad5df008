"""Which checkpoints and VAEs there are, and which one a text means. It loads no model and imports no torch.

Source of the names and the order of the search: A1111 1.10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stable_core.sdk import InvalidParams, Progress, model_files
from stable_core_sd import hashes

AUTOMATIC, BAKED = "Automatic", "None"
"""VAE choices: the file that stands beside the checkpoint, and the one inside it."""

_HASH_AT_END = re.compile(r" \[[0-9a-f]+\]$")
_VAE_NAME = re.compile(r"\.vae\.[^.]+$", re.IGNORECASE)
_ENDINGS = (".safetensors", ".ckpt")


@dataclass(frozen=True)
class CheckpointFile:
    """One checkpoint and what it is called."""

    key: str
    """Its path below the models folder without the ending, as in lists of choices."""
    path: Path

    @property
    def name(self) -> str:
        """Return its path below the models folder, with the ending."""
        return self.key if self.path.is_dir() else self.key + self.path.suffix

    @property
    def model_name(self) -> str:
        """Return its path as one word, without the ending."""
        return self.key.replace("/", "_")

    @property
    def base_name(self) -> str:
        """Return its own name alone: `Model` in the generation data."""
        return Path(self.key).name

    @cached_property
    def sha256(self) -> str:
        """Return its hash, empty until it was found once; folders have none."""
        return "" if self.path.is_dir() else hashes.known_sha256(self.path)

    @property
    def short_hash(self) -> str:
        """Return the first ten digits of the hash, or nothing."""
        return self.sha256[:10]

    @cached_property
    def legacy_hash(self) -> str:
        """Return the eight digits that it was known by in 2022; folders have none."""
        return "" if self.path.is_dir() else hashes.legacy_hash_of(self.path)

    @property
    def title(self) -> str:
        """Return how it is listed: `folder/name.safetensors [0123456789]`."""
        return f"{self.name} [{self.short_hash}]" if self.short_hash else self.name

    def is_called(self, text: str) -> bool:
        """Tell whether a text is exactly one of its names or hashes."""
        names = {self.key, self.model_name, self.title, self.name, self.path.name, self.base_name}
        if text in names:
            return True
        digits = text.removeprefix(f"{self.name} [").removesuffix("]")
        if not re.fullmatch(r"[0-9a-f]{8,64}", digits):
            return False
        return digits in {self.sha256, self.short_hash} or (len(digits) == 8 and digits == self.legacy_hash)


def checkpoint_files() -> list[CheckpointFile]:
    """Return all checkpoints, sorted by name; VAEs that stand between them are left out."""
    found = [CheckpointFile(key, path) for key, path in model_files("checkpoints").items()]
    return sorted((one for one in found if is_checkpoint(one.path)), key=lambda one: one.name.lower())


def is_checkpoint(path: Path) -> bool:
    """Tell whether a model file among the checkpoints can be one."""
    return path.is_dir() or (path.suffix.lower() in _ENDINGS and not _VAE_NAME.search(path.name))


def find_checkpoint(text: str) -> CheckpointFile:
    """Return the checkpoint that a text means.

    It is the one that is called exactly so, else the one with the shortest title that contains the text, else the
    same for the text without a hash in brackets at its end.

    Raises:
        InvalidParams: there is none; the hint lists those there are.
    """
    files = checkpoint_files()
    exact = next((one for one in files if one.is_called(text)), None)
    if exact or not text:
        return exact or _unknown(text, files)
    for part in (text, _HASH_AT_END.sub("", text)):
        containing = [one for one in files if part in one.title]
        if containing:
            return min(containing, key=lambda one: len(one.title))
    return _unknown(text, files)


def find_vae(choice: str, checkpoint: Path) -> Path | None:
    """Return the VAE file for a checkpoint, or None for the one inside it.

    `Automatic` takes the first VAE whose file name starts with that of the checkpoint, as `NAME.vae.safetensors` does.

    Raises:
        InvalidParams: there is no VAE of that name; the hint lists those there are.
    """
    if choice in {BAKED, ""}:
        return None
    found = vae_files()
    if choice == AUTOMATIC:
        stem = checkpoint.name if checkpoint.is_dir() else checkpoint.stem
        return next((path for _, path in sorted(found.items()) if path.name.startswith(stem)), None)
    path = found.get(choice) or next((path for path in found.values() if choice in {path.name, path.stem}), None)
    if path is None:
        known = ", ".join([AUTOMATIC, BAKED, *sorted(found)])
        raise InvalidParams(f"There is no VAE {choice!r}.", f"Known: {known}. New files go to models/vae/.")
    return path


def vae_files() -> dict[str, Path]:
    """Return all VAEs by name: those in folders for them, and `*.vae.*` files between the checkpoints."""
    beside = {key: path for key, path in model_files("checkpoints").items() if _VAE_NAME.search(path.name)}
    return {**beside, **model_files("vae")}


def list_models(finds_hashes: bool, progress: Progress) -> dict[str, Any]:
    """Return the lists `checkpoints` and `vaes`; hashes that are not known yet are null unless `finds_hashes`."""
    files = checkpoint_files()
    progress(0, len(files))
    for count, one in enumerate(files, 1):
        if finds_hashes and one.path.is_file() and not one.sha256:
            progress(count - 1, len(files), f"Reading {one.name}")
            hashes.sha256_of(one.path)
        progress(count, len(files))
    listed = [_described(one) for one in checkpoint_files()]
    vaes = [{"model_name": key, "filename": str(path)} for key, path in sorted(vae_files().items())]
    return {"checkpoints": listed, "vaes": vaes}


def _described(one: CheckpointFile) -> dict[str, Any]:
    config = one.path.with_suffix(".yaml")
    return {
        "name": one.key,
        "title": one.title,
        "model_name": one.model_name,
        "hash": one.short_hash or None,
        "sha256": one.sha256 or None,
        "filename": str(one.path),
        "config": str(config) if config.is_file() else None,
    }


def _unknown(text: str, files: list[CheckpointFile]) -> CheckpointFile:
    known = ", ".join(one.key for one in files) or "none yet"
    raise InvalidParams(
        f"There is no model {text!r} among the checkpoints.", f"Known: {known}. New files go to models/checkpoints/."
    )
