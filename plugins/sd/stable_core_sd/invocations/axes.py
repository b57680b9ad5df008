"""Axes of a plot: found by name, and what their values do to a run. Their list is in axis_list; it runs nothing."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from stable_core.sdk import InvalidParams, Params
from stable_core.sdk.params import describe_validation
from stable_core_sd.invocations.axis_list import AXES, NOTHING, Axis
from stable_core_sd.invocations.axis_values import (
    AxisType,
    Value,
    read_size,
    read_values,
    reorder_prompt,
    replace_prompt,
)
from stable_core_sd.params_faces import FaceParams
from stable_core_sd.params_scripts import AnyRunParams

TRUTHS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


@dataclass(frozen=True)
class Run:
    """What one cell of a plot is made of."""

    prompt: str
    negative_prompt: str
    knobs: Mapping[str, Any]
    """The params by place, such as `steps` or `noise.eta`."""

    def but(self, **knobs: Any) -> Run:
        """Return the run with other knobs; a dot in a place is written as two underscores."""
        changed = {place.replace("__", "."): value for place, value in knobs.items()}
        return Run(self.prompt, self.negative_prompt, {**self.knobs, **changed})


def find_axis(name: str, from_image: bool) -> Axis:
    """Return the axis of that name, in any case, or that of any knob by its place, such as `noise.eta`.

    Raises:
        InvalidParams: there is none, or it is for runs from the other kind of input.
    """
    wanted = name.strip().lower() or NOTHING.name.lower()
    axis = next((axis for axis in AXES if axis.name.lower() == wanted), None) or _axis_of_knob(wanted)
    if axis is None:
        known = ", ".join(axis.name for axis in AXES)
        raise InvalidParams(f"There is no axis {name!r}.", f"Axes are {known}, and any knob, such as noise.eta.")
    if axis.side not in ("both", "image" if from_image else "text"):
        needed = "a picture" if axis.side == "image" else "a prompt alone"
        raise InvalidParams(f"The axis {axis.name} is for runs from {needed}.", "Choose another one.")
    return axis


def read_axis(axis: Axis, text: str) -> list[Value]:
    """Return the values of an axis.

    Raises:
        InvalidParams: they cannot be read, or there are none.
    """
    try:
        values = read_values(axis.type, text)
    except ValueError as error:
        raise InvalidParams(f"{axis.name}: {error}.", "Write values as 10,20 or ranges as 1-5, 10-50(+10).") from None
    if not values:
        raise InvalidParams(f"The axis {axis.name} has no values.", "Write them as 10,20,30.")
    return values


def apply_value(run: Run, axis: Axis, value: Value, values: list[Value], from_image: bool) -> Run:
    """Return the run with the value of an axis applied.

    Raises:
        InvalidParams: it does not fit: no such text in the prompt, no size.
    """
    if axis.name == NOTHING.name:
        return run
    try:
        if axis.name == "Prompt S/R":
            prompts = replace_prompt([run.prompt, run.negative_prompt], str(values[0]), str(value))
            return Run(prompts[0], prompts[1], run.knobs)
        if isinstance(value, tuple):
            return Run(reorder_prompt(run.prompt, value), run.negative_prompt, run.knobs)
    except ValueError as error:
        raise InvalidParams(f"{error}.", "The first value must be part of the prompt.") from None
    if axis.name in RULES:
        return RULES[axis.name](run, value, from_image)
    if _knob_type(axis.knob) is bool:
        value = TRUTHS.get(str(value).lower(), value)
    return Run(run.prompt, run.negative_prompt, {**run.knobs, axis.knob: value})


def _with_denoising(run: Run, value: Value, from_image: bool) -> Run:
    return run.but(denoising_strength=value) if from_image else run.but(hires__denoising_strength=value)


def _with_extra_noise(run: Run, value: Value, from_image: bool) -> Run:
    return run.but(extra_noise=value) if from_image else run.but(hires__extra_noise=value)


def _with_styles(run: Run, value: Value, from_image: bool) -> Run:
    return run.but(styles=[*run.knobs["styles"], *filter(None, map(str.strip, str(value).split(",")))])


def _with_size(run: Run, value: Value, from_image: bool) -> Run:
    size = read_size(str(value))
    if size is None:
        raise InvalidParams(f"{value!r} is no size.", "Write sizes as 512x768.")
    return run.but(width=size[0], height=size[1])


def _with_faces(run: Run, value: Value, from_image: bool) -> Run:
    """Return the run with faces restored by the network of a name, or as the run itself says, or not at all."""
    named = {name.lower(): name for name in get_args(FaceParams.model_fields["model"].annotation)}
    wanted = str(value).strip().lower()
    if wanted in named:
        return run.but(restore_faces=True, faces__model=named[wanted])
    switches = {**TRUTHS, "y": True, "n": False, "none": False}
    if wanted not in switches:
        raise InvalidParams(f"{value!r} restores no faces.", f"Values are {', '.join(named.values())}, true and false.")
    return run.but(restore_faces=switches[wanted])


RULES: Mapping[str, Callable[[Run, Value, bool], Run]] = {
    "Denoising": _with_denoising,
    "Extra noise": _with_extra_noise,
    "Styles": _with_styles,
    "Size": _with_size,
    "Face restore": _with_faces,
}
"""What the axes do that set no single knob, with a value, in a run from a picture or not; they raise InvalidParams."""


def params_of(run: Run, label: str) -> AnyRunParams:
    """Return the params of a run.

    Raises:
        InvalidParams: one is out of range; the message names the cell by its label.
    """
    nested: dict[str, Any] = {"negative_prompt": run.negative_prompt}
    for place, value in run.knobs.items():
        group, _, name = place.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[name] = value
    try:
        return AnyRunParams.model_validate(nested)
    except ValidationError as error:
        raise InvalidParams(f"{label}: {describe_validation(error)}", "Change the values of the axis.") from None


def knobs_of(params: Params) -> dict[str, Any]:
    """Return the params of a run by place."""
    knobs: dict[str, Any] = {}
    for name in AnyRunParams.model_fields:
        value = getattr(params, name)
        if isinstance(value, Params):
            knobs |= {f"{name}.{inner}": found for inner, found in value.model_dump().items()}
        elif name != "negative_prompt":
            knobs[name] = value
    return knobs


def _axis_of_knob(place: str) -> Axis | None:
    """Return an axis for a knob that has no name of A1111's, by the type of its values."""
    known = _knob_type(place)
    if known is None:
        return None
    kinds: dict[Any, AxisType] = {int: "int", float: "float"}
    return Axis(place, kinds.get(known, "str"), place)


def _knob_type(place: str) -> type | None:
    """Return the type of the values of a knob, `str` for a choice; None if there is no such knob."""
    kind: Any = AnyRunParams
    for name in place.split("."):
        if not (isinstance(kind, type) and issubclass(kind, Params)) or name not in kind.model_fields:
            return None
        kind = kind.model_fields[name].annotation
        if get_origin(kind) in (Union, types.UnionType):
            kind = next(option for option in get_args(kind) if option is not types.NoneType)
    if isinstance(kind, type):
        return None if issubclass(kind, Params) else kind
    return str if get_origin(kind) is Literal else None
