"""Signatures: read off a typed function. `Plugin` announces them; by hand they are made as `JobSignature(...)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from stable_core.errors import BadAnnouncement
from stable_core.sdk.jobs import JobSignature
from stable_core.sdk.params import Params
from stable_core.sdk.ports import is_ports_class
from stable_core.sdk.progress import Progress


def read_signature(function: Callable[..., Any], kind: str = "job", **options: Any) -> JobSignature:
    """Read a signature off a function `(inputs…, params, progress) -> output`; params and progress may be left out.

    Raises:
        BadAnnouncement: an argument or the return value has no type that travels on a wire.
    """
    name = function.__name__
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise BadAnnouncement(f"{name} is async", "Job functions are plain functions; each worker runs one at a time.")
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise BadAnnouncement(f"{name}: {error}", "The types of a job must be known where it is announced.") from None
    params: type[Params] = Params
    ports: dict[str, Any] = {}
    order = []
    for argument in inspect.signature(function).parameters.values():
        hint = hints.get(argument.name)
        if hint is None:
            hint_text = "Annotate it, for example `image: Image`."
            raise BadAnnouncement(f"{name}: argument {argument.name!r} has no type", hint_text)
        if isinstance(hint, type) and issubclass(hint, Params):
            params = hint
            order.append("params")
        elif hint is Progress:
            order.append("progress")
        else:
            ports[argument.name] = hint if argument.default is inspect.Parameter.empty else hint | None
            order.append("input")
    if order[len(ports) :] not in ([], ["params"], ["params", "progress"]):
        hint_text = "There is one shape: (inputs…, params, progress) -> output."
        raise BadAnnouncement(f"{name}: arguments in the wrong order", hint_text)
    single = next(iter(ports.values())) if len(ports) == 1 else None
    taken = single if is_ports_class(single) else ports
    return JobSignature(name, function, taken, hints.get("return"), params, kind, **options)
