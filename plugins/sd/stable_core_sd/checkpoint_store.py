"""The checkpoints that stay in memory between runs, and the VAE that each runs with. How they are read is elsewhere."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stable_core.sdk import InvalidParams
from stable_core_sd import device
from stable_core_sd.checkpoint import Checkpoint, load_checkpoint, load_vae
from stable_core_sd.checkpoint_list import AUTOMATIC, find_checkpoint, find_vae
from stable_core_sd.memory import MemoryPlan, apply_plan
from stable_core_sd.recent import file_stamps
from stable_core_sd.settings import SdSettings, Storage

Key = tuple[object, ...]

_kept: OrderedDict[Key, Checkpoint] = OrderedDict()
"""Loaded checkpoints, the one used last at the end; all but that one wait in main memory. A worker runs one job at a
time."""

_vaes: dict[Key, Any] = {}
"""The VAE file used last."""

_SHARE_NEEDED = 2.5
"""So many times the size of its files is free before a checkpoint is loaded, or no other is kept."""

_settings = SdSettings()
"""Those that the last checkpoint was opened with."""


@dataclass(frozen=True)
class Format:
    """Where a checkpoint runs, and in which format its numbers are."""

    device: torch.device
    dtype: torch.dtype
    storage: Storage = "full"

    @classmethod
    def chosen(cls, settings: SdSettings) -> Format:
        """Return what the settings ask for on this machine."""
        chosen = device.choose_device()
        return cls(chosen, device.choose_dtype(settings.precision, chosen), settings.storage)


def open_checkpoint(name: str, vae: str, settings: SdSettings) -> Checkpoint:
    """Return the checkpoint and the VAE that two texts mean, loaded and on their device.

    Raises:
        InvalidParams: there is none of that name, or it cannot be used.
    """
    return get_checkpoint(find_checkpoint(name).path, settings, vae)


@contextmanager
def another_checkpoint(name: str) -> Iterator[Checkpoint]:
    """Give another checkpoint, opened as the last one was; afterwards that one is back on its device.

    Raises:
        InvalidParams: there is none of that name, or it cannot be used.
    """
    settings = _settings
    key, before = next(reversed(_kept.items()))
    try:
        with torch.inference_mode(False):  # weights made inside of it could never take part in training
            other = open_checkpoint(name, AUTOMATIC, settings)
            apply_plan(other, replace(before.plan, fp8=other.plan.fp8))
        yield other
    finally:
        with torch.inference_mode(False):
            _park()
            _kept[key] = before
            _kept.move_to_end(key)
            _drop_oldest(settings.checkpoints_in_memory)
            before.unpark()


def get_checkpoint(path: Path, settings: SdSettings | None = None, vae: str = AUTOMATIC) -> Checkpoint:
    """Return the checkpoint at `path`, from memory if it is there and its file has not changed."""
    global _settings
    _settings = settings = settings or SdSettings()
    form = Format.chosen(settings)
    plan = MemoryPlan.chosen(settings, form.device)
    rests_on = form.device if plan.offload == "nothing" else torch.device("cpu")
    key = (path, form, *file_stamps(path))
    if key not in _kept:
        _park()  # first, because a run may go on using one that is forgotten here
        _drop_oldest(settings.checkpoints_in_memory - 1)
        if _kept and device.free_main_memory() < _SHARE_NEEDED * sum(size for *_, size in file_stamps(path)):
            _drop_oldest(0)
        _kept[key] = load_checkpoint(path, form.device, form.dtype, rests_on)
    elif next(reversed(_kept)) != key:
        _park()
    _kept.move_to_end(key)
    checkpoint = _kept[key]
    checkpoint.unpark()
    _choose_vae(checkpoint, find_vae(settings.default_vae if vae == AUTOMATIC else vae, path), form)
    has_fp8 = form.storage == "fp8" or (form.storage == "fp8 for XL" and checkpoint.kind.size_numbers > 0)
    apply_plan(checkpoint, replace(plan, fp8=has_fp8))
    checkpoint.retries = settings.retry_with_less
    return checkpoint


def unload() -> None:
    """Forget all checkpoints and give their memory back."""
    devices = {checkpoint.device for checkpoint in _kept.values()}
    _kept.clear()
    _vaes.clear()
    gc.collect()
    for used in devices:
        device.free_memory(used)


def _drop_oldest(limit: int) -> None:
    """Forget the checkpoints that were not used for longest, until no more than `limit` are kept."""
    while len(_kept) > limit:
        _kept.popitem(last=False)
    gc.collect()


def _park() -> None:
    """Move the checkpoint used last to main memory."""
    for checkpoint in _kept.values():
        checkpoint.park()
        device.free_memory(checkpoint.device)


def _choose_vae(checkpoint: Checkpoint, path: Path | None, form: Format) -> None:
    if path is None and checkpoint.baked_vae is None:
        raise InvalidParams(f"{checkpoint.path.name} holds no VAE.", "Choose one of models/vae/ with the param vae.")
    if path is None:
        checkpoint.use_vae(checkpoint.baked_vae, None)
        return
    key = (path, form, checkpoint.kind, *file_stamps(path))
    if key not in _vaes:
        _vaes.clear()
        config = {**checkpoint.vae_config, "force_upcast": checkpoint.kind.size_numbers > 0}
        _vaes[key] = load_vae(path, config, form.device, form.dtype)
    checkpoint.use_vae(_vaes[key], path)
