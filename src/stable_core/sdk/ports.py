"""Ports: the ends of wires, read off the types that a plugin author writes. What flows through them is in artifacts."""

from __future__ import annotations

import types
from collections.abc import Generator, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from stable_core.errors import BadAnnouncement
from stable_core.sdk.artifacts import ARTIFACT_TYPES

LISTS = (list, Iterator, Iterable, Generator)
"""The generic types that stand for several values of a port."""


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


def is_ports_class(declared: Any) -> bool:
    """Tell a dataclass whose fields are ports from the artifact types that are dataclasses themselves."""
    return isinstance(declared, type) and is_dataclass(declared) and declared not in ARTIFACT_TYPES.values()


def ports_of(declared: Any, job: str, default_name: str = "") -> Iterator[Port]:
    """Yield the ports that a type declares: an artifact type, a dict of port name to type, a dataclass, or None.

    Args:
        job: the name of the job, for the error.
        default_name: of the port of a bare artifact type; without one it is named by its type.

    Raises:
        BadAnnouncement: a type travels on no wire.
    """
    if declared is None or declared is types.NoneType:
        return
    if isinstance(declared, dict):
        for name, hint in declared.items():
            yield _port(name, hint, job)
    elif is_ports_class(declared):
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
    is_list = origin in LISTS
    item = get_args(bare)[0] if is_list else bare
    found = next((known for known, cls in ARTIFACT_TYPES.items() if item == cls), None)
    if found is None:
        what = f"input {name!r}" if name else "the output"
        known = ", ".join(sorted(known.capitalize() for known in ARTIFACT_TYPES))
        hint_text = f"Types of ports are {known}, or a list of one."
        raise BadAnnouncement(f"{job}: {what} has type {item!r}, which travels on no wire", hint_text)
    return Port(name, found, is_list, is_optional)


def _strip_optional(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not types.NoneType]
        if len(rest) == 1:
            return rest[0], len(rest) < len(get_args(hint))
    return hint, False
