"""The plugin registry: finds plugins and keeps what they announce. It imports no plugin: a short-lived worker does."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import functools
import hashlib
import itertools
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stable_core.environments import Environments, EnvironmentSpec, worker_runtime
from stable_core.errors import BadAnnouncement, NotFound, PluginError, StableCoreError, TimedOut
from stable_core.hosts.local import LocalHost
from stable_core.params_schema import ParamsSchema, with_form
from stable_core.worker_process import WorkerProcess

ENTRY_POINTS = "stable_core.plugins"
LIGHT = " (light)"
"""Stands behind a plugin's name where its light jobs are meant."""
ANNOUNCE_SECONDS = 45
"""How long a plugin may take to announce: for slow machines, since one that is given up stays so until it changes."""
PATIENCE_SECONDS = 5
"""How long all others wait for a plugin to announce; after that it goes on in the background."""
SKIPPED_FOLDERS = {"__pycache__", "tests", "node_modules", "build", "dist"}
CODE_SUFFIXES = {".py", ".toml", ".lock", ".json", ".yaml", ".yml", ".txt"}

Stamp = tuple[str, int, int]  # the path, size and time of change of a file
Files = tuple[Stamp, ...]


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
    announcement: dict[str, Any] = field(default_factory=dict)
    """What its worker said of it; empty until then."""
    error: StableCoreError | None = None
    forms: dict[str, Any] = field(default_factory=dict)
    """How the user wants the knobs of jobs, by full name; see `params_schema.with_form`."""

    @functools.cached_property
    def signatures(self) -> dict[str, dict[str, Any]]:
        """What it announced, by full name."""
        signatures = {signature["name"]: signature for signature in self.announcement["signatures"]}
        for name in signatures.keys() & self.forms.keys():
            params = with_form(signatures[name]["params"], self.forms[name])
            signatures[name] = {**signatures[name], "params": params}
        return signatures

    @functools.cached_property
    def params_schemas(self) -> dict[str, ParamsSchema]:
        """What checks the params of each job, by full name."""
        return {name: ParamsSchema(signature["params"]) for name, signature in self.signatures.items()}

    @property
    def memory_mb(self) -> int:
        """What a loaded worker of the plugin needs on its device, in MiB."""
        return int(self.announcement.get("memory_mb", 0))

    def known_settings(self, saved: dict[str, Any]) -> dict[str, Any]:
        """Return those saved settings that the plugin still has."""
        known = self.announcement.get("settings", {}).get("properties", {})
        return {name: value for name, value in saved.items() if name in known}

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see of the plugin."""
        return {
            "name": self.name,
            "version": self.version,
            "bundled": self.source.parent == bundled_folder(),
            "source": str(self.source),
            "settings": self.announcement.get("settings"),
            "signatures": [signature["name"] for signature in self.announcement.get("signatures", [])],
            "error": self.error.to_dict() if self.error else None,
        }


class PluginRegistry:
    """All plugins found in some folders, the strongest folder first; a plugin that is broken never breaks another."""

    def __init__(
        self, folders: list[Path], home: Path, environments: Environments, forms: dict[str, Any] | None = None
    ) -> None:
        self.folders = folders
        self.forms = forms or {}
        self.home = home
        self.environments = environments
        self.plugins: dict[str, InstalledPlugin] = {}
        self._found: dict[tuple[Path, Files], list[InstalledPlugin]] = {}
        self._asked: dict[str, asyncio.Task[None]] = {}
        self.on_announced: Callable[[], None] = lambda: None
        """Called when a plugin has announced, or failed to."""
        self._cache = home / "cache" / "announcements.json"
        self._lock = asyncio.Lock()
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)

    async def refresh(self, wait_for: Iterable[str] = ()) -> bool:
        """Look for new, changed and removed plugins, let them announce, and tell whether anything changed.

        Costs a few file stamps when nothing did. Plugins announce side by side, each in its own short process. One
        whose import hangs, or needs packages of its own, goes on in the background, unless it is named in `wait_for`
        (`plugin` or `plugin.job`).
        """
        async with self._lock:
            sources = await asyncio.to_thread(lambda: [found for folder in self.folders for found in _sources(folder)])
            is_changed = sources != list(self._found)
            if is_changed:
                await self._refresh(sources)
        names = {name.partition(".")[0] for name in wait_for}
        while waiting := [task for name, task in self._asked.items() if name in names and not task.done()]:
            await asyncio.gather(*map(asyncio.shield, waiting))  # one that lacks packages then asks once more
        return is_changed

    async def stop(self) -> None:
        """End what is still announcing and the environments made for it."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def _refresh(self, sources: list[tuple[Path, Files]]) -> None:
        found = {source: self._found[source] if source in self._found else _read(*source) for source in sources}
        plugins = {plugin.name: plugin for here in reversed(found.values()) for plugin in here}
        known = self._load_cache()
        asked = {}
        for name, plugin in plugins.items():
            plugin.forms = self.forms
            plugin.announcement = plugin.announcement or known.get(self._cache_key(plugin), {})
            if not plugin.announcement and plugin.error is None and plugin is not self.plugins.get(name):
                asked[name] = asyncio.create_task(self._announce(plugin))
        self._asked |= asked
        if asked:
            await asyncio.wait(asked.values(), timeout=PATIENCE_SECONDS)
        self._found, self.plugins = found, dict(sorted(plugins.items()))
        self._save_cache()

    def plugin(self, name: str) -> InstalledPlugin:
        """Return one plugin.

        Raises:
            NotFound: there is none of that name; the hint names near matches.
        """
        if name not in self.plugins:
            raise NotFound(f"There is no plugin {name!r}", _near(name, list(self.plugins)))
        return self.plugins[name]

    def line(self, name: str) -> InstalledPlugin | None:
        """Return what runs a line of jobs: a plugin or, with `LIGHT` behind its name, one like it without any needs."""
        plugin = self.plugins.get(name.removesuffix(LIGHT))
        return replace(plugin, name=name, announcement={}) if plugin and name.endswith(LIGHT) else plugin

    def signature(self, full_name: str) -> dict[str, Any]:
        """Return the announced signature of `plugin.job`.

        Raises:
            NotFound: no plugin announces it; the hint names near matches.
            PluginError: the plugin is there but broken, or still announcing.
        """
        plugin = self.plugins.get(full_name.partition(".")[0])
        if plugin is not None:
            if plugin.error is not None:
                raise plugin.error
            if not plugin.announcement:
                raise PluginError(f"The plugin {plugin.name!r} is still being set up", "Try again in a moment.")
            if full_name in plugin.signatures:
                return plugin.signatures[full_name]
        hint = _near(full_name, [each["name"] for each in self.signatures()])
        raise NotFound(f"Nothing announces {full_name!r}", hint)

    def params_schema(self, full_name: str) -> ParamsSchema:
        """Return what checks and completes the params of `plugin.job`.

        Raises:
            NotFound, PluginError: as signature.
        """
        self.signature(full_name)
        return self.plugins[full_name.partition(".")[0]].params_schemas[full_name]

    def model_roots(self, configured: list[Path]) -> list[Path]:
        """Return every models folder, the strongest first: those configured, then those that plugins bring."""
        brought = [(plugin.source, plugin.announcement.get("models")) for plugin in self.plugins.values()]
        return [*configured, *(source / models for source, models in brought if models)]

    def signatures(self) -> list[dict[str, Any]]:
        """Return every announced signature, by name."""
        announced = [plugin.signatures.values() for plugin in self.plugins.values() if plugin.announcement]
        return sorted(itertools.chain(*announced), key=lambda signature: str(signature["name"]))

    async def _announce(self, plugin: InstalledPlugin, at_home: bool = False) -> None:
        """Ask a worker; if the plugin's import needs packages of its own, ask again in its environment, meanwhile."""
        try:
            python = await self.environments.ensure(plugin.environment) if at_home else Path(sys.executable)
            async with self._slots:
                plugin.announcement = await _run_announce(python, plugin, self.home)
            if self.plugins.get(plugin.name) is plugin:  # it is late
                self._save_cache()
        except StableCoreError as error:
            if not at_home and re.search(r"(?m)^(ModuleNotFound|Import)Error\b", error.traceback):
                self._asked[plugin.name] = asyncio.create_task(self._announce(plugin, at_home=True))
            else:
                plugin.error = error
        finally:
            self.on_announced()

    def is_late(self, name: str) -> bool:
        """Tell whether a plugin is still announcing, or was when all this was stopped."""
        asked = self._asked.get(name)
        return asked is not None and (not asked.done() or asked.cancelled())

    def _cache_key(self, plugin: InstalledPlugin) -> str:
        return f"{plugin.name} {plugin.version} {worker_runtime(self.home).name}"

    def _load_cache(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(self._cache.read_text("utf-8")))
        return {}

    def _save_cache(self) -> None:
        announced = [plugin for plugin in self.plugins.values() if plugin.announcement]
        with contextlib.suppress(OSError):  # only a cache
            self._cache.write_text(json.dumps({self._cache_key(plugin): plugin.announcement for plugin in announced}))


def bundled_folder() -> Path:
    """Return the folder of the plugins that come with stable-core, in a wheel or in a checkout."""
    package = Path(__file__).parent
    installed = package / "bundled_plugins"
    return installed if installed.is_dir() else package.parent.parent / "plugins"


def _sources(folder: Path) -> Iterator[tuple[Path, Files]]:
    """Yield each possible plugin right below `folder` with the stamps of its files."""
    for path in sorted(folder.glob("[!._]*")):
        if (path.suffix == ".py" and path.is_file()) or (path / "pyproject.toml").is_file():
            yield path, tuple(sorted(stamps(path, SKIPPED_FOLDERS)))


def stamps(path: Path | os.DirEntry[str], skipped: Collection[str] = (), levels: int = 8) -> Iterator[Stamp]:
    """Yield the stamp of a file, or those in a folder but hidden ones; it follows links, so its depth has a limit."""
    with contextlib.suppress(OSError):  # it is not there, or goes away meanwhile
        if not path.is_dir():
            yield os.fspath(path), (stat := path.stat()).st_size, stat.st_mtime_ns
        elif levels:
            for entry in os.scandir(path):
                if not entry.name.startswith(".") and entry.name not in skipped:
                    yield from stamps(entry, skipped, levels - 1)


def _read(source: Path, files: Files) -> list[InstalledPlugin]:
    """Return the plugins that a folder or file declares; one that cannot be read is returned with its error."""
    try:
        project, targets = _read_folder(source) if source.is_dir() else _read_file(source)
        version = f"{project.get('version', '0')}+{_hash_files(source, files)}"
        lock = source / "requirements.lock"
        environment = EnvironmentSpec(
            tuple(map(str, project.get("dependencies", []))),
            lock if lock.is_file() else None,
            str(project.get("requires-python", "")),
        )
        return [InstalledPlugin(name, source, str(target), version, environment) for name, target in targets.items()]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = BadAnnouncement(f"{source.name} cannot be read: {error}", "Mend or remove it.")
        return [InstalledPlugin(source.stem, source, "", "0", EnvironmentSpec(), error=reason)]


def _read_folder(source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the project table and the entry points of a folder's pyproject.toml."""
    project = tomllib.loads((source / "pyproject.toml").read_text("utf-8")).get("project", {})
    return project, project.get("entry-points", {}).get(ENTRY_POINTS, {})


def _read_file(source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the `# /// script` block of a file, which has a project's keys, and the plugin that its code names.

    Source: https://peps.python.org/pep-0723/
    """
    text = source.read_text("utf-8")
    found = re.search(r"""\bPlugin\(\s*(?:name\s*=\s*)?["']([^"']*)["']""", text)
    if found is None:
        return {}, {}
    block = re.search(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$", text)
    toml = re.sub(r"(?m)^# ?", "", block["content"]) if block else ""
    return tomllib.loads(toml), {found[1]: ""}


def _hash_files(source: Path, files: Files) -> str:
    """Hash code and declarations by content, big files such as models by name and size."""
    known = hashlib.sha256()
    for path, size, _ in files:
        content = Path(path).read_bytes() if Path(path).suffix in CODE_SUFFIXES else str(size).encode()
        known.update(f"{os.path.relpath(path, source)}\0{len(content)}\0".encode() + content)
    return known.hexdigest()[:12]


async def _run_announce(python: Path, plugin: InstalledPlugin, home: Path) -> dict[str, Any]:
    """Start a worker, take its announcement and end it.

    Raises:
        BadAnnouncement: it said nothing in ANNOUNCE_SECONDS, or something else than its declaration.
    """
    worker = WorkerProcess(plugin.name, plugin.version, "cpu", home / "logs", lambda _: None)
    try:
        announced = await worker.start(LocalHost(home), python, plugin.source, plugin.target, {}, ANNOUNCE_SECONDS)
    except TimedOut:
        hint = "Heavy imports belong inside the job functions."
        raise BadAnnouncement(f"{plugin.name} did not announce within {ANNOUNCE_SECONDS} s", hint) from None
    await worker.stop(grace_seconds=0)
    if announced["name"] != plugin.name:
        names = f"{plugin.name!r} by its declaration and {announced['name']!r} by its code"
        raise BadAnnouncement(f"{plugin.source.name} is {names}", "Give it one name.")
    return announced


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(sorted(known)[:20])}." if known else "No plugin is installed."
