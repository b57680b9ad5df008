"""Environments: one per plugin, made by uv from a lock, shared by equal locks. No worker is started here.

`start.sh` runs this module when only uv is installed: what it imports at the top is the standard library.
"""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stable_core.errors import EnvironmentFailed

RUNTIME_NEEDS = ("pillow>=10.3", "pydantic>=2.6")
"""What the SDK itself imports; every plugin's environment has it."""

RUNTIME_FILES = ("__init__.py", "errors.py", "protocol.py", "worker.py", "sdk/*.py")

MARKER = "complete"
TAIL_LINES = 30
PROGRESS_LINES = ("Building", "Built", "Download", "Installed", "Prepared", "Updated", "Updating")
"""How the lines of uv begin that say what it is doing."""

Report = Callable[[str], object]


@dataclass(frozen=True)
class EnvironmentSpec:
    """What a plugin needs: its dependencies, the lock it ships (None = resolve once, here), the Pythons that fit."""

    dependencies: tuple[str, ...] = ()
    lock: Path | None = None
    requires_python: str = ""


class Environments:
    """The environments below one home folder, named by the hash of their lock, Python and platform.

    Files are hard links into uv's cache, so a second environment with torch costs a few megabytes.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._turns: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, spec: EnvironmentSpec, report: Report = lambda line: None) -> Path:
        """Return the Python interpreter of the environment, making it first when it is missing.

        Callers that want the same environment at once take turns, so that the first makes it for all. `report` gets
        plain lines about the progress.

        Raises:
            EnvironmentFailed: with the end of uv's output and what to do about it.
        """
        try:
            lock = self._lock_of(spec)
            async with self._turns[lock]:
                if spec.lock is None and not lock.is_file():
                    await self._resolve(spec, lock, report)
            folder = self._folder_of(spec)
            async with self._turns[folder]:
                if self.python_of(spec) is None:
                    await self._install(spec, lock, folder, report)
            (folder / MARKER).touch()  # clean-up goes by when it was used last
        except OSError as error:
            raise EnvironmentFailed(f"The environment could not be written: {error}", _hint(str(error))) from None
        return _python_in(folder)

    def python_of(self, spec: EnvironmentSpec) -> Path | None:
        """Return the interpreter when the environment is complete, else None."""
        if not self._lock_of(spec).is_file():
            return None
        folder = self._folder_of(spec)
        python = _python_in(folder)
        return python if (folder / MARKER).is_file() and python.exists() else None

    def size_of(self, spec: EnvironmentSpec) -> int | None:
        """Return the bytes of all files of a complete environment, though it may share them, else None."""
        python = self.python_of(spec)
        return int((self._folder_of(spec) / MARKER).read_text("utf-8") or 0) if python else None

    def clean(self, needed: Iterable[EnvironmentSpec], older_than: float) -> None:
        """Delete the environments that none of `needed` names and that were last used before `older_than`."""
        kept = {self.python_of(spec) for spec in needed}
        for marker in (self.home / "environments").glob(f"*/{MARKER}"):
            if _python_in(marker.parent) not in kept and marker.stat().st_mtime < older_than:
                shutil.rmtree(marker.parent, ignore_errors=True)

    def _lock_of(self, spec: EnvironmentSpec) -> Path:
        """Return where the lock is or will be: the shipped one, else one made here."""
        return spec.lock or self.home / "locks" / f"{_digest(*_requirements(spec), _interpreter(spec))}.lock"

    def _folder_of(self, spec: EnvironmentSpec) -> Path:
        lock = self._lock_of(spec)
        lines = [line for file in (lock, *_excludes(lock)) for line in file.read_text("utf-8").splitlines()]
        pins = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        return self.home / "environments" / _digest(*pins, _interpreter(spec))

    async def _resolve(self, spec: EnvironmentSpec, lock: Path, report: Report) -> None:
        """Write the exact versions of everything the plugin needs; they stay the same until its dependencies change."""
        report("Choosing package versions")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            wanted = Path(folder, "requirements.in")
            wanted.write_text("\n".join(_requirements(spec)), "utf-8")
            command = ["pip", "compile", str(wanted), "--output-file", str(lock), "--python", _interpreter(spec)]
            await run_uv(self.home, report, *command, "--no-header", "--no-annotate")

    async def _install(self, spec: EnvironmentSpec, lock: Path, folder: Path, report: Report) -> None:
        report("Making an environment")
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await run_uv(self.home, report, "venv", "--quiet", "--python", _interpreter(spec), str(folder))
        command = ["pip", "install", "--python", str(_python_in(folder)), "--requirements", str(lock)]
        for excludes in _excludes(lock):
            command += ["--excludes", str(excludes)]
        await run_uv(self.home, report, *command, *RUNTIME_NEEDS)
        size = await asyncio.to_thread(lambda: sum(path.lstat().st_size for path in folder.rglob("*")))
        (folder / MARKER).write_text(str(size), "utf-8")


async def run_uv(home: Path, report: Report, *arguments: str) -> None:
    """Run uv to its end with pip's sources handed on; cancelling kills it and what it started.

    Where no wheel folder is configured, uv first tries to get torch, if that is wanted, in the build for this machine.

    Raises:
        EnvironmentFailed: uv failed.
    """
    environ = uv_environment(home)
    is_pip = arguments[0] == "pip"
    if is_pip and environ.pop("UV_NO_INDEX", ""):
        arguments = (*arguments, "--no-index")
    elif is_pip and not environ.keys() & {"UV_FIND_LINKS", "UV_OFFLINE", "UV_TORCH_BACKEND"}:
        try:
            return await _run_uv(home, environ, report, *arguments, "--torch-backend=auto")
        except EnvironmentFailed as error:
            if "torch" not in error.traceback:
                raise
            report("The torch build for this machine could not be fetched: using the configured index")
    return await _run_uv(home, environ, report, *arguments)


async def _run_uv(home: Path, environ: dict[str, str], report: Report, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(find_uv(), *arguments),
        cwd=home,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        limit=2**22,
        start_new_session=True,
    )
    assert process.stderr is not None
    output: list[str] = []
    try:
        async for raw in process.stderr:
            if line := raw.decode(errors="replace").strip():
                output.append(line)
                if line.startswith(PROGRESS_LINES):
                    report(line)
        await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill() if sys.platform == "win32" else os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        tail = "\n".join(output[-TAIL_LINES:])
        said = [line for line in output if line.startswith(("error", "×"))] or output or ["uv said nothing"]
        reason = said[0].removeprefix("error: ").lstrip("× ")
        raise EnvironmentFailed(f"The environment could not be made: {reason}", _hint(tail), tail)


HINTS = {
    r"No space left|disk full|os error (28|112)\b": "The disk is full: free some space, then try again.",
    r"Python\s*[<>=~]|[Nn]o (Python )?interpreter": "The plugin needs another Python: see its requires-python.",
    r"dns error|[Cc]onnect|timed out|certificate": "Is this machine online? PIP_INDEX_URL can name a mirror.",
    r"No solution found|no version of|not found in the": "No set of versions fits: check the plugin's dependencies.",
    r"Failed to build|build backend": "A package must be compiled here: install a compiler, or choose one with wheels.",
    r"Permission denied|os error (5|13)\b": "The home folder must be writable.",
}


def _hint(output: str) -> str:
    return next((hint for pattern, hint in HINTS.items() if re.search(pattern, output)), "The output of uv says why.")


def find_uv() -> str:
    """Return the path of the program that the package uv brings."""
    import uv

    return uv.find_uv_bin()


def uv_environment(home: Path) -> dict[str, str]:
    """Return the process environment for uv: pip's sources translated, the cache where it can be hard-linked from."""
    private = {"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "STABLE_CORE_TOKEN"}
    environ = {name: value for name, value in os.environ.items() if name not in private}
    environ |= uv_sources(environ)
    usual = Path(environ.get("XDG_CACHE_HOME") or environ.get("LOCALAPPDATA") or Path.home() / ".cache")
    if "UV_CACHE_DIR" not in environ and _device(usual) != _device(home):
        environ["UV_CACHE_DIR"] = str(home / "cache" / "uv")
    return environ


def _device(path: Path) -> int:
    return next(folder.stat().st_dev for folder in (path, *path.absolute().parents) if folder.exists())


def uv_sources(environ: Mapping[str, str]) -> dict[str, str]:
    """Translate pip's settings, which uv does not read, into uv's variables; what is already set for uv wins.

    Source: https://pip.pypa.io/en/stable/topics/configuration/ and https://docs.astral.sh/uv/reference/environment/
    """
    pip = pip_settings(environ)
    extra, links = pip.get("extra-index-url", "").split(), pip.get("find-links", "").split()
    found = {
        "UV_DEFAULT_INDEX": "" if "UV_INDEX_URL" in environ else pip.get("index-url", ""),
        "UV_INDEX": "" if "UV_EXTRA_INDEX_URL" in environ else " ".join(extra),
        "UV_INDEX_STRATEGY": "unsafe-best-match" if extra else "",  # pip takes the best version of all its indexes
        "UV_FIND_LINKS": ",".join(links),
        "UV_NO_INDEX": "1" if pip.get("no-index", "").lower() in ("1", "true", "yes", "on") else "",
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": pip.get("timeout") or pip.get("default-timeout", ""),
        "SSL_CERT_FILE": pip.get("cert", ""),
        "SSL_CLIENT_CERT": pip.get("client-cert", ""),
        "ALL_PROXY": pip.get("proxy", ""),
    }
    return {name: value for name, value in found.items() if value and name not in environ}


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings by their long option name, from its configuration files and PIP_* variables."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read_dict({"global": {}, "install": {}})
    for path in _pip_files(environ):
        with contextlib.suppress(configparser.Error, OSError):
            parser.read_string(path.read_text("utf-8", "replace"))
    variables = [(name[4:], value) for name, value in environ.items() if name.startswith("PIP_") and value]
    found = [*parser["global"].items(), *parser["install"].items(), *variables]
    return {name.lower().replace("_", "-"): value for name, value in found}


def _pip_files(environ: Mapping[str, str]) -> list[Path]:
    """List where pip keeps its configuration, on any system, the strongest last; most of these do not exist."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or Path.home())
    shared = environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
    folders = [
        Path(environ.get("PROGRAMDATA", "/Library/Application Support"), "pip"),
        *(Path(folder, "pip") for folder in reversed(shared)),
        Path("/etc"),
        home / ".pip",
        Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "pip"),
        Path(environ.get("APPDATA") or home / "Library" / "Application Support", "pip"),
        Path(sys.prefix),
    ]
    return [*(folder / name for folder in folders for name in ("pip.conf", "pip.ini")), Path(named or os.devnull)]


def _digest(*parts: str) -> str:
    known = (*parts, *RUNTIME_NEEDS, sys.implementation.cache_tag, sysconfig.get_platform())
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def _excludes(lock: Path) -> list[Path]:
    """Return the file, if there is one, that names packages which others ask for and the plugin never imports."""
    path = lock.with_suffix(".excludes")
    return [path] if path.is_file() else []


def _requirements(spec: EnvironmentSpec) -> list[str]:
    """Return what to resolve. A dependency on stable-core itself is left out: workers bring the SDK along."""
    own = re.compile(r"\s*stable[-_.]core(?![-\w.])", re.IGNORECASE)
    return [line for line in (*spec.dependencies, *RUNTIME_NEEDS) if not own.match(line)]


def _interpreter(spec: EnvironmentSpec) -> str:
    """Return the Python to build with: this one, or what the plugin asks for when this one does not fit."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    with contextlib.suppress(InvalidSpecifier):  # uv says what is wrong with it
        if SpecifierSet(spec.requires_python).contains(platform.python_version(), prereleases=True):
            return sys.executable
    return spec.requires_python


def _python_in(folder: Path) -> Path:
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def worker_runtime(home: Path) -> Path:
    """Return a folder for PYTHONPATH with only what a worker imports of stable-core, so that no plugin sees more."""
    package = Path(__file__).parent
    files = [path for name in RUNTIME_FILES for path in sorted(package.glob(name))]
    known = hashlib.sha256(b"\0".join(path.name.encode() + b"\0" + path.read_bytes() for path in files)).hexdigest()
    folder = home / "cache" / f"runtime-{known[:12]}"
    if not folder.is_dir():
        new = folder.with_suffix(".new")
        for path in files:
            target = new / "stable_core" / path.relative_to(package)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        new.replace(folder)
    return folder


_ALLOWED = re.compile(
    r"""PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|XDG_\w+|(LD|DYLD)_LIBRARY_PATH
    |(HTTPS?|FTP|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE
    |(CUDA|NVIDIA|HIP|ROCR|ROCM|HSA|ONEAPI|ZE|SYCL|MIOPEN|PYTORCH|TORCH|OMP|GOMP|KMP|MKL|OPENBLAS|NUMEXPR)_\w+
    |HF_HOME|HF_HUB_(CACHE|OFFLINE)|HF_ENDPOINT|HF_DATASETS_CACHE|TRANSFORMERS_(CACHE|OFFLINE)|TRITON_CACHE_DIR
    |SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|APPDATA|LOCALAPPDATA|USERPROFILE|USERNAME|PROGRAMDATA|PROGRAMFILES\S*
    |NUMBER_OF_PROCESSORS|PROCESSOR_\w+""",
    re.VERBOSE | re.IGNORECASE,
)


def worker_environment(home: Path) -> dict[str, str]:
    """Return the process environment of a worker: an allow-list, so that no token or password reaches a plugin."""
    kept = {name: value for name, value in os.environ.items() if _ALLOWED.fullmatch(name)}
    secret = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY", re.IGNORECASE)
    python = {
        "PYTHONPATH": str(worker_runtime(home)),
        "PYTHONSAFEPATH": "1",  # never import from the folder the server happens to be started in
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "PYTHONFAULTHANDLER": "1",  # a segfault leaves a traceback in the job's log
    }
    return {name: value for name, value in kept.items() if not secret.search(name)} | python


def main() -> None:
    """Run uv with pip's sources and the torch of this machine, as `start.sh` and `test.sh` do."""
    report: Report = lambda line: print(f"  {line}", file=sys.stderr, flush=True)  # noqa: E731 - one line
    try:
        asyncio.run(run_uv(Path.cwd(), report, *sys.argv[1:]))
    except EnvironmentFailed as error:
        sys.exit(f"{error.traceback}\n{error.message}\n{error.hint}")


if __name__ == "__main__":
    main()
