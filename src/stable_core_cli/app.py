"""The command line: `stable-core serve`, `run`…. What jobs do is the core's, what is shown the console's."""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import stable_core_client as client
from stable_core import errors
from stable_core_cli.connection import core_of, home_folder, published
from stable_core_cli.console import out, report, show
from stable_core_cli.plugins import plugin_app
from stable_core_cli.run import AsJson, Jobs, OutFolder, job_command, job_names, show_results, watch
from stable_core_cli.shell import run_shell
from stable_core_client import Client, Json

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
run_app = typer.Typer(cls=Jobs, no_args_is_help=True, subcommand_metavar="JOB [INPUTS] [OPTIONS]")
jobs_app = typer.Typer(invoke_without_command=True)
graph_app = typer.Typer(help="Run graph documents.", no_args_is_help=True)
app.add_typer(run_app, name="run")
app.add_typer(jobs_app, name="jobs")
app.add_typer(graph_app, name="graph")
app.add_typer(plugin_app, name="plugin")

JobName = Annotated[str, typer.Argument(metavar="NAME", autocompletion=job_names)]
JobId = Annotated[str, typer.Argument(metavar="ID")]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the process ends with 0, 1 failed, 2 bad input or 130 cancelled."""
    sys.exit(invoke(_take_home(sys.argv[1:] if arguments is None else arguments)))


def invoke(words: list[str], core: Client | None = None) -> int:
    """Run one command, on this core if one is given, and return its exit code."""
    try:
        app(words, prog_name="stable-core", obj=core)
    except SystemExit as end:
        return int(end.code or 0)
    except (client.StableCoreError, errors.StableCoreError) as error:
        return report(error, "--json" in words)
    return 0


def _take_home(words: list[str]) -> list[str]:
    """Take `--home FOLDER` out of the words, wherever it stands, and set it for this process."""
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == "--home" and (equals or index + 1 < len(words)):
            os.environ["STABLE_CORE_HOME"] = value if equals else words[index + 1]
            return words[:index] + words[index + (1 if equals else 2) :]
    return words


@app.callback()
def options(
    home: Annotated[Path | None, typer.Option(help="Folder of settings, plugins, models and results")] = None,
) -> None:
    """A backend for AI art."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one", min=0, max=65535)] = None,
) -> None:
    """Start the server and the web client."""
    from stable_core.config import Config
    from stable_core_server.app import run_server

    home = home_folder()
    config = Config(home)
    settings = config.settings

    serving = functools.partial(published, home, settings.token)
    run_server(config, host or settings.host, settings.port if port is None else port, settings.token, serving)


@run_app.callback()
def run() -> None:
    """Run a job and print where its results are; `run JOB --help` shows its knobs, `signatures` lists the jobs.

    Inputs are positional or --NAME VALUE; @FILE reads a file. Every job takes --out DIR and --json.
    """


@app.command()
def signatures(context: typer.Context, name: JobName = "", as_json: AsJson = False) -> None:
    """List what can run, or show one signature with its knobs."""
    core = core_of(context)
    if not name:
        found = core.signatures()
        show(found, as_json, [[one["name"], _wires(one), one["title"]] for one in found])
    elif as_json:
        show(core.signature(name), as_json)
    else:
        job_command(core, core.signature(name))(["--help"], prog_name=f"stable-core run {name}")


def _wires(signature: Json) -> str:
    sides = [[port["type"] + "[]" * port["list"] for port in signature[side]] for side in ("inputs", "outputs")]
    return " -> ".join(", ".join(types) for types in sides)


@app.command()
def shell(context: typer.Context) -> None:
    """Open a prompt that keeps one core: faster, and with completion of jobs and knobs."""
    run_shell(core_of(context), invoke)


# -- jobs --------------------------------------------------------------------------------------------------------------


@jobs_app.callback()
def jobs(context: typer.Context) -> None:
    """List, show, cancel and retry jobs."""
    if context.invoked_subcommand is None:
        list_jobs(context)


@jobs_app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state")] = None,
    job: Annotated[str | None, typer.Option(help="Only jobs of this signature")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the last jobs, newest first."""
    found = core_of(context).jobs(state=state, job=job, limit=limit)
    show(found, as_json, [[one["id"], one["state"], one["job"], _remark(one)] for one in found])


def _remark(job: Json) -> str:
    if job["error"]:
        return str(job["error"]["message"]).partition("\n")[0][:80]
    progress = job["progress"]
    is_going = job["state"] not in client.FINAL_STATES
    steps = f"{progress['step']}/{progress['total']} " if is_going and progress["total"] else ""
    places = [str(made.get("path", made["id"][:12])) for made in client.results_of(job)]
    return steps + (progress["message"] if is_going else ", ".join(places))


@jobs_app.command("show")
def show_job(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job."""
    show(core_of(context).job(job_id), as_json)


@jobs_app.command("cancel")
def cancel_jobs(
    context: typer.Context,
    job_ids: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every job that has not finished")] = False,
) -> None:
    """Cancel jobs."""
    if not job_ids and not every:
        raise typer.BadParameter("Give the ids of jobs, or --all.")
    core = core_of(context)
    if every:
        out(f"{core.cancel_all()} cancelled")
    for job_id in job_ids or []:
        out(f"{job_id} {core.cancel(job_id)['state']}")


@jobs_app.command("interrupt")
def interrupt_job(
    context: typer.Context,
    job_id: JobId,
    skip: Annotated[bool, typer.Option("--skip", help="Go on with the next picture instead of ending")] = False,
) -> None:
    """Let a running job end with what it has made so far, if it can."""
    out(f"{job_id} {core_of(context).interrupt(job_id, skip)['state']}")


@jobs_app.command("retry")
def retry_job(context: typer.Context, job_id: JobId, out_folder: OutFolder = None, as_json: AsJson = False) -> None:
    """Run a failed or cancelled job again and print its results."""
    core = core_of(context)
    ended = watch(core, {"": core.retry(job_id)}, job=job_id)
    raise typer.Exit(show_results(core, ended, out_folder, ended[""] if as_json else None))


@jobs_app.command("logs")
def job_log(context: typer.Context, job_id: JobId) -> None:
    """Print what the plugin wrote while the job ran."""
    out(core_of(context).log(job_id).rstrip("\n"))


# -- graphs ------------------------------------------------------------------------------------------------------------


@graph_app.command("run")
def run_graph(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.json", exists=True, dir_okay=False)],
    out_folder: OutFolder = None,
    as_json: AsJson = False,
) -> None:
    """Run a graph document and print the results of each of its jobs."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise errors.BadRequest(f"{file} is no JSON: {error}", "docs/http_api.md describes graph documents.") from None
    core = core_of(context)
    graph = core.graph(document)
    jobs = watch(core, {key: graph["jobs"][key] for key in document["jobs"]}, graph=graph["id"])
    raise typer.Exit(show_results(core, jobs, out_folder, {**graph, "jobs": jobs} if as_json else None))
