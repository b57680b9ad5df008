"""What workers print, sorted into one file per job. The stream comes from worker_process; nothing is printed here."""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path

from stable_core.protocol import LOG_MARK

LOG_LIMIT_BYTES = 2**20
TAIL_BYTES = 4000


class WorkerLog:
    """Sorts what a worker prints into one file per job, at the marks between jobs, and keeps the last of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._written = 0
        self._tail = b""
        self._rest = b""
        self._expected: deque[str] = deque()

    def expect(self, job_id: str) -> None:
        """Take the mark of this job for a mark; a plugin may print what looks like one."""
        self._expected.append(job_id)

    @property
    def tail(self) -> str:
        """The last few thousand characters that the current job printed."""
        return self._tail.decode(errors="replace")

    def write(self, data: bytes) -> None:
        """Take a piece of the stream."""
        text, self._rest = self._rest + data, b""
        while self._expected:
            mark = LOG_MARK + self._expected[0].encode() + b"\n"
            before, found, after = text.partition(mark)
            if not found:
                begun = text.rfind(LOG_MARK)
                if begun >= 0 and mark.startswith(text[begun:]):  # cut off: the next piece has the end
                    text, self._rest = text[:begun], text[begun:]
                break
            self._append(before)
            self._name, self._written, self._tail = self._expected.popleft(), 0, b""
            text = after
        self._append(text)

    def _append(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        if data and self._name and self._written < LOG_LIMIT_BYTES:
            kept = data[: LOG_LIMIT_BYTES - self._written]
            self._written += len(kept)
            with contextlib.suppress(OSError), log_path(self._folder, self._name).open("ab") as file:
                file.write(kept)
                if self._written >= LOG_LIMIT_BYTES:
                    file.write(b"\n[the rest of this log was dropped: over 1 MiB]\n")

    def close(self) -> None:
        """Write what is left."""
        self._append(self._rest)


def clean_logs(folder: Path, older_than: float) -> None:
    """Delete the logs that were last written before `older_than`."""
    for path in folder.glob("*.log"):
        if path.stat().st_mtime < older_than:
            path.unlink()


def log_path(folder: Path, job_id: str) -> Path:
    """Return the log file of a job."""
    return folder / f"{job_id}.log"
