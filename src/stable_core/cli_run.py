"""`stable-core run`: a signature becomes a command, the command a job, the job its results. It knows no one job."""

from __future__ import annotations

import inspect
import json
import mimetypes
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import typer

from stable_core.cli_console import ProgressDisplay, exit_code, note, out, out_json, report
from stable_core.client import ERRORS, FINAL_STATES, Client, Json, StableCoreError, check_job, results_of

INPUT_HELP = "text, or @FILE"


def run_job(connection: Client, name: str, arguments: list[str]) -> int:
    """Run the job that the arguments describe and write its results; return the exit code.

    Raises:
        StableCoreError: there is no such signature.
        SystemExit: the arguments are wrong, or were `--help`.
    """
    signature = connection.signature(name)
    codes: list[int] = []

    def run(**given: Any) -> None:
        options = {option: given.pop(option) for option in ("out", "json", "priority", "no_cache")}
        try:
            codes.append(_run(connection, signature, given, options))
        except StableCoreError as error:
            codes.append(report(error, options["json"]))

    command = job_command(connection, signature, run)
    try:
        command(_with_dashes(arguments), prog_name=f"stable-core run {name}")
    except SystemExit as stop:
        codes.append(int(stop.code or 0))
    return codes[0]


def _run(connection: Client, signature: Json, given: Json, options: Json) -> int:
    request = {
        "job": signature["name"],
        "inputs": _inputs(connection, signature["inputs"], given),
        "params": {**given.pop("params"), **_params(given)},
        "priority": options["priority"],
        "cache": not options["no_cache"],
    }
    job = connection.submit(request)
    try:
        with ProgressDisplay() as display:
            job = connection.follow(job, display.show)
    except KeyboardInterrupt:
        note("cancelling")
        connection.cancel(job["id"])
        job = connection.wait(job["id"], 10)
    return show_results(connection, {"": job}, options["out"], job if options["json"] else None)


def show_results(connection: Client, jobs: dict[str, Json], folder: Path | None, as_json: Any = None) -> int:
    """Write the results of finished jobs, each behind its key; return the exit code."""
    if as_json is not None:
        out_json(as_json)
    code = 0
    for key, job in jobs.items():
        try:
            places = [_place(connection, artifact, folder) for artifact in results_of(check_job(job))]
            for place in places if as_json is None else ():
                out(f"{key}\t{place}" if key else place)
        except StableCoreError as error:
            code = max(code, report(error) if as_json is None else exit_code(error))
    return code


def _place(connection: Client, artifact: Json, folder: Path | None) -> str:
    """Return where a result is, after writing it to `folder` when one is given; a text that is nowhere is itself."""
    saved = artifact.get("path")
    if folder is None:
        is_text = artifact["type"] in ("text", "data")
        return str(saved or (connection.download(artifact).decode() if is_text else artifact["id"]))
    folder.mkdir(parents=True, exist_ok=True)
    if saved and Path(saved).is_file():
        return str(shutil.copy(saved, folder))  # the saved file has the generation data inside
    path = folder / (artifact["id"][:16] + (mimetypes.guess_extension(artifact["media_type"]) or ".bin"))
    connection.download(artifact, path)
    return str(path)


# -- from strings to inputs and params ---------------------------------------------------------------------------------


def _inputs(connection: Client, ports: list[Json], given: Json) -> Json:
    """Take the inputs out of `given`: those by position, those by name, and a last list port takes all that is left."""
    values: list[str] = given.pop("inputs") or []
    inputs: dict[str, list[str]] = {port["name"]: given.pop(f"input_{port['name']}") or [] for port in ports}
    free = [port for port in ports if not inputs[port["name"]]]
    for port in free:
        count = len(values) if port["list"] and port is free[-1] else 1
        inputs[port["name"]], values = values[:count], values[count:]
    if values:
        known = ", ".join(port["name"] for port in ports) or "none"
        raise ERRORS["invalid_input"](f"Too many inputs: {' '.join(values)}", f"The inputs are: {known}.")
    read = {port["name"]: [_input(connection, port, value) for value in inputs[port["name"]]] for port in ports}
    return {name: found[0] if len(found) == 1 else found for name, found in read.items() if found}


def _input(connection: Client, port: Json, value: str) -> Any:
    if re.fullmatch(r"[0-9a-f]{64}", value):
        return {"artifact": value}
    path = Path(value.removeprefix("@")).expanduser()
    is_file = value.startswith("@") or port["type"] not in ("text", "data")
    try:
        if port["type"] == "data":
            return {"data": json.loads(path.read_text("utf-8") if is_file else value)}
        if not is_file:
            return value
        return path.read_text("utf-8") if port["type"] == "text" else {"artifact": connection.upload(path)["id"]}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ERRORS["invalid_input"](f"{port['name']}: {value}: {reason}", "Name a file as @FILE.") from None


def _params(given: Json) -> Json:
    return {name.removeprefix("param_"): value for name, value in given.items() if value is not None}


# -- a signature as a command ------------------------------------------------------------------------------------------


def job_command(connection: Client, signature: Json, run: Callable[..., None]) -> typer.Typer:
    """Return a command with one argument per input and one option per knob, with ranges, choices and help."""
    ports = signature["inputs"]
    metavar = " ".join(_metavar(port) for port in ports)
    parameters = [_parameter("inputs", list[str], typer.Argument(None, metavar=metavar, help=_ports_help(ports)))]
    parameters += [
        _parameter(f"input_{port['name']}", list[str], typer.Option(None, f"--{_dashed(port['name'])}", hidden=True))
        for port in ports
    ]
    taken = {port["name"] for port in ports} | {name for name, *_ in OWN_OPTIONS} | {"help", "home"}
    for name, field in signature["params"].get("properties", {}).items():
        option = f"--{'param-' if name in taken else ''}{_dashed(name)}"
        parameters.append(_knob(connection, name, _resolved(field, signature["params"]), option))
    parameters += [_parameter(*own) for own in OWN_OPTIONS]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    command.command(help=signature["description"])(run)
    return command


def _parameter(name: str, kind: Any, declared: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=declared, annotation=kind)


def _knob(connection: Client, name: str, field: Json, option: str) -> inspect.Parameter:
    ui = field.get("x-ui", {})
    text = field.get("description", "")
    if ui.get("component") == "model":
        text = f"{text} [{', '.join(connection.models(ui['kind'])) or 'none found'}]".lstrip()
    if "default" in field:
        text = f"{text} (default: {json.dumps(field['default'])})".lstrip()
    kind: Any = {"integer": int, "number": float, "boolean": bool}.get(field.get("type", ""), str)
    limits: Json = {}
    if kind in (int, float):
        limits = {"min": field.get("minimum"), "max": field.get("maximum")}
    elif "enum" in field and all(isinstance(choice, str) for choice in field["enum"]):
        kind = Literal[tuple(field["enum"])]
    elif kind is str and field.get("type") != "string":
        limits = {"parser": _json_value, "metavar": "JSON"}
    declared = typer.Option(None, option, help=text, **limits)
    return _parameter(f"param_{name}", kind | None, declared)


def _resolved(field: Json, schema: Json) -> Json:
    """Return a field with its `$ref` or single `allOf` filled in, as pydantic writes enumerations."""
    reference = field.get("$ref") or (field.get("allOf") or [{}])[0].get("$ref")
    if not reference:
        return field
    return {**schema.get("$defs", {}).get(reference.rpartition("/")[2], {}), **field}


def _json_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json_object(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise typer.BadParameter("not a JSON object")
    return found


OWN_OPTIONS: tuple[tuple[str, Any, Any], ...] = (
    (
        "params",
        _json_object,
        typer.Option("{}", parser=_json_object, metavar="JSON", help='{"x": {"each": [1, 2]}} sweeps'),
    ),
    ("out", Path | None, typer.Option(None, help="Also write the results here")),
    ("json", bool, typer.Option(False, "--json", help="Write the job as JSON")),
    ("priority", int, typer.Option(0, help="Higher runs earlier")),
    ("no_cache", bool, typer.Option(False, "--no-cache", help="Run it even if the result is known")),
)
"""What every job takes beside its own knobs; a knob of the same name becomes `--param-NAME`."""


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _with_dashes(arguments: list[str]) -> list[str]:
    """Let `--cfg_scale` mean `--cfg-scale`."""
    return [re.sub(r"^--[a-z0-9_]+", lambda found: _dashed(found[0]), argument) for argument in arguments]


def _metavar(port: Json) -> str:
    name = port["name"].upper() + ("..." if port["list"] else "")
    return f"[{name}]" if port["optional"] else name


def _ports_help(ports: list[Json]) -> str:
    told = ", ".join(f"{port['name']} ({port['type']})" for port in ports)
    return f"{told}: {INPUT_HELP}; or by name: --{_dashed(ports[0]['name'])} VALUE" if ports else "none"


def follow_graph(connection: Client, graph: Json) -> dict[str, Json]:
    """Show the events of a graph until all of its jobs have finished, and return the jobs by key."""
    ids = {job["id"]: key for key, job in graph["jobs"].items()}
    left = {job["id"] for job in graph["jobs"].values() if job["state"] not in FINAL_STATES}
    with ProgressDisplay(ids) as display:
        for event in connection.events(after=0, graph=graph["id"]) if left else ():
            display.show(event)
            if event["type"].removeprefix("job.") in FINAL_STATES:
                left.discard(event["job"])
            if not left:
                break
    return {key: connection.wait(job["id"]) for key, job in graph["jobs"].items()}
