"""Jobs: what can run (`JobSignature`), one described run (`Job`), the states of a run. Nothing runs here."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, get_args, get_origin

from stable_core.errors import BadAnnouncement, PluginRaised
from stable_core.sdk.params import Params, check_params, schema_without_secrets
from stable_core.sdk.ports import LISTS, Port, is_ports_class, ports_of
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
        return self in _ENDINGS


_ENDINGS = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.WAITING: _ENDINGS | {JobState.QUEUED},
    JobState.QUEUED: _ENDINGS | {JobState.WAITING, JobState.RUNNING},
    JobState.RUNNING: _ENDINGS | {JobState.WAITING, JobState.QUEUED},
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.WAITING, JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.WAITING, JobState.QUEUED}),
}
"""The legal next states. Failed and cancelled jobs leave their state only by retry."""


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

    `input` is an artifact type, a dict of port name to type, a dataclass whose fields are the ports, or None. `output`
    is the same, and may be `list[...]` of a type or an iterator of it, whose items are streamed as they are made.
    `function` takes the inputs in that order, then params, then progress; it may leave out the last or both.
    """

    name: str
    function: Callable[..., Any]
    input: Any
    output: Any
    params: type[Params] = Params
    kind: str = "job"
    cached: bool = True
    timeout_seconds: float | None = None
    light: bool = False
    plugin: str = ""
    inputs: tuple[Port, ...] = field(init=False)
    outputs: tuple[Port, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Read the ports off the types.

        Raises:
            BadAnnouncement: a name or a type that cannot be announced.
        """
        if not self.name.isidentifier() or not self.name.islower():
            hint = "Use lowercase letters, digits and underscores."
            raise BadAnnouncement(f"{self.name!r} is no name for a job", hint)
        output = _strip_job(self.output, self.name) if self.kind == "invocation" else self.output
        object.__setattr__(self, "inputs", ports_of(self.input, self.name, "input"))
        object.__setattr__(self, "outputs", ports_of(output, self.name))
        clashes = {port.name for port in self.inputs} & {*self.params.model_fields, "params", "progress"}
        if clashes:
            hint = "Rename the input: clients show inputs and params side by side."
            raise BadAnnouncement(f"{self.name}: {min(clashes)!r} is both an input and a param", hint)

    @property
    def full_name(self) -> str:
        """Return `plugin.job`."""
        return f"{self.plugin}.{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return the announcement: all that any client gets to draw and call this job.

        Raises:
            BadAnnouncement: a param is a Secret.
        """
        doc = inspect.cleandoc(self.function.__doc__ or "")
        return {
            "name": self.full_name,
            "kind": self.kind,
            "title": doc.split("\n", 1)[0].strip(),
            "description": doc,
            "inputs": [port.to_dict() for port in self.inputs],
            "outputs": [port.to_dict() for port in self.outputs],
            "params": schema_without_secrets(self.params, self.name),
            **{name: getattr(self, name) for name in ("cached", "timeout_seconds", "light")},
        }

    def job(self, *inputs: Any, **named: Any) -> Job[Any]:
        """Describe one run: `signature.job(prompt, params)`; inputs by position or port name, params last or by name.

        Raises:
            TypeError: an input is unknown or missing, or the params are another job's.
        """
        values = list(inputs)
        if values and isinstance(values[-1], Params):
            named["params"] = values.pop()
        if len(values) == 1 and is_ports_class(self.input) and isinstance(values[0], self.input):
            named |= vars(values.pop())
        ports = {port.name: port for port in self.inputs}
        if len(values) > len(ports):
            raise TypeError(f"{self.full_name} takes {len(ports)} inputs, got {len(values)}")
        given = dict(zip(ports, values, strict=False)) | named
        params = given.pop("params", None) or check_params(self.params, {})
        if not isinstance(params, self.params):
            raise TypeError(f"{self.full_name} takes {self.params.__name__}, not {type(params).__name__}")
        if unknown := sorted(set(given) - set(ports)):
            raise TypeError(f"{self.full_name} has no input {', '.join(unknown)}")
        if missing := [name for name, port in ports.items() if name not in given and not port.is_optional]:
            raise TypeError(f"{self.full_name} needs the input {', '.join(missing)}")
        return Job(self, given, params)

    @functools.cached_property
    def _arguments(self) -> tuple[inspect.Parameter, ...]:
        return tuple(inspect.signature(self.function).parameters.values())

    def call(self, inputs: dict[str, Any], params: Params, progress: Progress) -> Any:
        """Call the function with inputs by port name; an optional port that is missing gets its default or None."""
        offered: list[Any] = []
        if is_ports_class(self.input):
            offered = [self.input(**inputs)]
        else:
            for port, argument in zip(self.inputs, self._arguments, strict=False):
                default = None if argument.default is argument.empty else argument.default
                offered.append(inputs.get(port.name, default))
        offered += [params] if self.kind == "invocation" else [params, progress]
        return self.function(*offered[: len(self._arguments)])

    def outputs_of(self, result: Any) -> Iterator[tuple[Port, Any]]:
        """Yield each port with each value that a call returned for it, as soon as it is made.

        Raises:
            PluginRaised: the result is not of the announced shape.
        """
        for port in self.outputs:
            value = getattr(result, port.name, None) if is_ports_class(self.output) else result
            if value is None and port.is_optional:
                continue
            if not port.is_list:
                yield port, value
            elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, dict)):
                yield from ((port, item) for item in value)
            else:
                what = f"{self.full_name} announced a list of {port.type} and returned {type(value).__name__}"
                raise PluginRaised(what, "The plugin is at fault; report this to its author.")


def _strip_job(hint: Any, name: str) -> Any:
    """Turn what an invocation returns into what its jobs make: `list[Job[Image]]` becomes `list[Image]`."""
    is_list = get_origin(hint) is list
    job = get_args(hint)[0] if is_list else hint
    if get_origin(job) is not Job:
        hint_text = "It returns described jobs: Job[...] or list[Job[...]]."
        raise BadAnnouncement(f"{name}: an invocation returns {hint!r}", hint_text)
    made = get_args(job)[0]
    return list[made] if is_list and get_origin(made) not in LISTS else made  # type: ignore[valid-type]
