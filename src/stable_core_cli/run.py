"""`stable-core run`: a signature becomes a command, the command a job, the job its results. It knows no one job."""

from __future__ import annotations

import inspect
import json
import mimetypes
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from stable_core_cli.connection import core_of, home_folder, running_server
from stable_core_cli.console import ProgressDisplay, exit_code, note, out, out_json, report
from stable_core_client import ERRORS, FINAL_STATES, Client, Json, StableCoreError, check_job, results_of

CANCEL_SECONDS = 10
"""How long a cancelled job is waited for."""
GROUP_DEPTH = 5
"""How deep groups of knobs get options of their own; what is deeper is given as JSON."""

Place = tuple[str, ...]
"""Where a knob is: its name, behind those of the groups around it."""


def _json_object(text: str) -> Any:
    found = _json_value(text)
    if not isinstance(found, dict):
        raise typer.BadParameter("not a JSON object")
    return found


OutFolder = Annotated[Path | None, typer.Option("--out", help="Also write the results here")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON")]
PARAMS = typer.Option(parser=_json_object, metavar="JSON", help='{"x": {"each": [1, 2]}} sweeps')
OWN_OPTIONS = {"params", "out", "json", "priority", "no_cache", "cache", "help", "home"}
"""What no knob can be called; it becomes `--param-NAME`."""


def job_names(incomplete: str = "") -> list[str]:
    """Return the names of the jobs that begin like this, for completion; it starts no core, so there may be none."""
    core = running_server(home_folder())
    return [one["name"] for one in core.signatures() if one["name"].startswith(incomplete)] if core else []


class Jobs(TyperGroup):
    """The jobs as commands of `run`, each made of its signature when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the jobs, for completion."""
        return job_names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a job.

        Raises:
            StableCoreError: there is none of this name.
        """
        core = running_server(home_folder()) if ctx.resilient_parsing else core_of(ctx)
        return job_command(core, core.signature(cmd_name)) if core else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Leave the jobs out of the help of `run`: they are many, and `signatures` lists them."""


class JobCommand(TyperCommand):
    """A command whose help shows the knobs under their groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each group."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


# -- a signature as a command ------------------------------------------------------------------------------------------


def job_command(core: Client, signature: Json) -> TyperCommand:
    """Return a command with one argument per input and one option per knob, with ranges, choices and help."""
    ports = signature["inputs"]
    found = {f"knob_{number}": knob for number, knob in enumerate(knobs(signature["params"]))}

    def run(
        params: Annotated[Json | None, PARAMS] = None,
        folder: OutFolder = None,
        as_json: AsJson = False,
        priority: Annotated[int, typer.Option(help="Higher runs earlier")] = 0,
        no_cache: Annotated[bool, typer.Option("--no-cache", help="Run it even if the result is known")] = False,
        **given: Any,
    ) -> None:
        chosen: Json = {}
        for name, value in (params or {}).items():
            _put(chosen, tuple(name.split(".")), value)
        for name, (path, field) in found.items():
            if (value := given[name]) is not None:
                _put(chosen, path, _json_value(value) if _kind(field) is object else value)
        inputs = _inputs(core, ports, given)
        request = {"job": signature["name"], "inputs": inputs, "params": chosen}
        job = core.submit({**request, "priority": priority, "cache": not no_cache})
        ended = watch(core, {"": job}, job=job["id"])
        raise typer.Exit(show_results(core, ended, folder, ended[""] if as_json else None))

    taken = OWN_OPTIONS | {port["name"] for port in ports}
    parameters = [_parameter("inputs", list[str], _words(ports))] if ports else []
    for port in ports:
        declared = typer.Option(None, f"--{_dashed(port['name'])}", hidden=True)
        parameters.append(_parameter(f"input_{port['name']}", list[str], declared))
    for name, (path, field) in found.items():
        option = f"param-{path[0]}" if path[0] in taken and len(path) == 1 else ".".join(path)
        parameters.append(_parameter(name, *_option(core, _dashed(option), path, field)))
    own = list(inspect.signature(run, eval_str=True).parameters.values())[:-1]
    parameters += [one.replace(kind=one.KEYWORD_ONLY) for one in own]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    made = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    # `--cfg_scale` means `--cfg-scale`
    made.command(help=signature["description"], cls=JobCommand, context_settings={"token_normalize_func": _dashed})(run)
    command = typer.main.get_command(made)
    assert isinstance(command, TyperCommand)
    return command


def knobs(
    schema: Json, path: tuple[str, ...] = (), named: Json | None = None
) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Yield each knob of a params schema with its path: a group of knobs first, then those inside it."""
    named = schema.get("$defs", {}) if named is None else named
    preset = schema.get("default") or {}
    for name, field in schema.get("properties", {}).items():
        found = _resolved(field, named)
        found = {**found, "default": preset[name]} if name in preset else found
        yield (*path, name), found
        if len(path) < GROUP_DEPTH:
            yield from knobs(found, (*path, name), named)


def _resolved(field: Json, named: Json) -> Json:
    """Return a field with what it refers to filled in; of one that may also be null, what it is otherwise."""
    choices = [one for one in field.get("anyOf") or field.get("allOf") or [] if one != {"type": "null"}]
    inner = choices[0] if len(choices) == 1 else field
    return {**named.get(inner.get("$ref", "").rpartition("/")[2], {}), **inner, **field}


def _put(params: Json, path: Place, value: Any) -> None:
    """Set a value at its path; a group that is not there yet, or is no group, is made."""
    for name in path[:-1]:
        if not isinstance(params.get(name), dict):
            params[name] = {}
        params = params[name]
    params[path[-1]] = value


def _option(core: Client, option: str, path: Place, field: Json) -> tuple[Any, Any]:
    """Return the type and the declaration of the option for a knob."""
    ui = field.get("x-ui", {})
    text = field.get("description", "")
    if ui.get("component") == "model":
        text = f"{text} [{', '.join(core.models(ui['kind'])) or 'none found'}]".lstrip()
    if "default" in field and "properties" not in field:
        text = f"{text} (default: {json.dumps(field['default'])})".lstrip()
    kind, choices = _kind(field), [str(one) for one in field.get("enum", [])]
    form = f"--{option}/--no-{option}" if kind is bool else f"--{option}"
    metavar = "JSON" if kind is object else f"[{'|'.join(choices)}]" if choices else None
    group = ".".join(path if "properties" in field else path[:-1]) or ui.get("group")
    more: Json = {"min": field.get("minimum"), "max": field.get("maximum"), "rich_help_panel": group}
    more["autocompletion"] = lambda incomplete: [one for one in choices if one.startswith(incomplete)]
    return (str if kind is object else kind) | None, typer.Option(None, form, help=text, metavar=metavar, **more)


def _kind(field: Json) -> Any:
    """Return the type of a knob's values; that of a group, a list or anything else in JSON is `object`.

    A choice with other names, which the core knows, is text.
    """
    if all(isinstance(one, str) for one in field.get("enum", [0])) and "aliases" not in field.get("x-ui", {}):
        return Literal[tuple(field["enum"])]
    return {"integer": int, "number": float, "boolean": bool, "string": str}.get(field.get("type", ""), object)


def _parameter(name: str, kind: Any, declared: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=declared, annotation=kind)


def _json_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _metavar(port: Json) -> str:
    name = port["name"].upper() + ("..." if port["list"] else "")
    return f"[{name}]" if port["optional"] else name


def _words(ports: list[Json]) -> Any:
    """Return the declaration of the inputs by position."""
    how = {"text": "text or @FILE", "data": "JSON or @FILE", "file": "file"}
    told = ", ".join(f"{port['name']} ({how.get(port['type'], port['type'] + ' file')})" for port in ports)
    told += f"; or by name: --{_dashed(ports[0]['name'])} VALUE"
    return typer.Argument(None, metavar=" ".join(map(_metavar, ports)), help=told)


# -- from words to inputs ----------------------------------------------------------------------------------------------


def _inputs(core: Client, ports: list[Json], given: Json) -> Json:
    """Return the inputs: those by name, then those by position, of which a last list port takes all that is left."""
    values: list[str] = given.get("inputs") or []
    inputs: dict[str, list[str]] = {port["name"]: given[f"input_{port['name']}"] or [] for port in ports}
    free = [port for port in ports if not inputs[port["name"]]]
    for port in free:
        count = len(values) if port["list"] and port is free[-1] else 1
        inputs[port["name"]], values = values[:count], values[count:]
    if values:
        known = ", ".join(port["name"] for port in ports) or "none"
        raise ERRORS["invalid_input"](f"Too many inputs: {' '.join(values)}", f"The inputs are: {known}.")
    read = {port["name"]: [_input(core, port, value) for value in inputs[port["name"]]] for port in ports}
    return {name: found[0] if len(found) == 1 else found for name, found in read.items() if found}


def _input(core: Client, port: Json, value: str) -> Any:
    if re.fullmatch(r"[0-9a-f]{64}", value):
        return {"artifact": value}
    path = Path(value.removeprefix("@")).expanduser()
    is_file = value.startswith("@") or port["type"] not in ("text", "data")
    try:
        if port["type"] == "data":
            return {"data": json.loads(path.read_text("utf-8") if is_file else value)}
        if not is_file:
            return value
        return path.read_text("utf-8") if port["type"] == "text" else {"artifact": core.upload(path)["id"]}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ERRORS["invalid_input"](f"{port['name']}: {value}: {reason}", "Name a file as @FILE.") from None


# -- from jobs to results ----------------------------------------------------------------------------------------------


def watch(core: Client, jobs: dict[str, Json], **where: str) -> dict[str, Json]:
    """Show the events of jobs until all have finished, and return the jobs by key; Ctrl+C cancels them.

    Args:
        where: what their events have in common, `job` or `graph`.
    """
    left = {job["id"] for job in jobs.values() if job["state"] not in FINAL_STATES}
    seconds = None
    try:
        with ProgressDisplay({job["id"]: key for key, job in jobs.items()}) as display:
            for event in core.events(after=0, **where) if left else ():
                display.show(event)
                is_end = event["type"].removeprefix("job.") in FINAL_STATES and event["job"] in left
                if is_end and core.job(event["job"])["state"] in FINAL_STATES:  # it may have been retried since
                    left.discard(event["job"])
                if not left:
                    break
    except KeyboardInterrupt:
        note("cancelling")
        seconds = CANCEL_SECONDS
        for job in jobs.values():
            core.cancel(job["id"])
    return {key: core.wait(job["id"], seconds) for key, job in jobs.items()}


def show_results(core: Client, jobs: dict[str, Json], folder: Path | None, as_json: Any = None) -> int:
    """Write the results of finished jobs, each behind its key; return the exit code."""
    if as_json is not None:
        out_json(as_json)
    code = 0
    for key, job in jobs.items():
        try:
            made = results_of(check_job(job))
            for told in dict.fromkeys(told for artifact in made for told in artifact.get("notes", ())):
                note(told)
            places = [_place(core, artifact, folder) for artifact in made]
            for place in places if as_json is None else ():
                out(f"{key}\t{place}" if key else place)
        except StableCoreError as error:
            code = max(code, report(error, name=key) if as_json is None else exit_code(error))
    return code


def _place(core: Client, artifact: Json, folder: Path | None) -> str:
    """Return where a result is, after writing it to `folder` when one is given; a text that is nowhere is itself."""
    saved = artifact.get("path")
    if folder is None:
        is_text = artifact["type"] in ("text", "data")
        return str(saved or (core.download(artifact).decode() if is_text else artifact["id"]))
    folder.mkdir(parents=True, exist_ok=True)
    if saved and Path(saved).is_file():
        return str(shutil.copy(saved, folder))  # the saved file has the generation data inside
    path = folder / (artifact["id"][:16] + (mimetypes.guess_extension(artifact["media_type"]) or ".bin"))
    core.download(artifact, path)
    return str(path)
