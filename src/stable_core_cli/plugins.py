"""`stable-core plugin`: make, fetch, swap and drop plugin folders. What plugins announce is the registry's business."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import string
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from stable_core.errors import BadRequest, Conflict, NotFound
from stable_core_cli.connection import core_of, home_folder
from stable_core_cli.console import note, out, show
from stable_core_cli.run import AsJson
from stable_core_client import Json

plugin_app = typer.Typer(help="Make, install and list plugins.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]

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
    _check_free(name)
    made = home_folder() / "plugins" / (f"{name}.py" if single_file else name)
    words = {"name": name, "title": name.replace("_", " ").capitalize()}
    words["dependencies"] = INLINE_DEPENDENCIES if single_file else ""
    for file in [TEMPLATE / "plugin.py.txt"] if single_file else TEMPLATE.rglob("*.txt"):
        target = made if single_file else made / file.relative_to(TEMPLATE).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(string.Template(file.read_text("utf-8")).substitute(words), "utf-8")
    out(str(made))
    note(f"Try it: stable-core run {name}.hello you --times 2")


# -- look --------------------------------------------------------------------------------------------------------------


@plugin_app.command("list")
def list_plugins(context: typer.Context, as_json: AsJson = False) -> None:
    """List the plugins there are."""
    _show(_plugins(context), as_json)


@plugin_app.command("search")
def search_plugins(
    context: typer.Context, words: Annotated[list[str], typer.Argument(metavar="WORD...")], as_json: AsJson = False
) -> None:
    """List the plugins there are that have these words in their names or jobs; an online index comes later."""
    wanted = [word.lower() for word in words]
    found = [one for one in _plugins(context) if all(word in json.dumps(one).lower() for word in wanted)]
    _show(found, as_json)
    if not found:
        note("No installed or bundled plugin has these words. There is no online index yet.")


@plugin_app.command("info")
def plugin_info(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show one plugin: where it is, where it came from, what it can run."""
    found = next((plugin for plugin in _plugins(context) if plugin["name"] == name), None)
    if found is None:
        raise NotFound(f"There is no plugin {name!r}.", "`stable-core plugin list` shows those there are.")
    source = _kept(name) / "source.txt"
    show({**found, "came_from": source.read_text("utf-8") if source.is_file() else None}, as_json)


def _plugins(context: typer.Context) -> list[Json]:
    return [{**plugin, "jobs": plugin["signatures"]} for plugin in core_of(context).plugins()]


def _show(plugins: list[Json], as_json: bool) -> None:
    remarks = [one["error"]["message"] if one["error"] else " ".join(one["jobs"]) for one in plugins]
    rows = [[one["name"], one["version"], remark] for one, remark in zip(plugins, remarks, strict=True)]
    show(plugins, as_json, rows)


# -- fetch, swap, drop -------------------------------------------------------------------------------------------------


@plugin_app.command("install")
def install_plugin(
    source: Annotated[str, typer.Argument(metavar="FOLDER|FILE.py|GIT-URL[#REF]")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before running somebody's code")] = False,
) -> None:
    """Copy a plugin into the home folder. Plugins are programs: install only what you trust."""
    if Path(source).exists():
        source, yes = str(Path(source).resolve()), True
    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Let code from {source} run on this machine?")):
        raise BadRequest("Not installed.", "A plugin can do all that you can; say --yes if you trust it.")
    with _fetched(source) as fetched:
        name = fetched.stem
        _check_free(name)
        _put(fetched)
    _kept(name).mkdir(exist_ok=True)
    (_kept(name) / "source.txt").write_text(source, "utf-8")
    note(f"Try it: stable-core signatures; its jobs are called {name}.…")


@plugin_app.command("update")
def update_plugin(name: Name) -> None:
    """Fetch an installed plugin again from where it came; the version before is kept for rollback."""
    installed, source = _installed(name)
    with _fetched(source) as fetched:
        if fetched.stem != name:
            raise Conflict(f"{name} is now called {fetched.stem!r}.", f"Remove {name} and install it again.")
        if _content(fetched) == _content(installed):
            out(f"{name} is up to date")
        else:
            _put(fetched)


@plugin_app.command("rollback")
def rollback_plugin(name: Name) -> None:
    """Change back to the version before; once more changes forward again."""
    _installed(name)
    before = next((_kept(name) / "before").glob("*"), None)
    if before is None:
        raise NotFound(f"There is no earlier version of {name!r}.", "One is kept from the first update on.")
    _put(before.rename(_kept(name) / before.name))


@plugin_app.command("remove")
def remove_plugin(name: Name) -> None:
    """Delete a plugin from the home folder; its jobs and results stay."""
    if not (found := _found(name)):
        raise NotFound(f"No plugin {name!r} is installed.", "Bundled plugins come and go with stable-core itself.")
    for path in (*found, _kept(name)):
        _delete(path)
    out(f"removed {name}")


def _found(name: str) -> list[Path]:
    """Return where a plugin is in the home folder: a folder, a file or nowhere."""
    plugins = home_folder() / "plugins"
    return [path for path in (plugins / name, plugins / f"{name}.py") if name.isidentifier() and path.exists()]


def _kept(name: str) -> Path:
    """Return the folder of what is kept of a plugin: where it is from, and the version before."""
    return home_folder() / "plugin_versions" / name


def _installed(name: str) -> tuple[Path, str]:
    """Return where an installed plugin is and where it came from."""
    source = _kept(name) / "source.txt"
    if not (found := _found(name)) or not source.is_file():
        raise NotFound(
            f"{name!r} was not put there by `plugin install`.", "`stable-core plugin info` tells where it is."
        )
    return found[0], source.read_text("utf-8")


def _put(new: Path) -> None:
    """Make `new` the plugin; what it replaces becomes the version before."""
    before = _kept(new.stem) / "before"
    _delete(before)
    for current in _found(new.stem):
        before.mkdir(parents=True)
        current.rename(before / current.name)
    plugins = home_folder() / "plugins"
    plugins.mkdir(exist_ok=True)
    out(str(new.rename(plugins / new.name)))


def _check_free(name: str) -> None:
    if _found(name):
        raise Conflict(f"There is a plugin {name!r} already.", f"`stable-core plugin update {name}`, or remove it.")


@contextlib.contextmanager
def _fetched(source: str) -> Iterator[Path]:
    """Copy a plugin to a folder of its own for a while, and name it as when installed."""
    path, versions = Path(source), home_folder() / "plugin_versions"
    versions.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=versions) as folder:
        copy = Path(folder) / "plugin"
        if path.is_file():
            name = path.stem if "Plugin(" in path.read_text("utf-8", errors="replace") else ""
            copy = Path(shutil.copy(path, folder))
        else:
            if path.is_dir():
                shutil.copytree(path, copy, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__"))
            else:
                _clone(source, copy)
            name = _name_of(copy)
        if not name.isidentifier():
            hint = 'A folder says so under [project.entry-points."stable_core.plugins"], a file by `Plugin(...)`.'
            raise BadRequest(f"{source} is no plugin.", hint)
        yield copy.rename(copy.with_name(name + copy.suffix))


def _name_of(plugin: Path) -> str:
    """Return the name that a folder gives its plugin, empty if it has none."""
    try:
        project = tomllib.loads((plugin / "pyproject.toml").read_text("utf-8"))["project"]
        return str(next(iter(project["entry-points"]["stable_core.plugins"])))
    except (OSError, ValueError, KeyError, StopIteration):
        return ""


def _clone(source: str, target: Path) -> None:
    url, _, reference = source.partition("#")
    branch = ["--branch", reference] if reference else []
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:ssh:git:file"}
    command = ["git", "clone", "--quiet", "--depth", "1", *branch, "--", url, str(target)]
    try:
        subprocess.run(command, env=quiet, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise BadRequest("git is not installed.", "Install git, or give a folder.") from None
    except subprocess.CalledProcessError as error:
        raise BadRequest(f"{source} cannot be fetched: {error.stderr.strip()}", "Is it a git URL?") from None
    shutil.rmtree(target / ".git")


def _content(plugin: Path) -> dict[str, bytes]:
    files = [plugin] if plugin.is_file() else sorted(path for path in plugin.rglob("*") if path.is_file())
    return {str(path.relative_to(plugin)): path.read_bytes() for path in files if "__pycache__" not in path.parts}


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
