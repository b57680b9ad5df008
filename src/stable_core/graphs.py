"""Requests and graphs: check them, put outputs in place of references, unfold sweeps. Nothing is stored or run here.

An input is a text, {"data": …}, {"artifact": id}, {"job": key or id, "output": port}, {"each": […]}, or a list of
these. {"each": […]} in place of any param, in groups too, sweeps it. Where more than one value arrives at a single
port the job maps over them.
"""

from __future__ import annotations

import graphlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from stable_core.errors import BadRequest, InvalidInput
from stable_core.params_schema import is_sweep, sweeps_in, with_values
from stable_core.sdk.artifacts import fits

Signature = dict[str, Any]
Request = dict[str, Any]
TypeOf = Callable[[Any], str]
Form = TypeVar("Form", bound=Struct)

MAX_FAN_OUT = 10_000
MAX_NESTING = 100

JobName = Annotated[str, Meta(description="the full name of a signature", examples=["sd.txt2img"])]
Priority = Annotated[int, Meta(ge=-(2**31), le=2**31, description="higher runs earlier")]
INPUT = 'text, {"data": JSON}, {"artifact": id}, {"job": key or id, "output": port}, or a list of these'
InputValue = Annotated[Any, Meta(description=INPUT, examples=["a red circle", {"artifact": "0" * 64}, {"job": "base"}])]


class JobRequest(Struct, forbid_unknown_fields=True):
    """What to run."""

    job: JobName
    inputs: dict[str, InputValue] = {}
    params: dict[str, Any] = {}
    priority: Priority = 0
    timeout: Annotated[float, Meta(gt=0, le=1e9, description="seconds the job may run")] | None = None
    cache: Annotated[bool, Meta(description="false runs the job again even if its result is known")] = True
    map: Annotated[Literal["zip", "product"], Meta(description="how several lists are combined")] = "zip"


class Document(Struct, forbid_unknown_fields=True, kw_only=True):
    """A graph document."""

    version: Literal[1]
    jobs: Annotated[dict[Annotated[str, Meta(min_length=1)], Any], Meta(min_length=1)]
    ui: Annotated[dict[str, Any], Meta(description="layout of an editor; ignored by the core")] = {}


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode  # made once: json.dumps makes one per call


def check_request(request: Any) -> Request:
    """Return the request with its optional fields filled in.

    Raises:
        BadRequest: it is not of the documented form.
    """
    _check_json(request)
    return msgspec.structs.asdict(_convert(request, JobRequest, "a job request"))


def _check_json(value: Any) -> None:
    """Refuse what has no form in JSON, because clients written in Python can send anything, or is nested too deeply."""
    try:
        _encode(value).encode()
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


def _convert(value: Any, form: type[Form], what: str) -> Form:
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise BadRequest(f"This is not {what}: {error}", "/docs shows the form of every request.") from None


def check_document(document: Any) -> dict[str, Request]:
    """Return the checked requests of a graph document by key, each after those it refers to.

    Raises:
        BadRequest: it is no graph document of version 1.
        InvalidInput: its jobs refer to each other in a circle.
    """
    _check_json(document)
    jobs = _convert(document, Document, "a graph document of version 1").jobs
    checked = {key: _convert(request, JobRequest, f"a job request, job {key!r}") for key, request in jobs.items()}
    requests = {key: msgspec.structs.asdict(request) for key, request in checked.items()}
    needs = {key: named_in(request["inputs"], "job") for key, request in requests.items()}
    try:
        ordered = list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        circle = ", ".join(sorted(set(error.args[1])))
        message = f"These jobs wait for each other in a circle: {circle}"
        raise InvalidInput(message, "Remove one of the wires.") from None
    return {key: requests[key] for key in ordered if key in requests}


def leaves(value: Any) -> Iterator[Any]:
    """Yield each single value of an input in order: lists and sweeps are opened, {"data": …} stays closed."""
    if is_sweep(value):
        value = value["each"]
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def named_in(inputs: dict[str, Any], kind: Literal["job", "artifact"]) -> list[str]:
    """Return the ids (or keys) of all jobs that some inputs refer to, or of all artifacts in them, each once."""
    named = (leaf.get(kind) for leaf in leaves(list(inputs.values())) if isinstance(leaf, dict))
    return list(dict.fromkeys(name for name in named if isinstance(name, str)))


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
    if unknown := inputs.keys() - ports:
        message = f"{signature['name']} has no input {min(unknown)!r}"
        raise InvalidInput(message, f"Its inputs are {', '.join(ports) or 'none'}.")
    for name, port in ports.items():
        value = inputs.get(name)
        if value is None and not port["optional"]:
            raise InvalidInput(f"{signature['name']} needs the input {name!r}", f"It takes {port['type']}.")
        for item in leaves([] if value is None else value):
            found = _type_of_leaf(name, item, type_of)
            if not fits(found, port["type"]):
                hint = f"Wire in a job that makes {port['type']}, or put one in between that converts."
                if found == "text":
                    hint = f'Upload the {port["type"]} first and pass {{"artifact": "<id>"}}.'
                raise InvalidInput(f"{name!r} takes {port['type']}, not {found}", hint)


def _type_of_leaf(name: str, item: Any, type_of: TypeOf) -> str:
    match item:
        case str():
            return "text"
        case {"data": _, **more} if not more:
            return "data"
        case {"artifact": str(), **more} if not more:
            return type_of(item)
        case {"job": str(key), **more} if key and (not more or [*more] == ["output"]):
            if isinstance(more.get("output", ""), str):
                return type_of(item)
    hint = 'Use a text, {"artifact": …}, {"job": …}, {"data": …} or a list.'
    raise InvalidInput(f"{name!r} is no input value: {json.dumps(item)[:100]}", hint)


def output_port(signature: Signature, reference: dict[str, Any]) -> dict[str, Any]:
    """Return the output port that a reference means: the named one, or the first.

    Raises:
        InvalidInput: there is no such port.
    """
    ports: dict[str, dict[str, Any]] = {port["name"]: port for port in signature["outputs"]}
    wanted = reference.get("output") or next(iter(ports), "")
    if wanted in ports:
        return ports[wanted]
    message = f"{signature['name']} has no output {wanted!r}" if wanted else f"{signature['name']} makes nothing"
    raise InvalidInput(message, f"Its outputs: {', '.join(ports) or 'none'}.")


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
    swept = sweeps_in(params)
    if not mapped and not swept:
        return None
    lists = [*mapped.values(), *swept.values()]
    if how == "zip" and len({len(values) for values in lists}) > 1:
        names = [*mapped, *(".".join(map(str, place)) for place in swept)]
        found = ", ".join(f"{name}: {len(values)}" for name, values in zip(names, lists, strict=True))
        hint = 'Make them equally long, or ask for "map": "product".'
        raise InvalidInput(f"Lists of different length cannot be paired ({found})", hint)
    combinations = zip(*lists, strict=True) if how == "zip" else itertools.product(*lists)
    chosen = list(itertools.islice(combinations, MAX_FAN_OUT + 1))
    if len(chosen) > MAX_FAN_OUT:
        raise InvalidInput(f"The sweep has more than {MAX_FAN_OUT} combinations", "Split it into several jobs.")
    return [
        {
            "inputs": {**inputs, **dict(zip(mapped, combination, strict=False))},
            "params": with_values(params, dict(zip(swept, combination[len(mapped) :], strict=True))),
        }
        for combination in chosen
    ]


def single_inputs(signature: Signature, inputs: dict[str, list[Any]]) -> dict[str, Any]:
    """Return inputs for one run: lists for list ports, the one value for the others."""
    list_ports = _list_ports(signature)
    return {name: values if name in list_ports else values[0] for name, values in inputs.items()}
