"""Where jobs of the probe plugin wait until a test lets them go on. No test is here."""

from __future__ import annotations

import os
from pathlib import Path


class Gate:
    """A FIFO that jobs of the probe plugin wait at until a byte is put in."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(path)
        self._file = os.open(path, os.O_RDWR)

    def open(self, count: int = 1) -> None:
        """Let `count` jobs through."""
        os.write(self._file, b"x" * count)

    def close(self) -> None:
        """Let go of the FIFO."""
        os.close(self._file)
