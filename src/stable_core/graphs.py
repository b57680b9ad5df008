"""Requests and graphs: check them, put outputs in place of references, unfold sweeps. Nothing is stored or run here.

An input is a text, {"data": …}, {"artifact": id}, {"job": key or id, "output": port}, {"each": […]}, or a list of
these. A param is a value or {"each": […]}. Where more than one value arrives at a single port the job maps over them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

from stable_core.errors import BadRequest, InvalidInput
from stable_core.params_check import is_sweep
from stable_core.sdk.artifacts import fits

Signature = dict[str, Any]
Request = dict[str, Any]
TypeOf = Callable[[Any], str]

REQUEST_FIELDS = {
    "job": str,
    "inputs": dict,
    "params": dict,
    "priority": int,
    "timeout": (int, float, type(None)),
    "cache": bool,
    "map": str,
}
MAX_FAN_OUT = 10_000
MAX_TIMEOUT_SECONDS = 1e9
MAX_NESTING = 100


def check_request(request: Any) -> Request:
    """Return the request with its optional fields filled in.

    Raises:
        BadRequest: it is not of the documented form.
    """
    check_json(request)
    return _filled(request)


def check_json(value: Any) -> None:
    """Refuse what has no form in JSON: clients written in Python can send anything.

    Raises:
        BadRequest: it has none, or is nested too deeply.
    """
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise BadRequest("A text is not Unicode: it has half of a surrogate pair") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"The request has no form in JSON: {error}") from None
    level = [value]
    for _ in range(MAX_NESTING):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [item for items in inner for item in items]
        if not level:
            return
    raise BadRequest(f"The request is nested more than {MAX_NESTING} deep")


def _filled(request: Any) -> Request:
    if not isinstance(request, dict):
        raise BadRequest(
            "A job request is a JSON object",
            'For example {"job": "invert.invert", "inputs": {"image": {"artifact": "…"}}}.',
        )
    for name, value in request.items():
        expected = REQUEST_FIELDS.get(name)
        if expected is None:
            raise BadRequest(f"A job request has no field {name!r}", f"Fields are {', '.join(REQUEST_FIELDS)}.")
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):  # type: ignore[arg-type]
            raise BadRequest(
                f"The field {name!r} has the wrong type: {type(value).__name__}",
                "See /docs for the form of a job request.",
            )
    if "job" not in request:
        raise BadRequest("The field 'job' is missing", "It is the full name of a signature, for example sd.txt2img.")
    filled = {"inputs": {}, "params": {}, "priority": 0, "timeout": None, "cache": True, "map": "zip", **request}
    if (
        abs(filled["priority"]) > 2**31
        or filled["map"] not in ("zip", "product")
        or (filled["timeout"] is not None and not 0 < filled["timeout"] <= MAX_TIMEOUT_SECONDS)
    ):
        raise BadRequest("'priority' is a 32-bit number, 'map' is zip or product, 'timeout' is 0 to 10^9 seconds")
    return filled


def check_document(document: Any) -> dict[str, Request]:
    """Return the checked requests of a graph document by key, each after those it refers to.

    Raises:
        BadRequest: it is no graph document of version 1.
        InvalidInput: its jobs refer to each other in a circle.
    """
    if not isinstance(document, dict) or document.get("version") != 1 or not isinstance(document.get("jobs"), dict):
        raise BadRequest(
            "This is no graph document of version 1",
            'It has the form {"version": 1, "jobs": {key: request}, "ui": {}}.',
        )
    unknown = set(document) - {"version", "jobs", "ui"}
    if unknown or not document["jobs"] or "" in document["jobs"]:
        wrong = "A key is empty" if document["jobs"] else "The graph has no jobs"
        raise BadRequest(f"Unknown fields: {', '.join(sorted(unknown))}" if unknown else wrong)
    check_json(document)
    requests = {}
    for key, request in document["jobs"].items():
        try:
            requests[key] = _filled(request)
        except BadRequest as error:
            raise BadRequest(f"Job {key!r}: {error.message}", error.hint) from None
    ordered: dict[str, Request] = {}
    remaining = {
        key: {ref["job"] for ref in references(request["inputs"])} & set(requests) for key, request in requests.items()
    }
    while remaining:
        free = [key for key, needs in remaining.items() if not needs - set(ordered)]
        if not free:
            raise InvalidInput(
                f"These jobs wait for each other in a circle: {', '.join(sorted(remaining))}",
                "Remove one of the wires.",
            )
        for key in free:
            ordered[key] = requests[key]
            del remaining[key]
    return ordered


def leaves(value: Any) -> Iterator[Any]:
    """Yield each single value of an input in order: lists and sweeps are opened, {"data": …} stays closed."""
    if is_sweep(value):
        value = value["each"]
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def references(inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every reference to another job in some inputs."""
    for leaf in leaves(list(inputs.values())):
        if isinstance(leaf, dict) and isinstance(leaf.get("job"), str):
            yield leaf


def artifact_ids(inputs: dict[str, Any]) -> Iterator[str]:
    """Yield every artifact id in some inputs."""
    for leaf in leaves(list(inputs.values())):
        if isinstance(leaf, dict) and isinstance(leaf.get("artifact"), str):
            yield leaf["artifact"]


def with_job_ids(inputs: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """Return the inputs with the keys of a document replaced by job ids."""

    def replaced(value: Any) -> Any:
        if isinstance(value, list):
            return [replaced(item) for item in value]
        if is_sweep(value):
            return {"each": replaced(value["each"])}
        if isinstance(value, dict) and "job" in value:
            return {**value, "job": ids.get(value["job"], value["job"])}
        return value

    return {name: replaced(value) for name, value in inputs.items()}


def check_inputs(signature: Signature, inputs: dict[str, Any], type_of: TypeOf) -> None:
    """Refuse inputs that do not fit the ports; `type_of` tells the type of an artifact or a reference.

    Raises:
        InvalidInput: naming the port and what fits it.
    """
    ports = {port["name"]: port for port in signature["inputs"]}
    for name in inputs:
        if name not in ports:
            raise InvalidInput(
                f"{signature['name']} has no input {name!r}", f"Its inputs are {', '.join(ports) or 'none'}."
            )
    for name, port in ports.items():
        value = inputs.get(name)
        if value is None:
            if not port["optional"]:
                raise InvalidInput(f"{signature['name']} needs the input {name!r}", f"It takes {port['type']}.")
            continue
        for item in leaves(value):
            if not isinstance(item, str) and not _is_leaf(item):
                hint = 'Use a text, {"artifact": …}, {"job": …}, {"data": …} or a list.'
                raise InvalidInput(f"{name!r} is no input value: {json.dumps(item)[:100]}", hint)
            found = "text" if isinstance(item, str) else "data" if "data" in item else type_of(item)
            if not fits(found, port["type"]):
                raise InvalidInput(f"{name!r} takes {port['type']}, not {found}", _hint_for(port, found))


def _hint_for(port: dict[str, Any], found: str) -> str:
    if found == "text":
        return f'Upload the {port["type"]} first and pass {{"artifact": "<id>"}}.'
    return f"Wire in a job that makes {port['type']}, or put one in between that converts."


def _is_leaf(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    names = set(value)
    return (
        names == {"data"}
        or (names == {"artifact"} and isinstance(value["artifact"], str))
        or (
            names <= {"job", "output"}
            and isinstance(value.get("job"), str)
            and value["job"] != ""
            and isinstance(value.get("output", ""), str)
        )
    )


def output_port(signature: Signature, reference: dict[str, Any]) -> dict[str, Any]:
    """Return the output port that a reference means: the named one, or the first.

    Raises:
        InvalidInput: there is no such port.
    """
    ports: list[dict[str, Any]] = signature["outputs"]
    wanted = reference.get("output")
    for port in ports:
        if wanted in (None, port["name"]):
            return port
    names = ", ".join(port["name"] for port in ports) or "none"
    raise InvalidInput(
        f"{signature['name']} has no output {wanted!r}" if wanted else f"{signature['name']} makes nothing",
        f"Its outputs: {names}.",
    )


def resolve_inputs(
    signature: Signature, inputs: dict[str, Any], outputs_of: Callable[[dict[str, Any]], list[Any]]
) -> dict[str, list[Any]]:
    """Return for each port the flat list of values, references replaced by what their jobs made.

    A swept list port has a list for each step of the sweep.
    """

    def flat(value: Any) -> list[Any]:
        found = []
        for leaf in leaves(value):
            is_reference = isinstance(leaf, dict) and "job" in leaf
            found += [{"artifact": artifact["id"]} for artifact in outputs_of(leaf)] if is_reference else [leaf]
        return found

    list_ports = _list_ports(signature)
    return {
        name: [flat(step) for step in value["each"]] if name in list_ports and is_sweep(value) else flat(value)
        for name, value in inputs.items()
        if value is not None
    }


def _list_ports(signature: Signature) -> set[str]:
    return {port["name"] for port in signature["inputs"] if port["list"]}


def fan_out(
    signature: Signature, inputs: dict[str, list[Any]], params: dict[str, Any], how: str
) -> list[Request] | None:
    """Return the inputs and params of each child when the job maps over lists or sweeps, or None when it runs once.

    Raises:
        InvalidInput: the lists do not have the same length (with zip), or there are too many combinations.
    """
    list_ports = _list_ports(signature)
    mapped = {
        name: values
        for name, values in inputs.items()
        if (len(values) != 1 if name not in list_ports else values and isinstance(values[0], list))
    }
    swept = {name: value["each"] for name, value in params.items() if is_sweep(value)}
    if not mapped and not swept:
        return None
    lists = [*mapped.values(), *swept.values()]
    if how == "zip" and len({len(values) for values in lists}) > 1:
        found = ", ".join(f"{name}: {len(values)}" for name, values in [*mapped.items(), *swept.items()])
        hint = 'Make them equally long, or ask for "map": "product".'
        raise InvalidInput(f"Lists of different length cannot be paired ({found})", hint)
    combinations = zip(*lists, strict=True) if how == "zip" else itertools.product(*lists)
    chosen = list(itertools.islice(combinations, MAX_FAN_OUT + 1))
    if len(chosen) > MAX_FAN_OUT:
        raise InvalidInput(f"The sweep has more than {MAX_FAN_OUT} combinations", "Split it into several jobs.")
    return [
        {
            "inputs": {**inputs, **dict(zip(mapped, combination, strict=False))},
            "params": {**params, **dict(zip(swept, combination[len(mapped) :], strict=True))},
        }
        for combination in chosen
    ]


def single_inputs(signature: Signature, inputs: dict[str, list[Any]]) -> dict[str, Any]:
    """Return inputs for one run: lists for list ports, the one value for the others."""
    list_ports = _list_ports(signature)
    return {name: values if name in list_ports else values[0] for name, values in inputs.items()}
