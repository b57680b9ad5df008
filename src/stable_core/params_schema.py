"""Params against the announced JSON Schema: completed, with concrete seeds, or refused. It knows no params class.

Params may hold groups, which are params themselves, optional ones (null else) and lists of them. `{"each": [...]}` in
place of any value, however deep, is a sweep.
"""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Callable
from typing import Any

import jsonschema_rs

from stable_core.errors import InvalidParams
from stable_core.sdk.params import MAX_SEED

Schema = dict[str, Any]
Place = tuple[str | int, ...]  # the names and indexes that lead to a value
Change = Callable[[Schema, Any], Any]
"""Gets the schema of one knob and its value and returns the value to put there."""


class ParamsSchema:
    """Completes and checks params against one JSON Schema and finds what its hints say of them."""

    def __init__(self, schema: Schema) -> None:
        self._schema = _with_groups(schema, schema.get("$defs", {}))
        self._validator = jsonschema_rs.Draft202012Validator(self._schema)

    def __call__(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the complete params; of a sweep, every value is checked.

        Raises:
            InvalidParams: naming every wrong param.
        """
        complete = _completed(self._schema, params, _concrete)
        swept = sweeps_in(complete)
        if not swept:
            self._check(complete)
        first = {place: values[0] for place, values in swept.items() if values}
        for place, values in swept.items():
            for value in values:
                self._check(with_values(complete, {**first, place: value}))
        return complete

    def _check(self, values: dict[str, Any]) -> None:
        if self._validator.is_valid(values):
            return
        wrong = [
            f"{'.'.join(map(str, error.instance_path)) or 'params'}: {_reason(error)}"
            for error in self._validator.iter_errors(values)
        ]
        raise InvalidParams("; ".join(wrong), f"Params are {', '.join(self._schema.get('properties', {})) or 'none'}.")

    def models_in(self, params: dict[str, Any]) -> list[tuple[str, str]]:
        """Return kind and name of each model file that complete params name; all of a kind that texts name are `*`."""
        found = [(kind, "*") for kind in self._schema.get("x-models", ())]

        def note(field: Schema, value: Any) -> None:
            kind = field.get("x-ui", {}).get("kind")
            if kind and value and isinstance(value, str):
                found.append((kind, value))

        _completed(self._schema, params, note)
        return found

    def without_secrets(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the complete params with every secret blanked."""
        return _completed(self._schema, params, lambda field, value: "" if field.get("writeOnly") else value)


def with_form(schema: Schema, form: dict[str, dict[str, Any]]) -> Schema:
    """Return a schema with some knobs as a user wants them: by dotted name, `default`, `minimum`, `maximum` and hints.

    A range is never wider than the plugin's own. What names no knob is logged and left out.
    """
    schema = copy.deepcopy(schema)
    for path, changes in form.items():
        *groups, last = path.split(".")
        field = schema
        wholes: list[dict[str, Any]] = []  # what the groups around the knob hold by default
        for name in groups:
            field = _own_group(schema, field).get("properties", {}).get(name, {})
            wholes = [whole[name] for whole in wholes if whole.get(name)] + [field.get("default") or {}]
        knob = _own_group(schema, field).get("properties", {}).get(last)
        if knob is None:
            logging.getLogger("stable_core").warning("A form of settings.json names %r, which is no knob", path)
            continue
        for key, value in changes.items():
            if key in _NARROWER:
                knob[key] = _NARROWER[key](knob.get(key, value), value)
            elif key != "default":
                knob["x-ui"] = {**knob.get("x-ui", {}), key: value}
            else:
                knob[key] = value
                for whole in wholes:
                    whole[last] = value
    return schema


_NARROWER = {"minimum": max, "maximum": min}


def _own_group(schema: Schema, field: Schema) -> Schema:
    """Return the group that a field refers to, after making it the field's own: others may refer to the same."""
    reference = next((option for option in field.get("anyOf", [field]) if "$ref" in option), None)
    if reference is None:
        return field
    group: Schema = copy.deepcopy(schema["$defs"][reference["$ref"].removeprefix("#/$defs/")])
    reference["$ref"] += f".{len(schema['$defs'])}"
    schema["$defs"][reference["$ref"].removeprefix("#/$defs/")] = group
    return group


def _with_groups(field: Schema, definitions: dict[str, Schema], within: tuple[str, ...] = ()) -> Schema:
    """Return a schema with the groups it refers to in place, so that schema and values have the same shape.

    A group inside itself stays a reference: its depth has no end.
    """
    options = [option for option in field.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1 < len(field["anyOf"]):
        group = _with_groups(options[0], definitions, within)
        if "properties" in group:
            own = {name: value for name, value in field.items() if name != "anyOf"}
            return {**group, "type": ["object", "null"], **own}
    name = field.get("$ref", "").removeprefix("#/$defs/")
    if name in definitions and name not in within:
        own = {name: value for name, value in field.items() if name != "$ref"}
        field, within = {**definitions[name], **own}, (*within, name)
    if "items" in field:
        field = {**field, "items": _with_groups(field["items"], definitions, within)}
    if "properties" in field:
        inner = {name: _with_groups(inner, definitions, within) for name, inner in field["properties"].items()}
        field = {**field, "properties": inner}
    return field


def _completed(group: Schema, values: dict[str, Any], change: Change) -> dict[str, Any]:
    """Return the values of a group with its defaults filled in and each knob's value changed."""
    fields = group.get("properties", {})
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    return {name: _changed(fields.get(name, {}), value, change) for name, value in {**defaults, **values}.items()}


def _changed(field: Schema, value: Any, change: Change) -> Any:
    if is_sweep(value):
        return {"each": [_changed(field, one, change) for one in value["each"]]}
    if isinstance(value, dict) and "properties" in field:
        return _completed(field, value, change)
    if isinstance(value, list) and "items" in field:
        return [_changed(field["items"], one, change) for one in value]
    return change(field, value)


def _concrete(field: Schema, value: Any) -> Any:
    """Return a seed in place of -1, and a choice in place of another name for it, in any case."""
    hints = field.get("x-ui", {})
    if value == -1 and hints.get("component") == "seed":
        return random.SystemRandom().randint(0, MAX_SEED)
    return hints.get("aliases", {}).get(value.strip().lower(), value) if isinstance(value, str) else value


def _reason(error: jsonschema_rs.ValidationError) -> str:
    """Return what is wrong with a value; of a union, with each of its kinds."""
    kinds = getattr(error.kind, "context", ())
    return ", or ".join(one.message for errors in kinds for one in errors) or error.message


def is_sweep(value: Any) -> bool:
    """Tell whether a value is {"each": [...]}."""
    return isinstance(value, dict) and set(value) == {"each"} and isinstance(value["each"], list)


def sweeps_in(values: dict[str, Any] | list[Any]) -> dict[Place, list[Any]]:
    """Return the values of each sweep in params by the place of the sweep; a sweep inside a sweep is none."""
    found: dict[Place, list[Any]] = {}
    for name, value in values.items() if isinstance(values, dict) else enumerate(values):
        if is_sweep(value):
            found[(name,)] = value["each"]
        elif isinstance(value, dict | list):
            found |= {(name, *place): swept for place, swept in sweeps_in(value).items()}
    return found


def with_values(params: dict[str, Any], chosen: dict[Place, Any]) -> dict[str, Any]:
    """Return params with some places taken by other values; the given ones are not changed."""
    for place, value in chosen.items():
        params = _with_value(params, place, value)
    return params


def _with_value(values: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    copy = values.copy()
    copy[place[0]] = _with_value(copy[place[0]], place[1:], value)
    return copy
