"""The workers: one per plugin and device, started when wanted, stopped when idle or in the way. No jobs here."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from stable_core.config import Config
from stable_core.environments import Environments
from stable_core.errors import StableCoreError, WorkerDied
from stable_core.hosts.local import LocalHost
from stable_core.plugin_registry import InstalledPlugin
from stable_core.worker_process import WorkerProcess

Report = Callable[[str, str], None]
Key = tuple[str, str]


class WorkerPool:
    """Starts, keeps and stops workers.

    Args:
        on_change: called when a worker became ready or is gone.
        on_failure: gets the plugin's name and the error when its worker cannot be started.
        on_report: gets the plugin's name and a line on what its start is doing.
    """

    def __init__(
        self,
        home: Path,
        config: Config,
        environments: Environments,
        on_change: Callable[[], None],
        on_failure: Callable[[str, StableCoreError], None],
        on_report: Report,
    ) -> None:
        self._environments = environments
        self.host = LocalHost(home, config.settings.devices)
        self._config = config
        self._artifacts = home / "artifacts"
        self._logs = home / "logs"
        self._logs.mkdir(exist_ok=True)
        self._on_change, self._on_failure, self._on_report = on_change, on_failure, on_report
        self._workers: dict[Key, WorkerProcess] = {}
        self._starting: dict[Key, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._memory_mb: dict[Key, int] = {}
        self._devices: list[str] | None = None
        self._capacity_mb: dict[str, int] = {}

    @property
    def workers(self) -> list[WorkerProcess]:
        """The workers that are ready."""
        return list(self._workers.values())

    def idle_worker(self, plugin: InstalledPlugin) -> WorkerProcess | None:
        """Return a worker of the plugin that could take a job now; one that runs older code is told to end instead."""
        for (name, _), worker in self._workers.items():
            if name == plugin.name and worker.is_idle:
                if worker.version == plugin.version:
                    return worker
                self._retire(worker)
        return None

    def is_starting(self, plugin: str) -> bool:
        """Tell whether a worker of the plugin is on its way."""
        return any(name == plugin for name, _ in self._starting)

    def try_start(self, plugin: InstalledPlugin, spared: Collection[str] = ()) -> bool:
        """Begin to start one more worker of the plugin; idle workers of others make room. False: no room now.

        The workers of the plugins in `spared` do not make room.
        """
        memory_mb = plugin.memory_mb
        for device in self._device_names():
            key = (plugin.name, device)
            if key in self._workers or key in self._starting:
                continue
            evicted = self._make_room(device, memory_mb, spared)
            if evicted is not None:
                self._memory_mb[key] = memory_mb
                for worker in evicted:  # now, so that none of them gets a job any more
                    worker.is_ready = False
                self._starting[key] = asyncio.create_task(self._start(plugin, device, evicted))
                return True
        return False

    def has_place(self, plugin: str) -> bool:
        """Tell whether some device has no worker of the plugin yet."""
        return any(
            (plugin, device) not in self._workers and (plugin, device) not in self._starting
            for device in self._device_names()
        )

    def _device_names(self) -> list[str]:
        if self._devices is None:
            self._devices = self.host.devices()
        return self._devices

    def _make_room(self, device: str, memory_mb: int, spared: Collection[str]) -> list[WorkerProcess] | None:
        """Return the idle workers that must go so that `memory_mb` fit, or None if that is not enough."""
        if device not in self._capacity_mb:
            self._capacity_mb[device] = self._config.settings.device_memory_mb or self.host.memory_mb(device)
        here = [key for key in self._memory_mb if key[1] == device and self._memory_mb[key] > 0]
        excess = sum(self._memory_mb[key] for key in here) + memory_mb - self._capacity_mb[device]
        if not memory_mb or not here or excess <= 0 or not self._capacity_mb[device]:
            return []
        going = []
        idle = [self._workers[key] for key in here if key in self._workers and self._workers[key].is_idle]
        idle = [worker for worker in idle if worker.plugin not in spared]
        for worker in sorted(idle, key=lambda worker: worker.idle_since):
            going.append(worker)
            excess -= self._memory_mb[(worker.plugin, worker.device)]
            if excess <= 0 or len(going) == len(here):
                return going
        return None

    async def _start(self, plugin: InstalledPlugin, device: str, evicted: list[WorkerProcess]) -> None:
        key = (plugin.name, device)
        worker = WorkerProcess(plugin.name, plugin.version, device, self._logs, self._gone)
        try:
            await asyncio.gather(*(one.stop() for one in evicted))
            python = await self._environments.ensure(
                plugin.environment, lambda line: self._on_report(plugin.name, line)
            )
            self._on_report(plugin.name, f"Starting {plugin.name}")
            roots = os.pathsep.join(str(root) for root in self._config.model_roots())
            variables = {
                "PYDANTIC_DISABLE_PLUGINS": "__all__",  # it would look through every package of the environment
                "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),  # spinning slows all others
                "STABLE_CORE_ARTIFACTS": str(self._artifacts),
                "STABLE_CORE_MODELS": roots,
                "STABLE_CORE_DEVICE": device,
            }
            seconds = self._config.settings.worker_start_seconds
            await worker.start(self.host, python, plugin.source, plugin.target, variables, seconds)
            self._workers[key] = worker
        except StableCoreError as error:
            self._on_failure(plugin.name, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the plugin's jobs must not wait for ever
            hint = "Remove its environment to have it made again."
            self._on_failure(plugin.name, WorkerDied(f"The worker of {plugin.name} cannot be started: {error!r}", hint))
        finally:
            del self._starting[key]
            if key not in self._workers:
                self._memory_mb.pop(key, None)
        self._on_change()

    def _retire(self, worker: WorkerProcess) -> None:
        worker.is_ready = False
        leaving = asyncio.create_task(worker.stop())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _gone(self, worker: WorkerProcess) -> None:
        key = (worker.plugin, worker.device)
        if self._workers.get(key) is worker:
            del self._workers[key]
            self._memory_mb.pop(key, None)
            self._on_change()

    async def stop_idle(self, plugin: str | None = None, idle_seconds: float = 0) -> int:
        """Stop the workers that have been idle this long, of one plugin or of all; return how many."""
        now = time.monotonic()
        idle = [
            worker
            for worker in self.workers
            if worker.is_idle and plugin in (None, worker.plugin) and now - worker.idle_since >= idle_seconds
        ]
        await asyncio.gather(*(worker.stop() for worker in idle))
        return len(idle)

    async def stop(self) -> None:
        """Stop every worker, busy or not."""
        for starting in list(self._starting.values()):
            starting.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        for worker in self.workers:
            if not worker.is_idle:
                worker.kill()
        await asyncio.gather(*(worker.stop() for worker in self.workers))
