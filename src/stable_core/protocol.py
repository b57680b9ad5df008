"""The messages between core and worker, one JSON object a line, and where both keep artifacts. Starts no process.

Worker to core:
    hello     {version, pid, plugin: announcement} or {version, error}       the first message, once
    progress  {job, step, total, message, preview?: base64 JPEG}             at most 20 a second
    output    {job, port, artifact}                                          one result, as soon as it is made
    done      {job}                                                          after its last output
    expanded  {job, jobs: {key: {job, inputs, params}}, results: [key]}      an invocation's jobs
    failed    {job, error: {code, message, hint, traceback?}}
    cancelled {job}
Core to worker:
    run       {job, name, inputs: {port: value}, params, settings}           one job at a time
    cancel    {job}
    interrupt {job}                                          end with what there is, if you can
    skip      {job}                                          go on with the next thing you make, if you can
    exit      {}                                             after the job in hand; closing the pipe is at once

An input value is {"text": …}, {"data": …}, {"artifact": id, "type", "media_type"}, or a list of these. The worker's
real stdout carries only these lines; what the plugin prints goes to stderr, where a line `\\0<job id>` marks the
beginning of that job's.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stable_core.errors import ProtocolMismatch, StorageFull

VERSION = 1
MAX_MESSAGE_BYTES = 64 * 2**20
LOG_MARK = b"\0"

Message = dict[str, Any]

_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes one per call


def encode_message(message: Message) -> bytes:
    """Return the message as one line."""
    return _encode(message).encode() + b"\n"


class MessageDecoder:
    """Cut a byte stream into messages."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._rest_bytes = 0

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages completed by `chunk`.

        Raises:
            ProtocolMismatch: a line is no JSON object with a type, or is longer than MAX_MESSAGE_BYTES.
        """
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest, self._rest_bytes = [], 0
        self._rest.append(rest)
        self._rest_bytes += len(rest)
        if self._rest_bytes > MAX_MESSAGE_BYTES:
            raise ProtocolMismatch("A message from the worker is too long", "Return large results as artifacts.")
        return [_parse(line) for line in lines]


def _parse(line: bytes) -> Message:
    try:
        message = json.loads(line)
        message["type"]
    except (ValueError, TypeError, KeyError):
        hint = "Plugins must not write to the protocol's pipe."
        raise ProtocolMismatch(f"The worker sent something that is no message: {line[:200]!r}", hint) from None
    return message  # type: ignore[no-any-return]


def artifact_path(folder: Path, artifact_id: str) -> Path:
    """Return where the artifact with this SHA-256 lies."""
    return folder / artifact_id[:2] / artifact_id


@contextlib.contextmanager
def new_file(folder: Path) -> Iterator[Path]:
    """Make an empty file in a folder and delete it after the block, unless it was given another name in it.

    Its owner alone can read it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
    os.close(descriptor)  # Windows gives no open file another name
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def write_artifact(folder: Path, content: bytes | Path) -> tuple[str, int]:
    """Store bytes or a file's content under its SHA-256 and return (id, size in bytes); what is there already stays.

    Raises:
        StorageFull: the file could not be written; nothing half-written is left behind.
    """
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as source:
        artifact_id = hashlib.file_digest(source, "sha256").hexdigest()
        size = source.seek(0, io.SEEK_END)
        path = artifact_path(folder, artifact_id)
        with contextlib.suppress(OSError):
            os.utime(path)  # it is wanted again: clean-up goes by age
        if not path.exists():
            source.seek(0)
            try:
                with new_file(path.parent) as new:
                    with new.open("wb") as file:
                        shutil.copyfileobj(source, file, 2**20)
                    new.replace(path)
            except OSError as error:
                hint = f"Free some space in {folder}, then retry."
                raise StorageFull(f"A result could not be written: {error.strerror}", hint) from None
    return artifact_id, size
