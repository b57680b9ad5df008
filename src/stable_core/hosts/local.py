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

    def __init__(self, home: Path, devices: str) -> None:
        self._home = home
        self._wanted_devices = devices

    def devices(self) -> list[str]:
        """Return the devices that workers are spread over: `cuda:0`, …, or `cpu`."""
        if self._wanted_devices != "auto":
            return [device.strip() for device in self._wanted_devices.split(",") if device.strip()]
        return list(_gpus_mb()) or ["cpu"]

    def memory_mb(self, device: str) -> int:
        """Return a device's memory in MiB, 0 if unknown."""
        if device.startswith("cuda"):
            return _gpus_mb().get(device, 0)
        if hasattr(os, "sysconf"):
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
        return 0

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
