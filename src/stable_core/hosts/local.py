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

    def __init__(self, home: Path, devices: str = "auto") -> None:
        self._home = home
        self._wanted_devices = devices

    def devices(self) -> list[str]:
        """Return the devices that workers are spread over: `cuda:0`, …, or `cpu`."""
        if self._wanted_devices != "auto":
            return [device.strip() for device in self._wanted_devices.split(",") if device.strip()]
        gpus = [line for line in _nvidia_smi("--list-gpus") if line.startswith("GPU ")]
        return [f"cuda:{index}" for index in range(len(gpus))] or ["cpu"]

    def memory_mb(self, device: str) -> int:
        """Return a device's memory in MiB, 0 if unknown."""
        if device.startswith("cuda:"):
            lines = _nvidia_smi("--query-gpu=memory.total", "--format=csv,noheader,nounits", f"--id={device[5:]}")
            return int(lines[0]) if lines and lines[0].isdigit() else 0
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
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
            str(python),
            "-m",
            "stable_core.worker",
            str(source),
            target,
            env={**worker_environment(self._home), **variables},
            cwd=self._home,
            start_new_session=True,
        )
        return transport


def _nvidia_smi(*arguments: str) -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    found = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=20)
    return found.stdout.splitlines() if found.returncode == 0 else []
