"""Jobs: what can run (`JobSignature` and its ports), one run described but not started (`Job`), and the states of a run."""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from stable_core.errors import BadAnnouncement
from stable_core.sdk.artifacts import ARTIFACT_TYPES
from stable_core.sdk.params import Params, check_params
from stable_core.sdk.progress import Progress

Output_co = TypeVar("Output_co", covariant=True)


class JobState(enum.StrEnum):
    """Where a job is. `waiting` needs other jobs first; `queued` could run now; the last three are final."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Tell whether the job will never change again, except by retry."""
        return not TRANSITIONS[self] - {JobState.QUEUED, JobState.WAITING}


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.WAITING: frozenset({JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.QUEUED: frozenset(set(JobState) - {JobState.QUEUED}),
    JobState.RUNNING: frozenset(set(JobState) - {JobState.RUNNING}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED, JobState.WAITING}),
    JobState.CANCELLED: frozenset({JobState.QUEUED, JobState.WAITING}),
}
"""The legal next states. Failed and cancelled jobs leave their state only by retry."""


@dataclass(frozen=True)
class Port:
    """One wire's end: its name, the artifact type that fits, whether it takes a list, and whether it may stay empty."""

    name: str
    type: str
    is_list: bool = False
    is_optional: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the port as the announcement shows it."""
        return {"name": self.name, "type": self.type, "list": self.is_list, "optional": self.is_optional}


@dataclass(frozen=True)
class Job(Generic[Output_co]):
    """One run that is described, not started: a signature with its inputs and params.

    An input is a value, another `Job` whose output it takes, or a list of these.
    """

    signature: JobSignature
    inputs: dict[str, Any]
    params: Params


@dataclass(frozen=True)
class JobSignature:
    """What a plugin announces: name, function, input type, output type, parameter class.

    `input` is an artifact type, a dict of port name to type, a dataclass whose fields are the ports, or None. `output` is
    the same, and may be `list[...]` of a type or an iterator of it, whose items are streamed as they are made.
    """

    name: str
    function: Callable[..., Any]
    input: Any
    output: Any
    params: type[Params] = Params
    kind: str = "job"
    cached: bool = True
    timeout_seconds: float | None = None
    plugin: str = ""
    inputs: tuple[Port, ...] = field(init=False)
    outputs: tuple[Port, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Read the ports off the types.

        Raises:
            BadAnnouncement: a name or a type that cannot be announced.
        """
        if not self.name.isidentifier() or not self.name.islower():
            raise BadAnnouncement(f"{self.name!r} is no name for a job", "Use lowercase letters, digits and underscores.")
        object.__setattr__(self, "inputs", tuple(_ports(self.input, "input", self.name)))
        invoked = self.kind == "invocation"
        object.__setattr__(self, "outputs", tuple(_ports(_strip_job(self.output) if invoked else self.output, "", self.name)))

    @property
    def full_name(self) -> str:
        """Return `plugin.job`."""
        return f"{self.plugin}.{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return the announcement: all that any client gets to draw and call this job."""
        doc = inspect.cleandoc(self.function.__doc__ or "")
        return {
            "name": self.full_name,
            "kind": self.kind,
            "title": doc.split("\n", 1)[0].strip(),
            "description": doc,
            "inputs": [port.to_dict() for port in self.inputs],
            "outputs": [port.to_dict() for port in self.outputs],
            "params": self.params.model_json_schema(),
            "cached": self.cached,
            "timeout_seconds": self.timeout_seconds,
        }

    def job(self, *inputs: Any, **named: Any) -> Job[Any]:
        """Describe one run: `signature.job(prompt, params)`; inputs by position or port name, params last or by name."""
        names = [port.name for port in self.inputs] + ["params"]
        if len(inputs) > len(names):
            raise TypeError(f"{self.full_name} takes {len(names)} arguments, got {len(inputs)}")
        given = dict(zip(names, inputs, strict=False)) | named
        params = given.pop("params", None)
        if params is None and given and isinstance(last := list(given.values())[-1], Params):
            params = last
            del given[list(given)[-1]]
        unknown = set(given) - {port.name for port in self.inputs}
        if unknown:
            raise TypeError(f"{self.full_name} has no input {', '.join(sorted(unknown))}")
        return Job(self, given, params if params is not None else check_params(self.params, {}))


def read_signature(function: Callable[..., Any], kind: str = "job", **options: Any) -> JobSignature:
    """Read a signature off a function `(inputs…, params, progress) -> output`; params and progress may be left out.

    Raises:
        BadAnnouncement: an argument or the return value has no type that travels on a wire.
    """
    hints = get_type_hints(function, include_extras=True)
    defaults = {name: argument.default for name, argument in inspect.signature(function).parameters.items()}
    params: type[Params] = Params
    ports: dict[str, Any] = {}
    for name, default in defaults.items():
        hint = hints.get(name)
        if isinstance(hint, type) and issubclass(hint, Params):
            params = hint
        elif hint is Progress:
            continue
        elif hint is None:
            raise BadAnnouncement(f"{function.__name__}: argument {name!r} has no type", "Annotate it, for example `image: Image`.")
        else:
            ports[name] = hint if default is inspect.Parameter.empty else hint | None
    single = next(iter(ports.values())) if len(ports) == 1 else None
    taken = single if is_dataclass(single) and single not in ARTIFACT_TYPES.values() else ports
    output = hints.get("return", types.NoneType)
    return JobSignature(function.__name__, function, taken, output, params, kind, **options)


def _ports(declared: Any, default_name: str, job: str) -> Iterator[Port]:
    if declared is None or declared is types.NoneType:
        return
    if isinstance(declared, dict):
        for name, hint in declared.items():
            yield _port(name, hint, job)
    elif is_dataclass(declared) and declared not in ARTIFACT_TYPES.values():
        hints = get_type_hints(declared, include_extras=True)
        for item in fields(declared):
            optional = item.default is not MISSING or item.default_factory is not MISSING
            yield _port(item.name, hints[item.name] | None if optional else hints[item.name], job)
    else:
        port = _port(default_name, declared, job)
        yield port if port.name else Port(port.type, port.type, port.is_list, port.is_optional)


def _port(name: str, hint: Any, job: str) -> Port:
    bare, is_optional = _strip_optional(hint)
    origin = get_origin(bare)
    is_list = origin in (list, Iterator, Iterable, Generator)
    item = get_args(bare)[0] if is_list else bare
    found = next((known for known, cls in ARTIFACT_TYPES.items() if item == cls), None)
    if found is None:
        what = f"input {name!r}" if name else "the output"
        known = ", ".join(sorted(known.capitalize() for known in ARTIFACT_TYPES))
        raise BadAnnouncement(f"{job}: {what} has type {item!r}, which travels on no wire", f"Types of ports are {known}, or a list of one.")
    return Port(name, found, is_list, is_optional)


def _strip_optional(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not types.NoneType]
        if len(rest) == 1:
            return rest[0], len(rest) < len(get_args(hint))
    return hint, False


def _strip_job(hint: Any) -> Any:
    """Turn what an invocation returns into what its jobs make: `list[Job[Image]]` → `list[Image]`."""
    if get_origin(hint) is list:
        return list[_strip_job(get_args(hint)[0])]  # type: ignore[misc]
    if get_origin(hint) is Job:
        inner = get_args(hint)[0]
        return get_args(inner)[0] if get_origin(inner) is list else inner
    return hint
