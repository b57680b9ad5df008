"""Finding plugins and their announcements, with real workers that announce and end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stable_core import plugin_registry
from stable_core.environments import Environments, EnvironmentSpec
from stable_core.errors import BadAnnouncement, EnvironmentFailed, NotFound, PluginError
from stable_core.plugin_registry import PluginRegistry, bundled_folder

INVERT = """
    from stable_core.sdk import Image, Params, Plugin, Progress

    plugin = Plugin("invert")

    @plugin.job
    def invert(image: Image, params: Params, progress: Progress) -> Image:
        \"\"\"Turn every colour into its opposite.\"\"\"
        return image
"""


def write(path: Path, text: str) -> Path:
    """Write a file whose stamp differs from that of the file it replaces, however fast the test is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    if before:
        os.utime(path, ns=(before + 10**9, before + 10**9))
    return path


def named(name: str, before: str = "", after: str = "") -> str:
    return f"{before}\nfrom stable_core.sdk import Plugin\nplugin = Plugin({name!r})\n{after}\n"


def write_folder(folder: Path, name: str, code: str, lock: str | None = None) -> Path:
    write(
        folder / "pyproject.toml",
        f"""
        [project]
        name = "stable-core-{name}"
        version = "1.2.0"
        requires-python = ">=3.11"
        dependencies = ["markupsafe==2.1.5"]
        [project.entry-points."stable_core.plugins"]
        {name} = "my_{name}.plugin:it"
        """,
    )
    write(folder / f"my_{name}" / "__init__.py", "")
    write(folder / f"my_{name}" / "plugin.py", code.replace("plugin = ", "it = ").replace("@plugin.", "@it."))
    if lock is not None:
        write(folder / "requirements.lock", lock)
    return folder


@pytest.fixture
def folder(home: Path) -> Path:
    """Return the folder where a person drops plugins."""
    (home / "plugins").mkdir()
    return home / "plugins"


def refreshed(home: Path, *folders: Path) -> PluginRegistry:
    registry = PluginRegistry(list(folders) or [home / "plugins"], home, Environments(home))

    async def run() -> None:
        await registry.refresh()
        await registry.refresh(list(registry.plugins))

    asyncio.run(run())
    return registry


@contextlib.contextmanager
def no_worker_starts(monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(plugin_registry, "_run_announce", lambda *_: pytest.fail("a worker was started"))
        yield


def test_one_file_is_a_plugin(home: Path, folder: Path) -> None:
    source = write(folder / "anything.py", INVERT)
    registry = refreshed(home)
    plugin = registry.plugin("invert")
    assert (plugin.source, plugin.target, plugin.error, plugin.to_dict()["bundled"]) == (source, "", None, False)
    assert plugin.environment == EnvironmentSpec()
    assert registry.signature("invert.invert")["title"] == "Turn every colour into its opposite."
    assert [signature["name"] for signature in registry.signatures()] == ["invert.invert"]
    assert json.loads(json.dumps(plugin.to_dict()))["signatures"] == ["invert.invert"]


def test_a_file_says_what_it_needs(home: Path, folder: Path) -> None:
    block = '# /// script\n# requires-python = ">=3.10"\n# dependencies = [\n#   "numpy<2",  # old\n# ]\n# ///'
    write(folder / "invert.py", block + textwrap.dedent(INVERT))
    assert refreshed(home).plugin("invert").environment == EnvironmentSpec(("numpy<2",), None, ">=3.10")


def test_a_folder_is_a_plugin(home: Path, folder: Path) -> None:
    source = write_folder(folder / "paint", "paint", named("paint"), lock="markupsafe==2.1.5\n")
    plugin = refreshed(home).plugin("paint")
    assert plugin.error is None
    assert (plugin.source, plugin.target) == (source, "my_paint.plugin:it")
    assert plugin.version.startswith("1.2.0+")
    assert plugin.environment == EnvironmentSpec(("markupsafe==2.1.5",), source / "requirements.lock", ">=3.11")


def test_other_files_are_no_plugins(home: Path, folder: Path) -> None:
    write(folder / "notes.py", "print('nothing to announce')")
    write(folder / "_draft.py", INVERT)
    write(folder / ".hidden.py", INVERT)
    write(folder / "readme.txt", "Plugin('no')")
    write(folder / "library" / "pyproject.toml", '[project]\nname = "library"\n')
    write(folder / "empty" / "thing.py", INVERT)
    assert refreshed(home, folder, home / "no such folder").plugins == {}


def test_a_persons_plugin_wins_over_a_bundled_one(
    home: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = tmp_path / "bundled"
    monkeypatch.setattr(plugin_registry, "bundled_folder", lambda: bundled)
    own = write(folder / "invert.py", INVERT)
    write(bundled / "invert.py", INVERT)
    other = write(bundled / "other.py", named("other"))
    registry = refreshed(home, folder, bundled)
    assert registry.plugin("invert").source == own
    assert (registry.plugin("other").source, registry.plugin("other").to_dict()["bundled"]) == (other, True)
    own.unlink()
    asyncio.run(registry.refresh())
    assert registry.plugin("invert").source == bundled / "invert.py"
    assert registry.signature("invert.invert")


def test_a_broken_plugin_breaks_no_other(home: Path, folder: Path) -> None:
    write(folder / "invert.py", INVERT)
    write(folder / "raises.py", named("raises", "1 / 0"))
    write(folder / "exits.py", named("exits", "import sys; sys.exit(0)"))
    write(
        folder / "dies.py",
        named("dies", "import os, sys; print('last words', file=sys.stderr, flush=True); os._exit(3)"),
    )
    write(folder / "misnamed.py", named("misnamed", after="plugin.name = 'somebody_else'"))
    write(folder / "shouts.py", named("SHOUTS"))
    write(folder / "garbled.py", "Plugin('\0").write_bytes(b"Plugin('\xff\xfe')")
    write(folder / "wrong_toml" / "pyproject.toml", "[project\n")
    write(folder / "wrong_type" / "pyproject.toml", "project = 3\n")
    write(
        folder / "no_attribute" / "pyproject.toml", '[project.entry-points."stable_core.plugins"]\nlost = "os:lost"\n'
    )
    registry = refreshed(home)
    assert registry.plugin("invert").error is None
    broken = {name: plugin.error for name, plugin in registry.plugins.items() if name != "invert"}
    assert broken.keys() == {
        *("raises", "exits", "dies", "misnamed", "SHOUTS", "garbled", "wrong_toml", "wrong_type", "lost")
    }
    for name, error in broken.items():
        assert isinstance(error, BadAnnouncement), name
        with pytest.raises(PluginError):
            registry.signature(f"{name}.anything")
    assert "ZeroDivisionError" in broken["raises"].traceback  # type: ignore[union-attr]
    assert "last words" in broken["dies"].traceback  # type: ignore[union-attr]
    assert "somebody_else" in broken["misnamed"].message  # type: ignore[union-attr]
    assert [signature["name"] for signature in registry.signatures()] == ["invert.invert"]


def test_a_plugin_that_hangs_is_given_up(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_registry, "ANNOUNCE_SECONDS", 1)
    write(folder / "hangs.py", named("hangs", "import time; time.sleep(60)"))
    error = refreshed(home).plugin("hangs").error
    assert isinstance(error, BadAnnouncement)
    assert "within 1 s" in error.message


def test_what_a_plugin_prints_is_no_announcement(home: Path, folder: Path) -> None:
    write(folder / "talks.py", named("talks", "import os\nprint('hello')\nos.write(1, b'{}\\n')"))
    assert refreshed(home).plugin("talks").error is None


def test_a_plugin_that_imports_its_packages_at_once_is_asked_in_its_environment(home: Path, folder: Path) -> None:
    needs = '# /// script\n# dependencies = ["pyasn1==0.6.1"]\n# ///\nimport pyasn1\n'
    write(folder / "needy.py", named("needy", needs))
    registry = refreshed(home)
    assert registry.plugin("needy").error is None
    assert registry.environments.python_of(registry.plugin("needy").environment) is not None


def test_who_waits_for_a_plugin_waits_for_its_environment_too(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_registry, "PATIENCE_SECONDS", 0)  # as on a slow machine
    write(folder / "needy.py", named("needy", '# /// script\n# dependencies = ["pyasn1==0.6.1"]\n# ///\nimport pyasn1'))
    assert refreshed(home).plugin("needy").announcement


def test_a_failed_environment_is_the_plugins_error(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = '# /// script\n# dependencies = ["pyasn1==0.6.1"]\n# ///\nimport pyasn1\n'
    write(folder / "needy.py", named("needy", needs))
    write(folder / "invert.py", INVERT)
    with monkeypatch.context() as patch:
        patch.setenv("UV_OFFLINE", "1")
        patch.setenv("UV_CACHE_DIR", str(home / "empty-cache"))
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        registry = refreshed(home)
    assert isinstance(registry.plugin("needy").error, EnvironmentFailed)
    assert registry.plugin("invert").error is None
    assert refreshed(home).plugin("needy").error is None  # as after a restart, online again


def test_nothing_is_started_when_nothing_changed(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "invert.py", INVERT)
    write_folder(folder / "paint", "paint", named("paint"))
    registry = refreshed(home)
    version = registry.plugin("paint").version
    with no_worker_starts(monkeypatch):
        assert asyncio.run(registry.refresh()) is False
        again = refreshed(home)  # as after a restart
    assert again.signature("invert.invert") == registry.signature("invert.invert")
    assert again.plugin("paint").version == version


def test_a_spoilt_cache_is_only_slower(home: Path, folder: Path) -> None:
    write(folder / "invert.py", INVERT)
    refreshed(home)
    (home / "cache" / "announcements.json").write_text("[not json")
    assert refreshed(home).plugin("invert").error is None


def test_looking_at_many_files_holds_up_nobody(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others_went_on = threading.Event()
    look = plugin_registry._sources

    def look_slowly(at: Path) -> Iterator[Any]:
        assert others_went_on.wait(5)
        yield from look(at)

    async def run() -> None:
        monkeypatch.setattr(plugin_registry, "_sources", look_slowly)
        refresh = asyncio.create_task(PluginRegistry([folder], home, Environments(home)).refresh())
        await asyncio.sleep(0)
        others_went_on.set()
        await refresh

    asyncio.run(run())


def test_plugins_come_change_and_go(home: Path, folder: Path) -> None:
    async def run() -> None:
        registry = PluginRegistry([folder], home, Environments(home))
        assert await registry.refresh() is False
        paint = write_folder(folder / "paint", "paint", named("paint"))
        assert await registry.refresh() is True
        first = registry.plugin("paint").version
        write(paint / "my_paint" / "plugin.py", named("paint", after="# changed").replace("plugin = ", "it = "))
        assert await registry.refresh() is True
        second = registry.plugin("paint").version
        write(paint / "requirements.lock", "markupsafe==2.1.5\n")
        assert await registry.refresh() is True
        third = registry.plugin("paint").version
        write(paint / "tests" / "test_paint.py", "")
        write(paint / "__pycache__" / "junk.pyc", "")
        assert await registry.refresh() is False
        assert len({first, second, third}) == 3
        write(folder / "invert.py", INVERT)
        assert await registry.refresh() is True
        assert list(registry.plugins) == ["invert", "paint"]
        (folder / "invert.py").unlink()
        assert await registry.refresh() is True
        assert registry.plugins.keys() == {"paint"}
        write(folder / "late.py", named("late", "1 / 0"))
        assert await registry.refresh(["late"]) is True
        assert registry.plugin("late").error is not None
        write(folder / "late.py", named("late"))
        assert await registry.refresh(["late"]) is True
        assert registry.plugin("late").error is None

    asyncio.run(run())


def test_a_version_says_the_same_everywhere(home: Path, folder: Path, tmp_path: Path) -> None:
    write_folder(folder / "paint", "paint", named("paint"))
    write(folder / "paint" / "models" / "big.safetensors", "x" * 100)
    here = refreshed(home).plugin("paint").version
    copy = tmp_path / "copy"
    write_folder(copy / "other_folder", "paint", named("paint"))
    write(copy / "other_folder" / "models" / "big.safetensors", "y" * 100)
    assert refreshed(home, copy).plugin("paint").version == here


def test_a_wrong_name_gets_a_hint(home: Path, folder: Path) -> None:
    write(folder / "invert.py", INVERT)
    registry = refreshed(home)
    with pytest.raises(NotFound) as caught:
        registry.signature("invert.inverse")
    assert "invert.invert" in caught.value.hint
    with pytest.raises(NotFound) as caught:
        registry.signature("zzz")
    assert "Known: invert.invert" in caught.value.hint
    with pytest.raises(NotFound) as caught:
        registry.plugin("inverrt")
    assert "invert" in caught.value.hint
    with pytest.raises(NotFound) as caught:
        refreshed(home, home / "nowhere").signature("invert.invert")
    assert "No plugin" in caught.value.hint


def test_an_environment_in_the_making_holds_up_nobody(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "invert.py", INVERT)
    write(folder / "slow.py", named("slow", "import sys\nif not sys.flags.verbose: import a_package_of_its_own"))

    async def run() -> None:
        go_on = asyncio.Event()

        class SlowEnvironments(Environments):
            async def ensure(self, spec: EnvironmentSpec, report: Any = None) -> Path:
                await go_on.wait()
                wrapper = write(home / "python", f'#!/bin/sh\nexec {sys.executable} -v "$@"\n')
                wrapper.chmod(0o755)
                return wrapper

        registry = PluginRegistry([folder], home, SlowEnvironments(home))
        await registry.refresh(["invert"])
        assert registry.signature("invert.invert")["name"] == "invert.invert"
        with pytest.raises(PluginError, match="still being set up"):
            registry.signature("slow.anything")
        waiting = asyncio.create_task(registry.refresh(["slow.anything"]))
        await registry.refresh(["invert.invert"])
        assert not waiting.done()
        go_on.set()
        await waiting
        assert registry.plugin("slow").announcement

        go_on.clear()
        write(folder / "slow.py", named("slow", "import another_package_of_its_own"))
        await registry.refresh()
        await registry.stop()
        assert not registry.plugin("slow").announcement

    asyncio.run(run())


@pytest.mark.parametrize("wrong", ["dependencies = 3", "dependencies = [", "[dependencies"])
def test_needs_that_make_no_sense(home: Path, folder: Path, wrong: str) -> None:
    write(folder / "odd.py", named("odd", f"# /// script\n# {wrong}\n# ///"))
    assert isinstance(refreshed(home).plugin("odd").error, BadAnnouncement)


def test_every_bundled_plugin_announces(home: Path) -> None:
    registry = refreshed(home, bundled_folder())
    assert registry.plugins
    assert {name: plugin.error for name, plugin in registry.plugins.items() if plugin.error} == {}
    assert all(plugin.to_dict()["bundled"] for plugin in registry.plugins.values())
