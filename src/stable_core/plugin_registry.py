"""The plugin registry: finds plugins and keeps what they announce. It imports no plugin: a short-lived worker does."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_core.environments import Environments, EnvironmentSpec, Report, worker_environment, worker_runtime
from stable_core.errors import (
    BadAnnouncement,
    NotFound,
    PluginError,
    ProtocolMismatch,
    StableCoreError,
    error_from_dict,
)
from stable_core.protocol import VERSION

ENTRY_POINTS = "stable_core.plugins"
ANNOUNCE_SECONDS = 20
SKIPPED_FOLDERS = {"__pycache__", "tests", "node_modules", "build", "dist"}
CODE_SUFFIXES = {".py", ".toml", ".lock", ".json", ".yaml", ".yml", ".txt"}

Stamp = tuple[tuple[str, int, int], ...]


@dataclass
class InstalledPlugin:
    """A plugin that was found: where it is, its version and environment, and what it announced or why it could not."""

    name: str
    source: Path
    """The folder with pyproject.toml, or the single file."""
    target: str
    """`module:attribute` below the folder; empty for a single file."""
    version: str
    """`1.2.0+<hash>`; the hash changes with the code, so results can be cached by it."""
    environment: EnvironmentSpec
    announcement: dict[str, Any] | None = None
    error: StableCoreError | None = None

    @property
    def is_bundled(self) -> bool:
        """Tell whether the plugin came with stable-core."""
        return self.source.parent == bundled_folder()

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see of the plugin."""
        return {
            "name": self.name,
            "version": self.version,
            "bundled": self.is_bundled,
            "source": str(self.source),
            "settings": self.announcement["settings"] if self.announcement else None,
            "signatures": [signature["name"] for signature in self.announcement["signatures"]]
            if self.announcement
            else [],
            "error": self.error.to_dict() if self.error else None,
        }


class PluginRegistry:
    """All plugins found in some folders, the strongest folder first; a plugin that is broken never breaks another."""

    def __init__(self, folders: list[Path], home: Path, environments: Environments) -> None:
        self.folders = folders
        self.home = home
        self.environments = environments
        self.plugins: dict[str, InstalledPlugin] = {}
        self._stamps: dict[Path, Stamp] = {}
        self._found: dict[Path, list[InstalledPlugin]] = {}
        self._cache = home / "cache" / "announcements.json"
        self._lock = asyncio.Lock()

    async def refresh(self, report: Report = lambda line: None) -> bool:
        """Look for new, changed and removed plugins, let them announce, and tell whether anything changed.

        Costs a few file stamps when nothing did. A changed plugin is listed at once and announces in its own process,
        all of them side by side; `report` gets lines about environments that must be made for that.
        """
        async with self._lock:
            stamps = {source: stamp for folder in self.folders for source, stamp in _sources(folder)}
            if stamps == self._stamps:
                return False
            changed = [source for source, stamp in stamps.items() if self._stamps.get(source) != stamp]
            found = {source: self._found[source] for source in stamps if source not in changed}
            found |= {source: list(_read(source, stamps[source])) for source in changed}
            self._found, self._stamps = {source: found[source] for source in stamps}, stamps
            self.plugins = {}
            for plugin in (plugin for plugins in self._found.values() for plugin in plugins):
                self.plugins.setdefault(plugin.name, plugin)
            await self._announce_all([plugin for source in changed for plugin in found[source]], report)
            return True

    async def retry(self, name: str, report: Report = lambda line: None) -> InstalledPlugin:
        """Let a plugin announce again that could not, for example because the machine was offline."""
        plugin = self.plugin(name)
        if plugin.error is not None:
            plugin.error = None
            await self._announce_all([plugin], report)
        return plugin

    def plugin(self, name: str) -> InstalledPlugin:
        """Return one plugin.

        Raises:
            NotFound: there is none of that name; the hint names near matches.
        """
        if name not in self.plugins:
            raise NotFound(f"There is no plugin {name!r}", _near(name, list(self.plugins)))
        return self.plugins[name]

    def signature(self, full_name: str) -> dict[str, Any]:
        """Return the announced signature of `plugin.job`.

        Raises:
            NotFound: no plugin announces it; the hint names near matches.
            PluginError: the plugin is there but broken, or still announcing.
        """
        plugin = self.plugins.get(full_name.partition(".")[0])
        if plugin is not None and plugin.error is not None:
            raise plugin.error
        if plugin is not None and plugin.announcement is None:
            raise PluginError(f"The plugin {plugin.name!r} is still being set up", "Try again in a moment.")
        for signature in plugin.announcement["signatures"] if plugin and plugin.announcement else []:
            if signature["name"] == full_name:
                return dict(signature)
        raise NotFound(
            f"Nothing announces {full_name!r}", _near(full_name, [each["name"] for each in self.signatures()])
        )

    def signatures(self) -> list[dict[str, Any]]:
        """Return every announced signature, by name."""
        announced = [plugin.announcement for plugin in self.plugins.values() if plugin.announcement]
        return sorted((each for one in announced for each in one["signatures"]), key=lambda each: str(each["name"]))

    async def _announce_all(self, plugins: list[InstalledPlugin], report: Report) -> None:
        known = self._load_cache()
        runtime = worker_runtime(self.home)
        slots = asyncio.Semaphore(os.cpu_count() or 1)

        async def announce(plugin: InstalledPlugin) -> None:
            try:
                plugin.announcement = known.get(_cache_key(plugin, runtime)) or await self._announce(
                    plugin, slots, report
                )
            except StableCoreError as error:
                plugin.error = error

        async with asyncio.TaskGroup() as group:
            for plugin in plugins:
                if plugin.error is None:
                    group.create_task(announce(plugin))
        listed = [plugin for plugins in self._found.values() for plugin in plugins]
        self._save_cache({_cache_key(each, runtime): each.announcement for each in listed if each.announcement}, known)

    async def _announce(self, plugin: InstalledPlugin, slots: asyncio.Semaphore, report: Report) -> dict[str, Any]:
        """Ask with this interpreter, or in the plugin's environment if its import needs packages of its own."""
        async with slots:
            hello = await _run_announce(Path(sys.executable), plugin, self.home)
        if hello.get("error", {}).get("is_import_error"):
            python = await self.environments.ensure(plugin.environment, lambda line: report(f"{plugin.name}: {line}"))
            async with slots:
                hello = await _run_announce(python, plugin, self.home)
        if "error" in hello:
            raise error_from_dict(hello["error"])
        announcement: dict[str, Any] = hello["plugin"]
        if announcement["name"] != plugin.name:
            where = "its pyproject.toml" if plugin.target else "its file"
            raise BadAnnouncement(
                f"{plugin.source.name} is {plugin.name!r} in {where} and {announcement['name']!r} in its code"
            )
        return announcement

    def _load_cache(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._cache.read_text("utf-8"))
            return known if isinstance(known, dict) else {}
        return {}

    def _save_cache(self, known: dict[str, Any], before: dict[str, Any]) -> None:
        if known == before:
            return
        with contextlib.suppress(OSError):  # only a cache
            with tempfile.NamedTemporaryFile("w", dir=self._cache.parent, delete=False, encoding="utf-8") as file:
                json.dump(known, file)
            Path(file.name).replace(self._cache)


def bundled_folder() -> Path:
    """Return the folder of the plugins that come with stable-core, in a wheel or in a checkout."""
    package = Path(__file__).parent
    installed = package / "bundled_plugins"
    return installed if installed.is_dir() else package.parent.parent / "plugins"


def _sources(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    """Yield each possible plugin right below `folder` with a stamp that changes when any of its files does."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.suffix == ".py" and path.is_file():
            stat = path.stat()
            yield path, (("", stat.st_mtime_ns, stat.st_size),)
        elif (path / "pyproject.toml").is_file():
            yield path, tuple(sorted(_stamps(path, "")))


def _stamps(folder: Path, prefix: str) -> Iterator[tuple[str, int, int]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS:
                continue
            if entry.is_dir():
                yield from _stamps(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file():
                stat = entry.stat()
                yield f"{prefix}{entry.name}", stat.st_mtime_ns, stat.st_size


def _read(source: Path, stamp: Stamp) -> Iterator[InstalledPlugin]:
    """Yield the plugins that a folder or file declares; one that cannot be read is yielded with its error."""
    try:
        yield from _read_folder(source, stamp) if source.is_dir() else _read_file(source)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        plugin = InstalledPlugin(source.stem, source, "", "0", EnvironmentSpec())
        plugin.error = BadAnnouncement(f"{source.name} cannot be read: {error}", "Mend or remove it.")
        yield plugin


def _read_folder(source: Path, stamp: Stamp) -> Iterator[InstalledPlugin]:
    project = tomllib.loads((source / "pyproject.toml").read_text("utf-8")).get("project", {})
    lock = source / "requirements.lock"
    spec = EnvironmentSpec(
        tuple(map(str, project.get("dependencies", []))),
        lock if lock.is_file() else None,
        str(project.get("requires-python", "")),
    )
    version = f"{project.get('version', '0')}+{_hash_folder(source, stamp)}"
    for name, target in project.get("entry-points", {}).get(ENTRY_POINTS, {}).items():
        yield InstalledPlugin(name, source, str(target), version, spec)


def _hash_folder(source: Path, stamp: Stamp) -> str:
    """Hash code and declarations by content, big files such as models by name and size."""
    known = hashlib.sha256()
    for name, _, size in stamp:
        content = (source / name).read_bytes() if Path(name).suffix in CODE_SUFFIXES else str(size).encode()
        known.update(f"{name}\0{len(content)}\0".encode() + content)
    return known.hexdigest()[:12]


def _read_file(source: Path) -> Iterator[InstalledPlugin]:
    content = source.read_bytes()
    text = content.decode("utf-8")
    found = re.search(r"""\bPlugin\(\s*(?:name\s*=\s*)?["']([^"']*)["']""", text)
    if found is not None:
        script = _inline_metadata(text)
        spec = EnvironmentSpec(
            tuple(map(str, script.get("dependencies", []))), None, str(script.get("requires-python", ""))
        )
        version = f"0+{hashlib.sha256(content).hexdigest()[:12]}"
        yield InstalledPlugin(found[1], source, "", version, spec)


def _inline_metadata(text: str) -> dict[str, Any]:
    """Return the `# /// script` block of a file. Source: https://peps.python.org/pep-0723/"""
    block = re.search(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$", text)
    lines = block["content"].splitlines() if block else []
    return tomllib.loads("\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))


async def _run_announce(python: Path, plugin: InstalledPlugin, home: Path) -> dict[str, Any]:
    """Start a worker that says hello and ends; return the hello message.

    Raises:
        BadAnnouncement: it said nothing, or took longer than ANNOUNCE_SECONDS.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "stable_core.worker", "--announce", str(plugin.source), plugin.target),
        env=worker_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(ANNOUNCE_SECONDS):
            said, log = await process.communicate()
    except TimeoutError:
        hint = "Heavy imports belong inside the job functions."
        raise BadAnnouncement(f"{plugin.name} did not announce within {ANNOUNCE_SECONDS} s", hint) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    tail = "\n".join(log.decode(errors="replace").splitlines()[-30:])
    try:
        hello = json.loads(said.splitlines()[0])
        if hello["type"] != "hello" or not ({"plugin", "error"} & hello.keys()):
            raise ValueError
    except (IndexError, ValueError, KeyError, TypeError):
        message = f"{plugin.name} ended with exit code {process.returncode} before it announced anything"
        raise BadAnnouncement(message, "The end of its output says why.", tail) from None
    if "plugin" in hello and hello.get("version") != VERSION:
        raise ProtocolMismatch(f"{plugin.name} speaks protocol {hello.get('version')}, not {VERSION}")
    return dict(hello)


def _cache_key(plugin: InstalledPlugin, runtime: Path) -> str:
    return f"{plugin.name} {plugin.version} {runtime.name}"


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(sorted(known)[:20])}." if known else "No plugin is installed."
