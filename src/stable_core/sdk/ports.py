"""Ports: the ends of wires, read off the types that a plugin author writes. What flows through them is in artifacts."""

from __future__ import annotations

import types
from collections.abc import Generator, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from stable_core.errors import BadAnnouncement
from stable_core.sdk.artifacts import ARTIFACT_TYPES
from stable_core.sdk.params import Counted

LISTS = (list, Iterator, Iterable, Generator)
"""The generic types that stand for several values of a port."""


@dataclass(frozen=True)
class Port:
    """One wire's end: its name, the artifact type that fits, whether it takes a list, and whether it may stay empty."""

    name: str
    type: str
    is_list: bool = False
    is_optional: bool = False
    ui: dict[str, Any] | None = None
    """How a form shows it, as the `x-ui` hints of a param."""

    def to_dict(self) -> dict[str, Any]:
        """Return the port as the announcement shows it."""
        shown = {"x-ui": self.ui} if self.ui else {}
        return {"name": self.name, "type": self.type, "list": self.is_list, "optional": self.is_optional, **shown}


def is_ports_class(declared: Any) -> bool:
    """Tell a dataclass whose fields are ports from the artifact types that are dataclasses themselves."""
    return isinstance(declared, type) and is_dataclass(declared) and declared not in ARTIFACT_TYPES.values()


def ports_of(declared: Any, job: str, default_name: str = "") -> tuple[Port, ...]:
    """Return the ports that a type declares: an artifact type, a dict of port name to type, a dataclass, or None.

    Args:
        job: the name of the job, for the error.
        default_name: of the port of a bare artifact type; without one it is named by its type.

    Raises:
        BadAnnouncement: a type travels on no wire.
    """
    hints: dict[str, Any] = {}
    if isinstance(declared, dict):
        hints = declared
    elif is_ports_class(declared):
        known = get_type_hints(declared, include_extras=True)
        for item in fields(declared):
            has_default = item.default is not MISSING or item.default_factory is not MISSING
            hints[item.name] = known[item.name] | None if has_default else known[item.name]
    elif declared not in (None, types.NoneType):
        hints[default_name] = declared
    return tuple(_port(name, hint, job) for name, hint in hints.items())


def _port(name: str, hint: Any, job: str) -> Port:
    args = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    rest = [arg for arg in args if arg is not types.NoneType]
    bare = rest[0] if len(rest) == 1 else hint
    is_list = get_origin(bare) in LISTS
    item, ui = get_args(bare)[0] if is_list else bare, None
    if get_origin(item) is Annotated and isinstance(item.__metadata__[-1], Counted):
        item, ui = item.__origin__, item.__metadata__[-1].ui
    for type_name, cls in ARTIFACT_TYPES.items():
        if item == cls:
            return Port(name or type_name, type_name, is_list, is_optional=len(rest) < len(args), ui=ui)
    what = f"input {name!r}" if name else "the output"
    known = ", ".join(sorted(type_name.capitalize() for type_name in ARTIFACT_TYPES))
    told = f"{job}: {what} has type {item!r}, which travels on no wire"
    raise BadAnnouncement(told, f"Types of ports are {known}, or a list of one.")
