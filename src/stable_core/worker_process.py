"""One worker seen from the core: start it, give it a job, cancel, watch it die. It decides nothing about jobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from stable_core import protocol
from stable_core.errors import BadAnnouncement, ProtocolMismatch, StableCoreError, TimedOut, WorkerDied, error_from_dict
from stable_core.hosts.local import LocalHost
from stable_core.protocol import Message, MessageDecoder
from stable_core.worker_log import WorkerLog

TERM_SECONDS = 1.0
PIPE_SECONDS = 0.5

OnMessage = Callable[[Message], None]


@dataclass(eq=False)
class WorkerProcess(asyncio.SubprocessProtocol):
    """A worker process of one plugin on one device.

    A job ends with exactly one of the messages done, expanded, failed, cancelled or died; `on_message` gets it last.
    """

    plugin: str
    version: str
    device: str
    logs: Path
    """The folder that gets `<job id>.log` with what the plugin printed, at most 1 MiB each."""
    on_exit: Callable[[WorkerProcess], None]
    """Called once when the process has ended, after the job in hand got its `died`."""
    memory_mb: int = 0  # needed on its device

    def __post_init__(self) -> None:
        """Be ready for a start."""
        self.idle_since = time.monotonic()
        self.job_id: str | None = None
        self.is_ready = False
        self.log = WorkerLog(self.logs)
        self._decoder = MessageDecoder()
        self._on_message: OnMessage | None = None
        self._hello: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._exited = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._escalation: asyncio.TimerHandle | None = None
        self._fault: StableCoreError | None = None

    @property
    def pid(self) -> int:
        """The process id, 0 before the start."""
        return (self._transport.get_pid() or 0) if self._transport else 0

    @property
    def is_idle(self) -> bool:
        """Tell whether it could take a job now."""
        return self.is_ready and self.job_id is None

    async def start(
        self, host: LocalHost, python: Path, source: Path, target: str, variables: dict[str, str], seconds: float
    ) -> Message:
        """Start the process, wait for its hello and return what its plugin announces.

        Raises:
            BadAnnouncement: the plugin cannot be imported.
            WorkerDied: the process ended before it said hello.
            TimedOut: it said nothing for `seconds`.
            ProtocolMismatch: it speaks another version.
        """
        try:
            await host.start_worker(lambda: self, python, source, target, variables)
            async with asyncio.timeout(seconds):
                hello = await self._hello
            if "error" in hello:
                raise error_from_dict(hello["error"])
            if hello["version"] != protocol.VERSION:
                message = f"The worker of {self.plugin} speaks protocol {hello['version']}, not {protocol.VERSION}"
                raise ProtocolMismatch(message, "Restart the server.")
            if self._exited.is_set():  # it was buried before this could go on
                raise self._death()
        except BaseException as error:
            self.kill()
            if self._transport is not None:
                await self._exited.wait()
            if isinstance(error, TimeoutError):
                message = f"The worker of {self.plugin} said nothing for {seconds:g} s"
                raise TimedOut(message, "Its import hangs: heavy work belongs in the job functions.") from None
            raise
        self.is_ready = True
        self.idle_since = time.monotonic()
        announcement: Message = hello["plugin"]
        return announcement

    def run(self, message: Message, on_message: OnMessage) -> None:
        """Send a job to an idle worker."""
        self.job_id = message["job"]
        self._on_message = on_message
        self.log.expect(message["job"])
        self._send(message)

    def cancel(self, grace_seconds: float) -> None:
        """Ask the job in hand to stop; after the grace the process is terminated, then killed."""
        if self.job_id is None or self._escalation is not None:
            return
        self._send({"type": "cancel", "job": self.job_id})
        self._escalation = asyncio.get_running_loop().call_later(grace_seconds, self.terminate)

    def ask(self, wish: str) -> None:
        """Tell the job in hand to `interrupt` or `skip`; it may take its time, or not know how to."""
        if self.job_id is not None:
            self._send({"type": wish, "job": self.job_id})

    def terminate(self) -> None:
        """Ask the process to end; a second later it is killed."""
        self._signal("terminate")
        self._escalation = asyncio.get_running_loop().call_later(TERM_SECONDS, self.kill)

    def kill(self) -> None:
        """End the process at once."""
        self._signal("kill")

    def _signal(self, how: Literal["terminate", "kill"]) -> None:
        self.is_ready = False
        if self._transport is not None and not self._exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                getattr(self._transport, how)()

    async def stop(self, grace_seconds: float = 2.0) -> None:
        """Let the worker unload and exit; end it by force when it does not."""
        self.is_ready = False
        if self._transport is None:
            return
        self._send({"type": "exit"})
        try:
            await asyncio.wait_for(self._exited.wait(), grace_seconds)
        except TimeoutError:
            self.kill()
            await self._exited.wait()

    def _send(self, message: Message) -> None:
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(protocol.encode_message(message))

    # -- called by the event loop --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport of the started process."""
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is no subclass of asyncio's
        self._stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take messages from stdout and log text from stderr."""
        if fd == 2:
            self.log.write(data)
            return
        try:
            for message in self._decoder.feed(data):
                self._take(message)
        except ProtocolMismatch as error:
            self._fault = error
            self.kill()

    def _take(self, message: Message) -> None:
        if message["type"] == "hello":
            if not self._hello.done():
                self._hello.set_result(message)
        elif message.get("job") == self.job_id and self._on_message is not None:
            on_message = self._on_message
            if message["type"] in ("done", "expanded", "failed", "cancelled"):
                self._release()
            on_message(message)

    def _release(self) -> None:
        if self._escalation is not None and self.is_ready:  # one that was told to end must end, with a job or without
            self._escalation.cancel()
            self._escalation = None
        self.job_id = self._on_message = None
        self.idle_since = time.monotonic()

    def process_exited(self) -> None:
        """End what it has started too, and give the pipes, which may hold its last words, a moment to end."""
        with contextlib.suppress(AttributeError, ProcessLookupError, PermissionError):  # Windows has no killpg
            os.killpg(self.pid, signal.SIGKILL)
        asyncio.get_running_loop().call_later(PIPE_SECONDS, self._bury)

    def connection_lost(self, exc: Exception | None) -> None:
        """The process has ended and its pipes are read to the end."""
        self._bury()

    def _bury(self) -> None:
        if self._exited.is_set():
            return
        self._exited.set()
        error = self._fault or self._death()
        if not self._hello.done():
            is_plain_death = isinstance(error, WorkerDied)
            failed = BadAnnouncement(error.message, error.hint, self.log.tail) if is_plain_death else error
            self._hello.set_exception(failed)
            self._hello.exception()
        on_message, job_id = self._on_message, self.job_id
        self._release()
        self.is_ready = False
        if on_message is not None:
            on_message({"type": "died", "job": job_id, "error": error.to_dict()})
        self.log.close()
        if self._transport is not None:
            self._transport.close()
        self.on_exit(self)

    def _death(self) -> WorkerDied:
        code = self._transport.get_returncode() if self._transport else None
        how, hint = _describe_exit(code)
        tail = self.log.tail.strip()
        return WorkerDied(f"The worker of {self.plugin} {how}" + (f". Its last words:\n{tail}" if tail else ""), hint)


def _describe_exit(code: int | None) -> tuple[str, str]:
    """Say in words how a process ended and what may have been the reason."""
    retry = "Retry the job; if it happens again, report it to the plugin's author."
    if code is None:
        return "ended", retry
    if code >= 0:
        return f"ended by itself with exit code {code}", retry
    name: Any = f"signal {-code}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(-code).name
    if -code == 9:
        return f"was killed ({name})", "Perhaps the machine ran out of memory: use a smaller size or batch."
    return f"crashed ({name})", retry
