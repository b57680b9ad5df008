"""Every error of stable-core, one tree. No logic lives here.

StableCoreError
├── RequestError
│   ├── BadRequest
│   ├── InvalidParams
│   ├── InvalidInput
│   ├── NotFound
│   ├── Conflict
│   ├── NotAllowed
│   └── TooLarge
├── JobFailed
│   ├── PluginRaised
│   ├── OutOfMemory
│   ├── TimedOut
│   ├── WorkerDied
│   ├── InputFailed
│   └── StorageFull
├── PluginError
│   ├── BadAnnouncement
│   ├── EnvironmentFailed
│   └── ProtocolMismatch
└── ConfigError
JobCancelled
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar


class StableCoreError(Exception):
    """The base of every error; `hint` says what to do next."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, hint: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.traceback = traceback

    @classmethod
    def code(cls) -> str:
        """Return the stable name that crosses HTTP and the worker protocol: `InvalidParams` is `invalid_params`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def to_dict(self) -> dict[str, str]:
        """Return code, message, hint and, when there is one, the traceback of the plugin."""
        body = {"code": self.code(), "message": self.message, "hint": self.hint}
        return {**body, "traceback": self.traceback} if self.traceback else body


class RequestError(StableCoreError):
    """The request was refused; nothing ran."""

    status = 400


class BadRequest(RequestError):
    """The request is not of the documented form."""


class InvalidParams(RequestError):
    """A param is unknown, missing or out of its range."""

    status = 422


class InvalidInput(RequestError):
    """An input does not fit its port."""

    status = 422


class NotFound(RequestError):
    """There is no such job, signature, artifact or plugin."""

    status = 404


class Conflict(RequestError):
    """The request contradicts the present state."""

    status = 409


class NotAllowed(RequestError):
    """The caller may not do this."""

    status = 403


class TooLarge(RequestError):
    """The body is over the limit set by the settings."""

    status = 413


class JobFailed(StableCoreError):
    """The job ran and failed."""


class PluginRaised(JobFailed):
    """The plugin raised an exception; its traceback is kept."""


class OutOfMemory(JobFailed):
    """The device or the machine ran out of memory."""


class TimedOut(JobFailed):
    """The job ran longer than its timeout."""


class WorkerDied(JobFailed):
    """The worker process ended while it ran the job."""


class InputFailed(JobFailed):
    """A job that this one waits for failed or was cancelled."""


class StorageFull(JobFailed):
    """A result could not be written to disk."""


class PluginError(StableCoreError):
    """The plugin is at fault, not the request."""

    status = 409


class BadAnnouncement(PluginError):
    """The plugin cannot be imported or announces something that is not a signature."""


class EnvironmentFailed(PluginError):
    """The plugin's environment could not be made."""


class ProtocolMismatch(PluginError):
    """The worker speaks another version of the protocol, or none."""


class ConfigError(StableCoreError):
    """A setting or the home folder is unusable."""


class JobCancelled(BaseException):
    """A signal, not an error: raised out of `progress(...)` when the job was cancelled."""


def error_classes(base: type[StableCoreError] = StableCoreError) -> Iterator[type[StableCoreError]]:
    """Yield `base` and all classes below it, in the order of the tree above."""
    yield base
    for child in base.__subclasses__():
        yield from error_classes(child)


def error_from_dict(body: dict[str, Any]) -> StableCoreError:
    """Return the error that `to_dict` described; an unknown code gives the base class."""
    known = {cls.code(): cls for cls in error_classes()}
    cls = known.get(str(body.get("code")), StableCoreError)
    return cls(str(body.get("message", "")), str(body.get("hint", "")), str(body.get("traceback", "")))
