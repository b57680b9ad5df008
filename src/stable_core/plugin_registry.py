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
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_core.environments import Environments, EnvironmentSpec, Report, worker_environment, worker_runtime
from stable_core.errors import BadAnnouncement, NotFound, PluginError, StableCoreError, error_from_dict
from stable_core.protocol import VERSION, MessageDecoder

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
        self._stamps: dict[Path, Stamp] = {}
        self._found: dict[Path, list[InstalledPlugin]] = {}
        self._slow: dict[str, asyncio.Task[None]] = {}
        self._cache = home / "cache" / "announcements.json"
        self._lock = asyncio.Lock()
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)

    async def refresh(self, wait_for: Iterable[str] = (), report: Report = lambda line: None) -> bool:
        """Look for new, changed and removed plugins, let them announce, and tell whether anything changed.

        Costs a few file stamps when nothing did. Plugins announce side by side, each in its own short process. One
        whose import needs packages of its own goes on in the background while its environment is made, unless it is
        named in `wait_for` (`plugin` or `plugin.job`). `report` gets lines about these environments.
        """
        async with self._lock:
            stamps = {source: stamp for folder in self.folders for source, stamp in _sources(folder)}
            is_changed = stamps != self._stamps
            if is_changed:
                await self._refresh(stamps, report)
        names = {name.partition(".")[0] for name in wait_for}
        await asyncio.gather(*(asyncio.shield(task) for name, task in self._slow.items() if name in names))
        return is_changed

    async def stop(self) -> None:
        """End what is still announcing and the environments made for it."""
        for task in (slow := list(self._slow.values())):
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    async def _refresh(self, stamps: dict[Path, Stamp], report: Report) -> None:
        changed = {source for source, stamp in stamps.items() if self._stamps.get(source) != stamp}
        read = {source: list(_read(source, stamps[source])) for source in changed}
        found = {source: read[source] if source in changed else self._found[source] for source in stamps}
        known = self._load_cache()
        async with asyncio.TaskGroup() as group:
            for plugin in (plugin for plugins in read.values() for plugin in plugins if plugin.error is None):
                group.create_task(self._announce(plugin, known, report))
        self._stamps, self._found = stamps, found
        self.plugins = {plugin.name: plugin for plugins in list(found.values())[::-1] for plugin in plugins}
        if {self._cache_key(plugin) for plugin in self._announced()} != known.keys():
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
        if plugin is not None and plugin.error is not None:
            raise plugin.error
        if plugin is not None and plugin.announcement is None:
            raise PluginError(f"The plugin {plugin.name!r} is still being set up", "Try again in a moment.")
        for signature in plugin.announcement["signatures"] if plugin and plugin.announcement else []:
            if signature["name"] == full_name:
                return dict(signature)
        hint = _near(full_name, [each["name"] for each in self.signatures()])
        raise NotFound(f"Nothing announces {full_name!r}", hint)

    def signatures(self) -> list[dict[str, Any]]:
        """Return every announced signature, by name."""
        announced = [plugin.announcement["signatures"] for plugin in self.plugins.values() if plugin.announcement]
        return sorted(itertools.chain.from_iterable(announced), key=lambda each: str(each["name"]))

    async def _announce(self, plugin: InstalledPlugin, known: dict[str, Any], report: Report) -> None:
        """Ask with this interpreter, or in the plugin's environment if its import needs packages of its own."""
        plugin.announcement = known.get(self._cache_key(plugin))
        if plugin.announcement is None:
            async with self._slots:
                needs_environment = await _ask(plugin, Path(sys.executable), self.home)
            if needs_environment:
                plugin.error = None
                self._slow[plugin.name] = asyncio.create_task(self._announce_slowly(plugin, report))

    async def _announce_slowly(self, plugin: InstalledPlugin, report: Report) -> None:
        try:
            python = await self.environments.ensure(plugin.environment, lambda line: report(f"{plugin.name}: {line}"))
            await _ask(plugin, python, self.home)
            self._save_cache()
        except StableCoreError as error:
            plugin.error = error
        finally:
            self._slow.pop(plugin.name, None)

    def _announced(self) -> list[InstalledPlugin]:
        return [plugin for plugins in self._found.values() for plugin in plugins if plugin.announcement]

    def _cache_key(self, plugin: InstalledPlugin) -> str:
        return f"{plugin.name} {plugin.version} {worker_runtime(self.home).name}"

    def _load_cache(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(self._cache.read_text("utf-8")))
        return {}

    def _save_cache(self) -> None:
        with contextlib.suppress(OSError):  # only a cache
            with tempfile.NamedTemporaryFile("w", dir=self._cache.parent, delete=False, encoding="utf-8") as file:
                json.dump({self._cache_key(plugin): plugin.announcement for plugin in self._announced()}, file)
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
    version = f"{project.get('version', '0')}+{_hash_folder(source, stamp)}"
    for name, target in project.get("entry-points", {}).get(ENTRY_POINTS, {}).items():
        yield InstalledPlugin(name, source, str(target), version, _needs(project, source / "requirements.lock"))


def _needs(declared: dict[str, Any], lock: Path | None = None) -> EnvironmentSpec:
    dependencies = tuple(map(str, declared.get("dependencies", [])))
    requires_python = str(declared.get("requires-python", ""))
    return EnvironmentSpec(dependencies, lock if lock and lock.is_file() else None, requires_python)


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
        version = f"0+{hashlib.sha256(content).hexdigest()[:12]}"
        yield InstalledPlugin(found[1], source, "", version, _needs(_inline_metadata(text)))


def _inline_metadata(text: str) -> dict[str, Any]:
    """Return the `# /// script` block of a file. Source: https://peps.python.org/pep-0723/"""
    block = re.search(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$", text)
    lines = block["content"].splitlines() if block else []
    return tomllib.loads("\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))


async def _ask(plugin: InstalledPlugin, python: Path, home: Path) -> bool:
    """Let the plugin announce, note what it says or why it cannot; return whether it lacks packages of its own."""
    try:
        hello = await _run_announce(python, plugin, home)
        if "error" in hello:
            plugin.error = error_from_dict(hello["error"])
            return bool(hello["error"].get("is_import_error"))
        if hello["plugin"]["name"] != plugin.name:
            names = f"{plugin.name!r} by its declaration and {hello['plugin']['name']!r} by its code"
            raise BadAnnouncement(f"{plugin.source.name} is {names}", "Give it one name.")
        plugin.announcement = hello["plugin"]
    except StableCoreError as error:
        plugin.error = error
    except OSError as error:
        plugin.error = BadAnnouncement(f"{plugin.name} could not be asked: {error}")
    return False


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
    try:
        (hello,) = MessageDecoder().feed(said)
        if hello.get("version") != VERSION or not hello.keys() & {"plugin", "error"}:
            raise ValueError
    except (StableCoreError, ValueError):
        message = f"{plugin.name} ended with exit code {process.returncode} and without an announcement"
        tail = log.decode(errors="replace").splitlines()[-30:]
        raise BadAnnouncement(message, "The end of its output says why.", "\n".join(tail)) from None
    return hello


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(sorted(known)[:20])}." if known else "No plugin is installed."
