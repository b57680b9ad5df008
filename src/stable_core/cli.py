"""The command line: `stable-core serve`, `run`…. What jobs do is the core's, what is shown the console's."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stable_core import __version__, client, errors
from stable_core.cli_console import note, out, out_json, report, table
from stable_core.cli_core import connected, home_folder, running_server
from stable_core.client import Json

app = typer.Typer(
    help="A backend for AI art.", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)
jobs_app = typer.Typer(help="List, show, cancel and retry jobs.", invoke_without_command=True)
graph_app = typer.Typer(help="Run graph documents.", no_args_is_help=True)
app.add_typer(jobs_app, name="jobs")
app.add_typer(graph_app, name="graph")

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON")]
OutFolder = Annotated[Path | None, typer.Option("--out", help="Also write the results here")]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the process ends with 0, 1 failed, 2 bad input or 130 cancelled."""
    words = _take_home(list(sys.argv[1:] if arguments is None else arguments))
    try:
        invoke(words, "stable-core")
    except (client.StableCoreError, errors.StableCoreError) as error:
        known = error if isinstance(error, client.StableCoreError) else client.error_from(error.to_dict())
        sys.exit(report(known, "--json" in words))
    except KeyboardInterrupt:
        sys.exit(130)


def invoke(words: list[str], program: str = "") -> None:
    """Run one command."""
    if words[:1] == ["run"] and "--" in words:  # `run` hands on what it does not know; so must it hand on this
        words = [*words[: words.index("--")], "--", *words[words.index("--") :]]
    app(words, prog_name=program)


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


def connection() -> Any:
    """Open the connection of this command."""
    return connected(home_folder(), note)


# -- serve -------------------------------------------------------------------------------------------------------------


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one", min=0, max=65535)] = None,
) -> None:
    """Start the server and the web client."""
    from stable_core.config import Config
    from stable_core.server import serve_home

    home = home_folder()
    config = Config(home)
    settings = config.settings
    chosen_port = settings.port if port is None else port
    serve_home(
        home,
        config,
        host or settings.host,
        chosen_port,
        lambda url: out(f"stable-core {__version__} on {url} (home: {home})"),
    )


# -- run ---------------------------------------------------------------------------------------------------------------


def _complete_job(incomplete: str) -> list[str]:
    server = running_server(home_folder())
    if server is None:
        return []
    with contextlib.closing(server):
        return [one["name"] for one in server.signatures() if one["name"].startswith(incomplete)]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="JOB [INPUTS] [OPTIONS]", autocompletion=_complete_job)] = "--help",
) -> None:
    """Run a job and print where its results are; `run JOB --help` shows its knobs.

    Inputs are positional or --NAME VALUE; @FILE reads a file. Every job takes --out DIR and --json.
    """
    from stable_core.cli_run import run_job

    if name == "--help":
        out(context.get_help())
        return
    with connection() as core:
        raise typer.Exit(run_job(core, name, context.args))


@app.command()
def signatures(
    name: Annotated[str | None, typer.Argument(autocompletion=_complete_job)] = None, as_json: AsJson = False
) -> None:
    """List what can run, or show one signature with its knobs."""
    from stable_core.cli_run import run_job

    with connection() as core:
        if name and not as_json:
            raise typer.Exit(run_job(core, name, ["--help"]))
        found = core.signature(name) if name else core.signatures()
    if as_json:
        out_json(found)
    elif found:
        table([[one["name"], _wires(one), one["title"]] for one in found])


def _wires(signature: Json) -> str:
    ends = [
        ", ".join(port["type"] + ("[]" if port["list"] else "") for port in signature[side])
        for side in ("inputs", "outputs")
    ]
    return " -> ".join(ends)


# -- jobs --------------------------------------------------------------------------------------------------------------


@jobs_app.callback()
def jobs(context: typer.Context) -> None:
    """List, show, cancel and retry jobs."""
    if context.invoked_subcommand is None:
        list_jobs()


@jobs_app.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state")] = None,
    job: Annotated[str | None, typer.Option(help="Only jobs of this signature")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the last jobs, newest first."""
    with connection() as core:
        found = core.jobs(state=state, job=job, limit=limit)
    if as_json:
        out_json(found)
    elif found:
        table([[one["id"], one["state"], one["job"], _remark(one)] for one in found])


def _remark(job: Json) -> str:
    if job["error"]:
        return str(job["error"]["message"]).partition("\n")[0][:80]
    progress = job["progress"]
    steps = f"{progress['step']}/{progress['total']} " if progress["total"] and job["state"] == "running" else ""
    places = [str(made.get("path", made["id"][:12])) for made in client.results_of(job)]
    return steps + (progress["message"] if job["state"] in ("queued", "running") else ", ".join(places))


@jobs_app.command("show")
def show_job(job_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Show one job."""
    with connection() as core:
        found = core.job(job_id)
    if as_json:
        out_json(found)
    else:
        table([[name, value if isinstance(value, str) else json.dumps(value)] for name, value in found.items()])


@jobs_app.command("cancel")
def cancel_jobs(
    job_ids: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every job that has not finished")] = False,
) -> None:
    """Cancel jobs."""
    if not job_ids and not every:
        raise typer.BadParameter("Give the ids of jobs, or --all.")
    with connection() as core:
        if every:
            out(f"{core.cancel_all()} cancelled")
        for job_id in job_ids or []:
            out(f"{job_id} {core.cancel(job_id)['state']}")


@jobs_app.command("retry")
def retry_job(
    job_id: Annotated[str, typer.Argument(metavar="ID")], out_folder: OutFolder = None, as_json: AsJson = False
) -> None:
    """Run a failed or cancelled job again and print its results."""
    from stable_core.cli_run import show_results

    with connection() as core:
        job = core.wait(core.retry(job_id)["id"])
        raise typer.Exit(show_results(core, {"": job}, out_folder, job if as_json else None))


@jobs_app.command("logs")
def job_log(job_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Print what the plugin wrote while the job ran."""
    with connection() as core:
        out(core.log(job_id).rstrip("\n"))


# -- graphs ------------------------------------------------------------------------------------------------------------


@graph_app.command("run")
def run_graph(
    file: Annotated[Path, typer.Argument(metavar="FILE.json", exists=True, dir_okay=False)],
    out_folder: OutFolder = None,
    as_json: AsJson = False,
) -> None:
    """Run a graph document and print the results of each of its jobs."""
    from stable_core.cli_run import follow_graph, show_results

    try:
        document = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise errors.BadRequest(f"{file} is no JSON: {error}", "docs/http_api.md describes graph documents.") from None
    with connection() as core:
        graph = core.graph(document)
        graph["jobs"] = {key: graph["jobs"][key] for key in document["jobs"]}
        try:
            finished = follow_graph(core, graph)
        except KeyboardInterrupt:
            core.cancel_all(graph=graph["id"])
            raise
        raise typer.Exit(show_results(core, finished, out_folder, {**graph, "jobs": finished} if as_json else None))


@app.command()
def shell() -> None:
    """Open a prompt that keeps one core: faster, and with completion of jobs and knobs."""
    from stable_core.cli_shell import run_shell

    run_shell(home_folder(), invoke)


def _add_plugin_commands() -> None:
    from stable_core.cli_plugins import plugin_app

    app.add_typer(plugin_app, name="plugin")


_add_plugin_commands()

if __name__ == "__main__":
    main()
