"""`stable-core plugin`: make, fetch, swap and drop plugin folders. What plugins announce is the registry's business."""

from __future__ import annotations

import json
import os
import re
import shutil
import string
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from stable_core.cli_console import note, out, out_json, table
from stable_core.cli_core import connected, home_folder
from stable_core.client import Json
from stable_core.errors import BadRequest, Conflict, NotFound

plugin_app = typer.Typer(help="Make, install and list plugins.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON")]

TEMPLATE = Path(__file__).parent / "plugin_template"
"""What `plugin new` copies, with $name, $title and $dependencies filled in."""
INLINE_DEPENDENCIES = '# /// script\n# dependencies = ["pydantic>=2.10", "pillow>=11"]\n# ///\n'


# -- make --------------------------------------------------------------------------------------------------------------


@plugin_app.command("new")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME")] = "",
    single_file: Annotated[bool, typer.Option("--single-file", help="One .py file in place of a folder")] = False,
) -> None:
    """Write a plugin that works, for you to change."""
    if not name:
        name = typer.prompt("Name of the plugin (a lowercase word)")
        single_file = single_file or not typer.confirm("With its own folder, README and test?", default=True)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise BadRequest(f"{name!r} is no name for a plugin.", "Use lowercase letters, digits and underscores.")
    plugins = home_folder() / "plugins"
    _check_free(plugins, name)
    made = plugins / (f"{name}.py" if single_file else name)
    files = {"plugin.py": made} if single_file else {
        file: made / file for file in ("plugin.py", "pyproject.toml", "README.md", "tests/test_hello.py")
    }  # fmt: skip
    names = {"name": name, "title": name.replace("_", " ").capitalize()}
    for file, target in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        template = string.Template((TEMPLATE / f"{Path(file).name}.txt").read_text("utf-8"))
        filled = template.substitute(names, dependencies=INLINE_DEPENDENCIES if single_file else "")
        target.write_text(filled, "utf-8")
    out(str(made))
    note(f"Try it: stable-core run {name}.hello you --times 2")


# -- look --------------------------------------------------------------------------------------------------------------


@plugin_app.command("list")
def list_plugins(as_json: AsJson = False) -> None:
    """List the plugins there are."""
    _show(_plugins(), as_json)


@plugin_app.command("search")
def search_plugins(words: Annotated[list[str], typer.Argument(metavar="WORD...")], as_json: AsJson = False) -> None:
    """List the plugins there are that have these words in their names or jobs; an online index comes later."""
    found = [plugin for plugin in _plugins() if all(word.lower() in json.dumps(plugin).lower() for word in words)]
    _show(found, as_json)
    if not found:
        note("No installed or bundled plugin has these words. There is no online index yet.")


@plugin_app.command("info")
def plugin_info(name: Name, as_json: AsJson = False) -> None:
    """Show one plugin: where it is, where it came from, what it can run."""
    found = next((plugin for plugin in _plugins() if plugin["name"] == name), None)
    if found is None:
        raise NotFound(f"There is no plugin {name!r}.", "`stable-core plugin list` shows those there are.")
    found = {**found, "came_from": _Installed().sources.get(name, {}).get("source")}
    if as_json:
        out_json(found)
    else:
        table([[key, value if isinstance(value, str) else json.dumps(value)] for key, value in found.items()])


def _plugins() -> list[Json]:
    with connected(home_folder(), note) as core:
        plugins = core.plugins()
        jobs = core.signatures()
    return [
        {**one, "jobs": [job["name"] for job in jobs if job["name"].startswith(one["name"] + ".")]} for one in plugins
    ]


def _show(plugins: list[Json], as_json: bool) -> None:
    if as_json:
        out_json(plugins)
    elif plugins:
        remarks = [one["error"]["message"] if one.get("error") else " ".join(one["jobs"]) for one in plugins]
        table([[one["name"], str(one["version"]), remark] for one, remark in zip(plugins, remarks, strict=True)])


# -- fetch, swap, drop -------------------------------------------------------------------------------------------------


@plugin_app.command("install")
def install_plugin(
    source: Annotated[str, typer.Argument(metavar="FOLDER|FILE.py|GIT-URL[#REF]")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before running somebody's code")] = False,
) -> None:
    """Copy a plugin into the home folder. Plugins are programs: install only what you trust."""
    is_local = Path(source).exists()
    if (
        not is_local
        and not yes
        and not (sys.stdin.isatty() and typer.confirm(f"Let code from {source} run on this machine?"))
    ):
        raise BadRequest("Not installed.", "A plugin can do all that you can; say --yes if you trust it.")
    source = str(Path(source).resolve()) if is_local else source
    installed = _Installed()
    with tempfile.TemporaryDirectory(dir=installed.versions) as folder:
        name, fetched = _fetch(source, Path(folder))
        _check_free(installed.plugins, name)
        installed.put(name, fetched, source)
    note(f"Try it: stable-core signatures; its jobs are called {name}.…")


@plugin_app.command("update")
def update_plugin(name: Name) -> None:
    """Fetch an installed plugin again from where it came; the version before is kept for rollback."""
    installed = _Installed()
    source = installed.source(name)
    with tempfile.TemporaryDirectory(dir=installed.versions) as folder:
        found, fetched = _fetch(source, Path(folder))
        if found != name:
            raise Conflict(f"{source} is now called {found!r}.", f"Remove {name} and install it again.")
        if _content(fetched) == _content(installed.path(name)):
            out(f"{name} is up to date")
            return
        installed.put(name, fetched, source)


@plugin_app.command("rollback")
def rollback_plugin(name: Name) -> None:
    """Change back to the version before; once more changes forward again."""
    installed = _Installed()
    installed.source(name)
    before = next(iter(installed.versions.glob(f"{name}/*")), None)
    if before is None:
        raise NotFound(f"There is no earlier version of {name!r}.", "One is kept from the first update on.")
    with tempfile.TemporaryDirectory(dir=installed.versions) as folder:
        installed.put(name, before.rename(Path(folder) / before.name), installed.source(name))


@plugin_app.command("remove")
def remove_plugin(name: Name) -> None:
    """Delete a plugin from the home folder; its jobs and results stay."""
    installed = _Installed()
    _delete(installed.path(name))
    _delete(installed.versions / name)
    installed.sources.pop(name, None)
    installed.save()
    out(f"removed {name}")


class _Installed:
    """The plugins of the home folder, where each came from and the version before of each."""

    def __init__(self) -> None:
        home = home_folder()
        self.plugins = home / "plugins"
        self.versions = home / "plugin_versions"
        self.plugins.mkdir(exist_ok=True)
        self.versions.mkdir(exist_ok=True)
        self._file = self.versions / "sources.json"
        self.sources: dict[str, Json] = json.loads(self._file.read_text()) if self._file.is_file() else {}

    def path(self, name: str) -> Path:
        """Return the folder or file of a plugin in the home folder."""
        if name.isidentifier():
            for path in (self.plugins / name, self.plugins / f"{name}.py"):
                if path.exists():
                    return path
        raise NotFound(f"No plugin {name!r} is installed.", "Bundled plugins come and go with stable-core itself.")

    def source(self, name: str) -> str:
        """Return where a plugin came from."""
        self.path(name)
        if name not in self.sources:
            raise NotFound(
                f"Nothing is known of where {name!r} came from.", "Only what `plugin install` put there is updated."
            )
        return str(self.sources[name]["source"])

    def put(self, name: str, fetched: Path, source: str) -> None:
        """Make `fetched` the plugin; what it replaces becomes the version before."""
        before = self.versions / name
        try:
            current = self.path(name)
        except NotFound:
            current = None
        _delete(before)
        if current is not None:
            before.mkdir()
            current.rename(before / current.name)
        target = self.plugins / (f"{name}.py" if fetched.is_file() else name)
        fetched.rename(target)
        self.sources[name] = {"source": source}
        self.save()
        out(str(target))

    def save(self) -> None:
        """Write the list of sources."""
        self._file.write_text(json.dumps(self.sources, indent=2))


def _check_free(plugins: Path, name: str) -> None:
    if (plugins / name).exists() or (plugins / f"{name}.py").exists():
        raise Conflict(
            f"There is a plugin {name!r} already.", f"`stable-core plugin update {name}` or `remove {name}` first."
        )


def _fetch(source: str, folder: Path) -> tuple[str, Path]:
    """Copy a plugin below `folder` and return its name and where it is now."""
    path, target = Path(source), folder / "fetched"
    if path.is_file():
        if "Plugin(" not in path.read_text("utf-8", errors="replace") or not path.stem.isidentifier():
            raise BadRequest(
                f"{path} is no plugin.", "A plugin file has a `plugin = Plugin(...)`; see docs/plugin_guide.md."
            )
        return path.stem, Path(shutil.copy(path, target))
    if path.is_dir():
        shutil.copytree(path, target, ignore=shutil.ignore_patterns(".git", "__pycache__", ".venv", ".pytest_cache"))
    else:
        _clone(source, target)
    try:
        project = tomllib.loads((target / "pyproject.toml").read_text("utf-8"))["project"]
        name = next(iter(project["entry-points"]["stable_core.plugins"]))
    except (OSError, ValueError, KeyError, StopIteration):
        hint = 'It needs a pyproject.toml with [project.entry-points."stable_core.plugins"].'
        raise BadRequest(f"{source} is no plugin.", hint) from None
    if not name.isidentifier():
        raise BadRequest(
            f"{source} has a plugin called {name!r}.", "A plugin's name is a lowercase Python module name."
        )
    return name, target


def _clone(source: str, target: Path) -> None:
    url, _, reference = source.partition("#")
    branch = ["--branch", reference] if reference else []
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:ssh:git:file"}
    command = ["git", "clone", "--quiet", "--depth", "1", *branch, "--", url, str(target)]
    try:
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BadRequest("git is not installed.", "Install git, or give a folder.") from None
    if done.returncode:
        raise BadRequest(
            f"{source} cannot be fetched: {done.stderr.strip()}", "Give a folder, a .py file or a git URL."
        )
    shutil.rmtree(target / ".git")


def _content(plugin: Path) -> dict[str, bytes]:
    files = [plugin] if plugin.is_file() else sorted(path for path in plugin.rglob("*") if path.is_file())
    return {str(path.relative_to(plugin)): path.read_bytes() for path in files if "__pycache__" not in path.parts}


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
