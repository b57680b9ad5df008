"""Hashes by which models are known, kept on disk so that each file is read once. It knows no models."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path

_OLD_START, _OLD_LENGTH = 0x100000, 0x10000
_lock = threading.Lock()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits; it is read only if it has changed since the last time."""
    known = known_sha256(path)
    if known:
        return known
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    _remember(path, found)
    return found


def known_sha256(path: Path) -> str:
    """Return the SHA-256 of a file if it was found before and the file has not changed; otherwise an empty text."""
    with _lock:
        entry = _read().get(str(path.absolute()), {})
    return str(entry.get("sha256", "")) if entry.get("stamp") == _stamp(path) else ""


def legacy_hash_of(path: Path) -> str:
    """Return the 8 digits that A1111 knew a model by in 2022: a hash of 64 KiB after the first MiB."""
    with path.open("rb") as file:
        file.seek(_OLD_START)
        return hashlib.sha256(file.read(_OLD_LENGTH)).hexdigest()[:8]


def cache_path() -> Path | None:
    """Return the file that hashes are kept in, in the first models folder; None where there is none."""
    first = os.environ.get("STABLE_CORE_MODELS", "").split(os.pathsep)[0]
    return Path(first) / ".sd_hashes.json" if first else None


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_mtime_ns, status.st_size]


def _read() -> dict[str, dict[str, object]]:
    path = cache_path()
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text("utf-8")) if path else {}
        return found if isinstance(found, dict) else {}
    return {}


def _remember(path: Path, sha256: str) -> None:
    """Add one hash; a folder that cannot be written to only costs the time of the next hashing."""
    file = cache_path()
    if file is None:
        return
    with _lock, contextlib.suppress(OSError):
        entries = {**_read(), str(path.absolute()): {"stamp": _stamp(path), "sha256": sha256}}
        file.parent.mkdir(parents=True, exist_ok=True)
        half_written = file.with_suffix(f".{os.getpid()}.part")
        half_written.write_text(json.dumps(entries, indent=1), "utf-8")
        half_written.replace(file)
