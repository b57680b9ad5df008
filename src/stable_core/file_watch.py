"""Notices plugins and model files that come, change or go, as long as somebody follows events. It runs nothing."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from stable_core.config import Config
from stable_core.errors import StorageFull
from stable_core.events import EventHub
from stable_core.plugin_registry import PluginRegistry
from stable_core.store import LOCAL_OWNER, Store

WATCH_SECONDS = 3.0


async def watch_files(store: Store, registry: PluginRegistry, config: Config, events: EventHub) -> None:
    """Look again and again; events `plugins.changed` and `models.changed` say when clients should ask for them anew."""
    known: dict[str, Any] = {}
    while True:
        with contextlib.suppress(OSError, StorageFull):
            if not known or len(events):
                await registry.refresh()
                found = {
                    "plugins": [plugin.to_dict() for plugin in registry.plugins.values()],
                    "models": await asyncio.to_thread(_folders, registry.model_roots(config.model_roots())),
                }
                for what in (what for what in known if found[what] != known[what]):
                    store.add_event(f"{what}.changed", {}, owner=LOCAL_OWNER)
                known = found
        await asyncio.sleep(WATCH_SECONDS)


def _folders(roots: list[Path]) -> list[tuple[Path, int]]:
    """Return the folders in which models may lie, with the time when something last came or went there."""
    folders = [folder for root in roots for folder in (root, *root.glob("*/"), *root.glob("*/*/"))]
    return sorted((folder, folder.stat().st_mtime_ns) for folder in folders if folder.is_dir())
