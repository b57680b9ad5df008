"""This machine as a host: its devices and how to start a worker process on one. It does not talk to the worker."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from stable_core.environments import worker_environment


class LocalHost:
    """Starts workers as child processes that share this machine's artifacts folder."""

    name = "local"

    def __init__(self, home: Path) -> None:
        self._home = home

    def devices(self, wanted: str) -> dict[str, int]:
        """Return the devices of the setting `devices` with their memory in MiB, 0 if unknown; asking takes a while."""
        gpus = {} if wanted == "cpu" else _gpus_mb()
        names = list(gpus) or ["cpu"]
        if wanted != "auto":
            names = [device.strip() for device in wanted.split(",") if device.strip()]
        memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 if hasattr(os, "sysconf") else 0
        return {name: gpus.get(name, 0 if name.startswith("cuda") else memory_mb) for name in names}

    async def start_worker(
        self,
        make_protocol: Callable[[], asyncio.SubprocessProtocol],
        python: Path,
        source: Path,
        target: str,
        variables: dict[str, str],
    ) -> asyncio.SubprocessTransport:
        """Start a worker for the plugin at `source`; its pipes go to the protocol object."""
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            make_protocol,
            *(python, "-m", "stable_core.worker", source, target),
            env={**worker_environment(self._home), **variables},
            cwd=self._home,
            start_new_session=True,
        )
        return transport


def _gpus_mb() -> dict[str, int]:
    """Return the memory of each GPU that nvidia-smi lists, 0 where it does not say."""
    if (program := shutil.which("nvidia-smi")) is None:
        return {}
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    lines = found.stdout.splitlines() if found.returncode == 0 else []
    return {f"cuda:{index}": int(line) if line.isdigit() else 0 for index, line in enumerate(lines)}
