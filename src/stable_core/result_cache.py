"""Results that are there already: when a job counts as equal to a former one. It changes no job."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from stable_core.config import Config
from stable_core.errors import InvalidParams
from stable_core.plugin_registry import PluginRegistry, Stamp, stamps
from stable_core.protocol import artifact_path
from stable_core.sdk.jobs import JobState
from stable_core.sdk.params import KIND_FOLDERS, find_model_file
from stable_core.store import Row, Store


class ResultCache:
    """Finds succeeded jobs by all that can change a result; the rows are the cache, so it survives restarts."""

    def __init__(self, store: Store, registry: PluginRegistry, config: Config) -> None:
        self._store = store
        self._registry = registry
        self._config = config

    def key(self, row: Row, inputs: dict[str, Any]) -> str | None:
        """Return the key of a job with these resolved inputs, None when its plugin wants it run each time."""
        if not self._registry.signature(row["job"])["cached"]:
            return None
        plugin = self._registry.plugins[row["plugin"]]
        models = self._model_stamps(self._registry.params_schema(row["job"]).models_in(row["params"]))
        parts = [row["job"], plugin.version, self._config.plugin_settings(row["plugin"]), models, inputs, row["params"]]
        return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()

    def find(self, row: Row) -> Row | None:
        """Return a job with the same key whose files are all there, the saved ones too."""
        if row["cache_key"] is None or not row["options"]["cache"] or not self._config.settings.cache_results:
            return None
        found = next(self._store.jobs(1, cache_key=row["cache_key"], state=JobState.SUCCEEDED), None)
        if found is None:
            return None
        every = [artifact for made in found["outputs"].values() for artifact in made]
        files = [artifact_path(self._store.artifacts, artifact["id"]) for artifact in every]
        files += [Path(artifact["path"]) for artifact in every if "path" in artifact]
        return found if all(map(Path.is_file, files)) else None

    def _model_stamps(self, models: list[tuple[str, str]]) -> list[Stamp]:
        """Return path, size and time of each file of some models: a replaced file is another input."""
        roots = self._registry.model_roots(self._config.model_roots())
        found: list[Stamp] = []
        for kind, name in models:
            try:
                paths = [find_model_file(kind, name, [] if name == "*" else roots)]
            except InvalidParams:  # any may be meant, or the plugin knows it by another name, so all of the kind count
                paths = [root / folder for root in roots for folder in KIND_FOLDERS.get(kind, (kind,))]
            found += sorted(stamp for path in paths for stamp in stamps(path, levels=4))
        return found
