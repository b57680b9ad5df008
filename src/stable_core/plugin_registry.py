"""The plugin registry: finds plugins and keeps what they announce. It imports no plugin: a short-lived worker does."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stable_core.environments import Environments, EnvironmentSpec, worker_environment, worker_runtime
from stable_core.errors import BadAnnouncement, NotFound, PluginError, StableCoreError, error_from_dict
from stable_core.params_schema import ParamsSchema
from stable_core.protocol import MAX_MESSAGE_BYTES, VERSION, MessageDecoder

ENTRY_POINTS = "stable_core.plugins"
ANNOUNCE_SECONDS = 20
LOG_BYTES = 2**14
PATIENCE_SECONDS = 5
"""How long all others wait for a plugin to announce; after that it goes on in the background."""
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
    params_schemas: dict[str, ParamsSchema] = field(default_factory=dict)
    """By full name of a job, made when first asked for."""

    @property
    def memory_mb(self) -> int:
        """What a loaded worker of the plugin needs on its device, in MiB."""
        return int((self.announcement or {}).get("memory_mb", 0))

    def known_settings(self, saved: dict[str, Any]) -> dict[str, Any]:
        """Return those saved settings that the plugin still has."""
        known = (self.announcement or {}).get("settings", {}).get("properties", {})
        return {name: value for name, value in saved.items() if name in known}

    @property
    def is_bundled(self) -> bool:
        """Tell whether the plugin came with stable-core."""
        return self.source.parent == bundled_folder()

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see of the plugin."""
        announced = self.announcement or {"signatures": [], "settings": None}
        return {
            "name": self.name,
            "version": self.version,
            "bundled": self.is_bundled,
            "source": str(self.source),
            "settings": announced["settings"],
            "signatures": [signature["name"] for signature in announced["signatures"]],
            "error": self.error.to_dict() if self.error else None,
        }


class PluginRegistry:
    """All plugins found in some folders, the strongest folder first; a plugin that is broken never breaks another."""

    def __init__(self, folders: list[Path], home: Path, environments: Environments) -> None:
        self.folders = folders
        self.home = home
        self.environments = environments
        self.plugins: dict[str, InstalledPlugin] = {}
        self._found: dict[tuple[Path, Stamp], list[InstalledPlugin]] = {}
        self._slow: dict[str, asyncio.Task[None]] = {}
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
            sources = [source for folder in self.folders for source in _sources(folder)]
            is_changed = sources != list(self._found)
            if is_changed:
                await self._refresh(sources)
        names = {name.partition(".")[0] for name in wait_for}
        await asyncio.gather(*(asyncio.shield(task) for name, task in self._slow.items() if name in names))
        return is_changed

    async def stop(self) -> None:
        """End what is still announcing and the environments made for it."""
        for task in self._slow.values():
            task.cancel()
        await asyncio.gather(*self._slow.values(), return_exceptions=True)

    async def _refresh(self, sources: list[tuple[Path, Stamp]]) -> None:
        found = {source: self._found[source] if source in self._found else _read(*source) for source in sources}
        plugins = {plugin.name: plugin for here in reversed(found.values()) for plugin in here}
        known = self._load_cache()
        asked = {}
        for name, plugin in plugins.items():
            plugin.announcement = plugin.announcement or known.get(self._cache_key(plugin))
            if plugin.announcement is None and plugin.error is None and plugin is not self.plugins.get(name):
                asked[name] = asyncio.create_task(self._announce(plugin))
        if asked:
            in_time, _ = await asyncio.wait(asked.values(), timeout=PATIENCE_SECONDS)
            self._slow |= {name: task for name, task in asked.items() if task not in in_time}
        self._found, self.plugins = found, plugins
        self._save_cache()

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
        if plugin is not None:
            if plugin.error is not None:
                raise plugin.error
            if plugin.announcement is None:
                raise PluginError(f"The plugin {plugin.name!r} is still being set up", "Try again in a moment.")
            for signature in plugin.announcement["signatures"]:
                if signature["name"] == full_name:
                    return dict(signature)
        hint = _near(full_name, [each["name"] for each in self.signatures()])
        raise NotFound(f"Nothing announces {full_name!r}", hint)

    def params_schema(self, full_name: str) -> ParamsSchema:
        """Return what checks and completes the params of `plugin.job`.

        Raises:
            NotFound, PluginError: as signature.
        """
        signature = self.signature(full_name)
        schemas = self.plugins[full_name.partition(".")[0]].params_schemas
        if full_name not in schemas:
            schemas[full_name] = ParamsSchema(signature["params"])
        return schemas[full_name]

    def model_roots(self, configured: list[Path]) -> list[Path]:
        """Return every models folder, the strongest first: those configured, then those that plugins bring."""
        announced = [(plugin.source, plugin.announcement) for plugin in self.plugins.values() if plugin.announcement]
        return [*configured, *(source / each["models"] for source, each in announced if each.get("models"))]

    def signatures(self) -> list[dict[str, Any]]:
        """Return every announced signature, by name."""
        announced = [plugin.announcement["signatures"] for plugin in self.plugins.values() if plugin.announcement]
        return sorted(itertools.chain.from_iterable(announced), key=lambda each: str(each["name"]))

    async def _announce(self, plugin: InstalledPlugin) -> None:
        """Ask with this interpreter, or in the plugin's environment if its import needs packages of its own."""
        try:
            async with self._slots:
                hello = await _run_announce(Path(sys.executable), plugin, self.home)
            if hello.get("error", {}).get("is_import_error"):
                self._slow[plugin.name] = asyncio.create_task(self._announce_slowly(plugin))
            else:
                _note(plugin, hello)
                if self.plugins.get(plugin.name) is plugin:  # it is late
                    self._save_cache()
        except StableCoreError as error:
            plugin.error = error

    async def _announce_slowly(self, plugin: InstalledPlugin) -> None:
        try:
            python = await self.environments.ensure(plugin.environment)
            _note(plugin, await _run_announce(python, plugin, self.home))
            self._save_cache()
        except StableCoreError as error:
            plugin.error = error

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


def _sources(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    """Yield each possible plugin right below `folder` with a stamp that changes when any of its files does."""
    for path in sorted(folder.glob("[!._]*")):
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


def _read(source: Path, stamp: Stamp) -> list[InstalledPlugin]:
    """Return the plugins that a folder or file declares; one that cannot be read is returned with its error."""
    try:
        project, targets = _read_folder(source) if source.is_dir() else _read_file(source)
        version = f"{project.get('version', '0')}+{_hash_files(source, stamp)}"
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


def _hash_files(source: Path, stamp: Stamp) -> str:
    """Hash code and declarations by content, big files such as models by name and size."""
    known = hashlib.sha256()
    for name, _, size in stamp:
        path = source / name
        content = path.read_bytes() if path.suffix in CODE_SUFFIXES else str(size).encode()
        known.update(f"{name}\0{len(content)}\0".encode() + content)
    return known.hexdigest()[:12]


def _note(plugin: InstalledPlugin, hello: dict[str, Any]) -> None:
    if "error" in hello:
        raise error_from_dict(hello["error"])
    if hello["plugin"]["name"] != plugin.name:
        names = f"{plugin.name!r} by its declaration and {hello['plugin']['name']!r} by its code"
        raise BadAnnouncement(f"{plugin.source.name} is {names}", "Give it one name.")
    plugin.announcement = hello["plugin"]


async def _run_announce(python: Path, plugin: InstalledPlugin, home: Path) -> dict[str, Any]:
    """Start a worker that says hello and ends; return the hello message.

    Raises:
        BadAnnouncement: it said nothing, or took longer than ANNOUNCE_SECONDS.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *(python, "-m", "stable_core.worker", "--announce", plugin.source, plugin.target),
            env=worker_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise BadAnnouncement(f"{plugin.name} could not be asked: {error}") from None
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(ANNOUNCE_SECONDS):
            streams = _end_of(process.stdout, MAX_MESSAGE_BYTES), _end_of(process.stderr, LOG_BYTES)
            said, log = await asyncio.gather(*streams)
            await process.wait()
    except TimeoutError:
        hint = "Heavy imports belong inside the job functions."
        raise BadAnnouncement(f"{plugin.name} did not announce within {ANNOUNCE_SECONDS} s", hint) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    with contextlib.suppress(StableCoreError, ValueError):
        (hello,) = MessageDecoder().feed(said)
        if hello.get("version") == VERSION and hello.keys() & {"plugin", "error"}:
            return hello
    message = f"{plugin.name} ended with exit code {process.returncode} and without an announcement"
    tail = log.decode(errors="replace").splitlines()[-30:]
    raise BadAnnouncement(message, "The end of its output says why.", "\n".join(tail))


async def _end_of(stream: asyncio.StreamReader, limit: int) -> bytes:
    """Read to the end and return the last bytes: what a plugin prints at its import must not fill the memory."""
    end = b""
    while piece := await stream.read(2**16):
        end = (end + piece)[-limit:]
    return end


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(sorted(known)[:20])}." if known else "No plugin is installed."
