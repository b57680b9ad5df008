"""Clients hear of plugins and model files that came, changed or went."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import Any

import pytest

from stable_core import file_watch

pytestmark = pytest.mark.anyio

PLUGIN = """
from stable_core.sdk import Params, Plugin, Text
plugin = Plugin("extra")

@plugin.job
def say(text: Text, params: Params) -> Text:
    return text{after}
"""


async def test_what_comes_changes_and_goes_is_told(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watch, "WATCH_SECONDS", 0.02)
    home = lab.home()
    plugin, models = home / "plugins" / "extra.py", home / "models" / "checkpoints"
    other = home / "elsewhere"
    async with lab.open(home, models_folders=[str(other)]) as core, contextlib.aclosing(core.events()) as events:

        async def changed() -> str:
            async with asyncio.timeout(60):
                kind = str((await anext(events))["type"])
            await asyncio.sleep(0.02)  # the clock of some file systems ticks so slowly
            return kind

        await asyncio.sleep(0.2)  # nobody listens yet
        plugin.write_text(PLUGIN.format(after=""))
        assert await changed() == "plugins.changed"
        assert await core.signature("extra.say")
        (models / "new.safetensors").touch()
        while (kind := await changed()) == "plugins.changed":  # it was found before it had announced
            pass
        assert kind == "models.changed"
        (models / "below").mkdir()
        assert await changed() == "models.changed"
        (models / "below" / "deep.safetensors").touch()
        assert await changed() == "models.changed"
        (other / "Lora").mkdir(parents=True)
        assert await changed() == "models.changed"
        plugin.write_text(PLUGIN.format(after=" + text"))
        assert await changed() == "plugins.changed"
        shutil.rmtree(models / "below")
        while (kind := await changed()) == "plugins.changed":
            pass
        assert kind == "models.changed"


async def test_nobody_looks_while_nobody_listens(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watch, "WATCH_SECONDS", 0.02)
    async with lab.open() as core:
        before = core.last_event()
        (core.home / "models" / "checkpoints" / "new.safetensors").touch()
        await asyncio.sleep(0.2)
        assert core.last_event() == before
        assert core.health()["status"] == "ok"
