"""Params against the announced JSON Schema: completed, with concrete seeds, or refused. It knows no params class."""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from stable_core.errors import InvalidParams
from stable_core.sdk.params import resolve_seeds


class ParamsCheck:
    """Checks params against one JSON Schema and fills in defaults and random seeds."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._properties: dict[str, Any] = schema.get("properties", {})
        self.defaults = {name: field["default"] for name, field in self._properties.items() if "default" in field}
        self._validator = jsonschema_rs.Draft202012Validator(schema)

    def __call__(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the complete params; of a sweep, every value is checked.

        Raises:
            InvalidParams: naming every wrong param.
        """
        complete = resolve_seeds(self._schema, {**self.defaults, **params})
        sweeps = {name: value["each"] for name, value in complete.items() if is_sweep(value)}
        fixed = {name: value for name, value in complete.items() if name not in sweeps}
        if not sweeps:
            self._check(fixed)
        for name, values in sweeps.items():
            others = {other: swept[0] for other, swept in sweeps.items() if swept}
            for value in values:
                self._check({**fixed, **others, name: value})
        return complete

    def _check(self, values: dict[str, Any]) -> None:
        if self._validator.is_valid(values):
            return
        wrong = [
            f"{'.'.join(map(str, error.instance_path)) or 'params'}: {error.message}"
            for error in self._validator.iter_errors(values)
        ]
        raise InvalidParams("; ".join(wrong), f"Params are {', '.join(self._properties) or 'none'}.")


def is_sweep(value: Any) -> bool:
    """Tell whether a value is {"each": [...]}."""
    return isinstance(value, dict) and set(value) == {"each"} and isinstance(value["each"], list)
