"""The workers: one per plugin and device, started when wanted, stopped when idle or in the way. No jobs here."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable, Collection

from stable_core.config import Config
from stable_core.environments import Environments
from stable_core.errors import StableCoreError, WorkerDied
from stable_core.hosts.local import LocalHost
from stable_core.plugin_registry import LIGHT, InstalledPlugin
from stable_core.worker_process import WorkerProcess

IDLE_TURN_SECONDS = 20.0

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
        config: Config,
        environments: Environments,
        on_change: Callable[[], None],
        on_failure: Callable[[str, StableCoreError], None],
        on_report: Report,
    ) -> None:
        self._environments = environments
        self.host = LocalHost(config.home)
        self._config = config
        self._logs = config.home / "logs"
        self._logs.mkdir(exist_ok=True)
        self._on_change, self._on_failure, self._on_report = on_change, on_failure, on_report
        self._workers: dict[Key, WorkerProcess] = {}
        self._starting: dict[Key, asyncio.Task[None]] = {}
        self.notes: dict[str, str] = {}
        """By plugin, what the start of its worker is doing; shown as the progress of its queued jobs."""
        self._leaving: set[asyncio.Task[None]] = set()
        self.devices: dict[str, int] = {}
        """The memory to plan with on each device, in MiB, 0 if unknown; empty until the host has been asked."""
        self._asking = asyncio.create_task(self._ask_for_devices())

    async def _ask_for_devices(self) -> None:
        settings = self._config.settings
        devices = await asyncio.to_thread(self.host.devices, settings.devices)
        self.devices = {name: settings.device_memory_mb or memory_mb for name, memory_mb in devices.items()}
        self._on_change()

    @property
    def workers(self) -> list[WorkerProcess]:
        """The workers that have started."""
        return [worker for key, worker in self._workers.items() if key not in self._starting]

    def idle_worker(self, plugin: InstalledPlugin) -> WorkerProcess | None:
        """Return a worker of the plugin that could take a job now; one that runs older code is told to end instead."""
        for worker in self._workers.values():
            if worker.plugin == plugin.name and worker.is_idle:
                if worker.version == plugin.version:
                    return worker
                self._retire(worker)
        return None

    def _retire(self, worker: WorkerProcess) -> None:
        worker.is_ready = False
        leaving = asyncio.create_task(worker.stop())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def has_place(self, plugin: str) -> bool:
        """Tell whether some device has no worker of the plugin yet, and none is on its way."""
        is_starting = any(name == plugin for name, _ in self._starting)
        return not is_starting and any((plugin, device) not in self._workers for device in self.devices)

    def try_start(self, plugin: InstalledPlugin, spared: Collection[str] = ()) -> bool:
        """Begin to start one more worker of the plugin; idle workers of others make room. False: no room now.

        The workers of the plugins in `spared` do not make room.
        """
        for device in self.devices:
            key = (plugin.name, device)
            evicted = None if key in self._workers else self._make_room(device, plugin.memory_mb, spared)
            if evicted is not None:
                for worker in evicted:  # now, so that none of them gets a job any more
                    worker.is_ready = False
                new = WorkerProcess(plugin.name, plugin.version, device, self._logs, self._gone, plugin.memory_mb)
                self._workers[key] = new
                self._starting[key] = asyncio.create_task(self._start(new, plugin, evicted))
                return True
        return False

    def _make_room(self, device: str, memory_mb: int, spared: Collection[str]) -> list[WorkerProcess] | None:
        """Return the idle workers that must go so that `memory_mb` fit, or None if that is not enough."""
        here = [worker for worker in self._workers.values() if worker.device == device and worker.memory_mb]
        excess = sum(worker.memory_mb for worker in here) + memory_mb - self.devices[device]
        if not memory_mb or not here or excess <= 0 or not self.devices[device]:
            return []
        going = []
        idle = [worker for worker in here if worker.is_idle and worker.plugin not in spared]
        for worker in sorted(idle, key=lambda worker: worker.idle_since):
            going.append(worker)
            excess -= worker.memory_mb
            if excess <= 0 or len(going) == len(here):
                return going
        return None

    async def _start(self, worker: WorkerProcess, plugin: InstalledPlugin, evicted: list[WorkerProcess]) -> None:
        def report(line: str) -> None:
            logging.getLogger("stable_core").info("%s: %s", plugin.name, line)
            self.notes[plugin.name] = line
            self._on_report(plugin.name, line)

        variables = {
            "PYDANTIC_DISABLE_PLUGINS": "__all__",  # it would look through every package of the environment
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),  # spinning slows all others
            "STABLE_CORE_ARTIFACTS": str(self._config.home / "artifacts"),
            "STABLE_CORE_MODELS": os.pathsep.join(map(str, self._config.model_roots())),
            "STABLE_CORE_DEVICE": worker.device,
        }
        seconds = self._config.settings.worker_start_seconds
        try:
            await asyncio.gather(*(one.stop() for one in evicted))
            python = await self._environments.ensure(plugin.environment, report)
            report(f"Starting {plugin.name}")
            await worker.start(self.host, python, plugin.source, plugin.target, variables, seconds)
        except StableCoreError as error:
            self._on_failure(plugin.name, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the plugin's jobs must not wait for ever
            hint = "Remove its environment to have it made again."
            self._on_failure(plugin.name, WorkerDied(f"The worker of {plugin.name} cannot be started: {error!r}", hint))
        finally:
            del self._starting[plugin.name, worker.device]
            self.notes.pop(plugin.name, None)
            if not worker.is_ready:
                self._gone(worker)
        self._on_change()

    def _gone(self, worker: WorkerProcess) -> None:
        key = (worker.plugin, worker.device)
        if self._workers.get(key) is worker:
            del self._workers[key]
        self._on_change()

    def end(self, plugin: str) -> None:
        """End the workers of a plugin, busy or not; what one has in hand dies with it."""
        for worker in self.workers:
            if worker.plugin.removesuffix(LIGHT) == plugin:
                worker.terminate()

    async def stop_idle_for_ever(self) -> None:
        """Stop each worker that has been idle for as long as the settings say."""
        while True:
            idle_seconds = self._config.settings.worker_idle_seconds or math.inf
            await asyncio.sleep(min(max(idle_seconds / 4, 0.1), IDLE_TURN_SECONDS))
            await self.stop_idle(idle_seconds)

    async def stop_idle(self, idle_seconds: float = 0) -> None:
        """Stop the workers that have been idle this long."""
        latest = time.monotonic() - idle_seconds
        idle = [worker for worker in self.workers if worker.is_idle and worker.idle_since <= latest]
        await asyncio.gather(*(worker.stop() for worker in idle))

    async def stop(self) -> None:
        """Stop every worker, busy or not."""
        begun = [self._asking, *self._starting.values()]
        for one in begun:
            one.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        for worker in self.workers:
            if not worker.is_idle:
                worker.kill()
        await asyncio.gather(*(worker.stop() for worker in self.workers))
