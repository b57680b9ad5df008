"""The folder of one training: its state, so that it can go on after any end, and what it leaves for people to read."""

from __future__ import annotations

import csv
import filecmp
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from stable_core.sdk import InvalidParams

LOG_COLUMNS = ("step", "epoch", "epoch_step", "loss", "learn_rate")


def run_key(facts: Mapping[str, Any], pictures: Sequence[bytes]) -> str:
    """Return what is the same for two trainings that learn the same from the same pictures."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for picture in pictures:
        digest.update(hashlib.sha256(picture).digest())
    return digest.hexdigest()[:10]


class RunFolder:
    """`<models>/training/<name>-<key>/`.

    | file | what |
    |---|---|
    | `state.pt` | everything to go on from |
    | `log.csv` | the loss as it was, step by step |
    | `settings.json` | the params |
    | `networks/`, `pictures/` | what was saved and drawn on the way |
    | `<name>.safetensors` or `.pt` | what was learnt in the end |
    """

    def __init__(self, name: str, key: str) -> None:
        named = os.environ.get("STABLE_CORE_MODELS", "").split(os.pathsep)[0]
        self._root = Path(named) if named else Path(tempfile.gettempdir()) / "stable-core"
        self.name, self.path = name, self._root / "training" / f"{name}-{key}"
        for folder in (self.networks, self.pictures):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def networks(self) -> Path:
        """Return the folder of what was saved on the way."""
        return self.path / "networks"

    @property
    def pictures(self) -> Path:
        """Return the folder of the previews."""
        return self.path / "pictures"

    def result(self, suffix: str) -> Path:
        """Return the file for what was learnt in the end."""
        return self.path / f"{self.name}{suffix}"

    def check_name(self, kind: str, suffix: str) -> None:
        """Make sure that the name is free for the result, or taken by the result of a training.

        Raises:
            InvalidParams: a file from elsewhere has that name.
        """
        installed = self._installed(kind, suffix)
        if not installed.is_file():
            return
        results = self.path.parent.glob(f"{glob.escape(self.name)}-*/{glob.escape(self.name)}{suffix}")
        if not any(filecmp.cmp(installed, result, shallow=False) for result in results):
            hint = "Choose another name, move that file away, or do not install the result."
            raise InvalidParams(f"There is already a file {installed.name} among the {kind}.", hint)

    def install(self, kind: str, suffix: str) -> Path:
        """Copy the result to where prompts find it, and return that file."""
        installed = self._installed(kind, suffix)
        installed.parent.mkdir(parents=True, exist_ok=True)
        new = installed.with_suffix(".new")
        shutil.copyfile(self.result(suffix), new)
        new.replace(installed)  # a worker may have the old file mapped
        return installed

    def _installed(self, kind: str, suffix: str) -> Path:
        return self._root / kind / f"{self.name}{suffix}"

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state so that a kill at any moment leaves the old or the new one."""
        new = self.path / "state.new"
        torch.save(dict(state), new)
        new.replace(self.path / "state.pt")

    def load_state(self) -> dict[str, Any] | None:
        """Return the last state, or None at the beginning."""
        path = self.path / "state.pt"
        if not path.is_file():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Write down the params of the training."""
        (self.path / "settings.json").write_text(
            json.dumps(dict(settings), indent=2, ensure_ascii=False) + "\n", "utf-8"
        )

    def start_log(self, after_step: int) -> None:
        """Keep the log up to a step: what was logged after the last state happens again."""
        path = self.path / "log.csv"
        kept: list[list[str]] = []
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                kept = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) <= after_step]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([LOG_COLUMNS, *kept])

    def append_log(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows of `LOG_COLUMNS` to the log."""
        with (self.path / "log.csv").open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
