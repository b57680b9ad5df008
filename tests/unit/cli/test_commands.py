"""The command line in-process: against a running server, with a core of its own, and without either."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import PIL.Image
import pytest

from stable_core_cli import app, connection, shell
from stable_core_cli import plugins as plugin_commands
from stable_core_cli.connection import connected, embedded, running_server
from stable_core_client import Client

WAIT_SECONDS = 120
GROUPED = Path(__file__).parent / "plugins" / "grouped.py"


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process."""

    def run(*words: str) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            app.main(list(words))
        return Done(int(ended.value.code or 0), *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def served_home(lab: Any) -> Iterator[Path]:
    """Return a home that a server runs for."""
    home: Path = lab.home()
    with lab.served(home):
        yield home


@pytest.fixture
def served(served_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the commands of a test find the running server."""
    monkeypatch.setenv("STABLE_CORE_HOME", str(served_home))
    return served_home


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    PIL.Image.new("RGB", (8, 8), "red").save(path)
    return path


# -- run ---------------------------------------------------------------------------------------------------------------


def test_run_prints_the_path_of_each_result(served: Path, run: Run) -> None:
    done = run("run", "probe.echo", "hi", "--suffix", "!")
    assert done.code == 0
    [path] = done.out.splitlines()
    assert Path(path).read_text() == "hi!"
    assert Path(path).is_relative_to(served / "outputs")
    assert len(run("run", "probe.split", "a b c").out.splitlines()) == 3


@pytest.mark.usefixtures("served")
def test_run_says_what_a_result_has_to_say(run: Run) -> None:
    done = run("run", "probe.picture")
    assert Path(done.out.strip()).is_file(), "it is no part of the output"
    assert done.err.splitlines()[-1] == "A small one."


@pytest.mark.usefixtures("served")
class TestInputsAndKnobs:
    def result(self, done: Done) -> str:
        assert done.code == 0, done.err
        return Path(done.out.strip()).read_text()

    def test_inputs_by_name_and_from_files(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "text.txt").write_text("from a file")
        assert self.result(run("run", "probe.echo", "--text", "named")) == "named"
        assert self.result(run("run", "probe.echo", f"@{tmp_path / 'text.txt'}")) == "from a file"
        assert run("run", "probe.same", '{"a": [1]}').out.strip() == '{"a": [1]}'  # data is no file
        assert self.result(run("run", "probe.join", "a", "b", "c")) == "a+b+c"

    def test_pictures_come_from_files(self, run: Run, picture: Path) -> None:
        for word in (str(picture), f"@{picture}"):
            done = run("run", "probe.flip", word)
            with PIL.Image.open(done.out.strip()) as flipped:
                assert flipped.size == (8, 8)
        assert self.result(run("run", "probe.overlay", str(picture))) == "one"
        assert self.result(run("run", "probe.overlay", str(picture), "--above", str(picture))) == "two"

    def test_an_artifact_is_an_input(self, run: Run, picture: Path) -> None:
        made = run("run", "probe.flip", str(picture), "--json").json["outputs"]["image"][0]
        assert run("run", "probe.flip", made["id"]).code == 0

    def test_several_values_map_and_a_sweep_sweeps(self, run: Run) -> None:
        done = run("run", "probe.echo", "--text", "a", "--text", "b")
        assert [Path(path).read_text() for path in done.out.splitlines()] == ["a", "b"]
        swept = run("run", "probe.echo", "x", "--params", '{"suffix": {"each": ["1", "2", "3"]}}')
        assert [Path(path).read_text() for path in swept.out.splitlines()] == ["x1", "x2", "x3"]

    def test_underscores_and_dashes_are_the_same(self, run: Run, gate: Any) -> None:
        gate.open(2)
        for option in ("--is_stubborn", "--is-stubborn"):
            assert run("run", "probe.hold", "x", "--gate", gate.path, option).code == 0

    def test_text_that_looks_like_an_option_goes_after_two_dashes(self, run: Run) -> None:
        assert self.result(run("run", "probe.echo", "--", "--help")) == "--help"

    @pytest.mark.parametrize(
        "words",
        [
            ("probe.echo",),
            ("probe.echo", "a", "b"),
            ("probe.echo", "x", "--number", "101"),
            ("probe.echo", "x", "--number", "many"),
            ("probe.echo", "x", "--nothing", "1"),
            ("probe.echo", "x", "--params", "[1]"),
            ("probe.echo", "@/no/such/file"),
            ("probe.flip", "/no/such/picture.png"),
            ("probe.flip", __file__),
            ("probe.same", "{no json"),
            ("probe.never",),
            ("no_plugin.echo", "x"),
        ],
    )
    def test_bad_input_is_2(self, run: Run, words: tuple[str, ...]) -> None:
        done = run("run", *words)
        assert (done.code, done.out) == (2, "")
        assert "rror" in done.err
        assert "Traceback" not in done.err

    def test_help_shows_the_knobs(self, run: Run) -> None:
        for words in (("run", "probe.echo", "--help"), ("signatures", "probe.echo")):
            done = run(*words)
            assert done.code == 0
            assert "Return the text with the suffix." in done.out
            assert "--number" in done.out
            assert "0<=x<=100" in done.out
        assert "a FIFO" in run("run", "probe.hold", "--help").out

    def test_help_lists_the_models_there_are(self, run: Run, served: Path) -> None:
        (served / "models" / "checkpoints" / "nice.safetensors").touch()
        assert "nice" in run("run", "probe.load_model", "--help").out


def test_results_are_written_where_asked(served: Path, run: Run, tmp_path: Path, picture: Path) -> None:
    folder = tmp_path / "new" / "folder"
    done = run("run", "probe.flip", str(picture), "--out", str(folder))
    [path] = folder.iterdir()
    assert done.out.strip() == str(path)
    with PIL.Image.open(path) as written:
        assert written.info["stable-core"]


def test_help_says_which_inputs_are_files(served: Path, run: Run) -> None:
    assert "image (image file)" in run("run", "probe.flip", "--help").out
    assert "text (text or @FILE)" in run("run", "probe.echo", "--help").out
    assert "Arguments" not in run("run", "probe.seeded", "--help").out
    assert run("run", "probe.seeded", "too much").code == 2


def test_json_is_the_whole_job(served: Path, run: Run) -> None:
    job = run("run", "probe.echo", "hi", "--json").json
    assert (job["state"], job["outputs"]["text"][0]["value"]) == ("succeeded", "hi")
    failed = run("run", "probe.end", "--how", "raise", "--json")
    assert (failed.code, failed.json["error"]["code"]) == (1, "plugin_raised")
    refused = run("run", "probe.echo", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "invalid_input")
    unknown = run("run", "probe.never", "--json")
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "not_found")


def test_a_failed_job_is_1_and_shows_the_traceback(served: Path, run: Run) -> None:
    done = run("run", "probe.end", "--how", "raise")
    assert (done.code, done.out) == (1, "")
    assert 'raise ValueError("it broke")' in done.err
    assert done.err.rstrip().splitlines()[-2].startswith("error: ")


def test_progress_goes_to_stderr(served: Path, run: Run, gate: Any) -> None:
    open_later(gate)
    assert "at the gate 1/2" in run("run", "probe.hold", "x", "--gate", gate.path).err


def open_later(gate: Any, count: int = 1) -> None:
    """Let jobs through once their command has had time to follow them; one that is too quick has nothing to show."""
    threading.Timer(0.5, gate.open, [count]).start()


def test_a_job_split_into_many_says_how_many_have_ended(served: Path, run: Run, tmp_path: Path, gate: Any) -> None:
    open_later(gate, 2)
    assert "running 2/2" in run("run", "probe.hold", "--text", "x", "--text", "y", "--gate", gate.path).err
    many = {"job": "probe.hold", "inputs": {"text": ["x", "y"]}, "params": {"gate": gate.path}}
    open_later(gate, 2)
    told = run("graph", "run", graph_file(tmp_path, many=many)).err.splitlines()
    assert "many: running 2/2" in told
    assert all(line.startswith("many: ") for line in told), told


def test_no_cache_runs_it_again(served: Path, run: Run, lab: Any) -> None:
    tally = lab.tally()
    for words in ((), (), ("--no-cache",)):
        assert run("run", "probe.echo", "once", "--tally", str(tally), *words).code == 0
    assert tally.read_text().count("ran") == 2


# -- groups of knobs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def grouped(served: Path) -> Path:
    """Put a plugin there whose knobs stand in groups."""
    if not (served / "plugins" / GROUPED.name).exists():
        shutil.copy(GROUPED, served / "plugins")
    return served


@pytest.mark.usefixtures("grouped")
class TestGroups:
    @pytest.mark.parametrize(
        ("words", "changed"),
        [
            ([], {}),
            (["--hires.scale", "3", "--hires.upscaler", "Lanczos"], {"hires": {"scale": 3.0, "upscaler": "Lanczos"}}),
            (["--no-hires.is-tiled"], {"hires": {"is_tiled": False}}),
            (["--hires.mask.blur", "9"], {"hires": {"mask": {"blur": 9}}}),
            (["--hires", '{"scale": 3}', "--hires.is-tiled"], {"hires": {"scale": 3, "is_tiled": True}}),
            (["--hires.scale", "4", "--hires", '{"scale": 3}'], {"hires": {"scale": 4.0}}),
            (["--params", '{"hires.scale": 3, "steps": 5}'], {"hires": {"scale": 3}, "steps": 5}),
            (["--params", '{"hires": {"scale": 3}}', "--hires.scale", "4"], {"hires": {"scale": 4.0}}),
            (
                ["--params", '{"hires.scale": {"each": [1, 2]}}', "--hires.is_tiled"],
                {"hires": {"scale": {"each": [1, 2]}, "is_tiled": True}},
            ),
            (["--refiner.scale", "3"], {"refiner": {"scale": 3.0}}),
            (["--refiner", "null", "--refiner.scale", "3"], {"refiner": {"scale": 3.0}}),
            (["--refiner", "null", "--sizes", "[1, 2]"], {"refiner": None, "sizes": [1, 2]}),
            (["--clip-skip", "2"], {"clip_skip": 2}),
        ],
    )
    def test_a_path_of_dots_sets_a_knob_in_a_group(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], changed: dict[str, Any]
    ) -> None:
        asked: list[Any] = []

        def submit(core: Client, request: Any) -> Any:
            asked.append(request["params"])
            raise KeyboardInterrupt

        monkeypatch.setattr(Client, "submit", submit)
        assert run("run", "grouped.show", *words).code == 130
        assert asked == [changed]

    def test_the_job_gets_the_group_whole(self, run: Run) -> None:
        done = run("run", "grouped.show", "--hires.scale", "3", "--json")
        assert done.json["outputs"]["data"][0]["value"]["hires"] == {
            **{"scale": 3.0, "upscaler": "Latent", "is_tiled": True},
            "mask": {"blur": 4},
        }

    def test_a_sweep_inside_a_group_makes_a_job_of_each(self, run: Run) -> None:
        done = run("run", "grouped.show", "--params", '{"hires.scale": {"each": [1, 3]}}', "--hires.is-tiled")
        made = [json.loads(line)["hires"] for line in done.out.splitlines()]
        assert [(hires["scale"], hires["is_tiled"]) for hires in made] == [(1, True), (3, True)]

    @pytest.mark.parametrize(
        "words",
        [
            ("--hires.scale", "9"),
            ("--hires.upscaler", "Nearest"),
            ("--sampler", "Heun"),
            ("--hires.mask.blur", "x"),
            ("--hires.nothing", "1"),
            ("--hires", "[1]"),
            ("--clip-skip", "0"),
        ],
    )
    def test_a_wrong_knob_in_a_group_is_2(self, run: Run, words: tuple[str, ...]) -> None:
        assert run("run", "grouped.show", *words).code == 2

    @pytest.mark.parametrize(
        ("given", "made"), [("Euler", "Euler"), ("k_euler_a", "Euler a"), ("K_Euler_A", "Euler a")]
    )
    def test_a_choice_goes_by_its_other_names(self, run: Run, given: str, made: str) -> None:
        done = run("run", "grouped.show", "--sampler", given, "--json")
        assert done.json["outputs"]["data"][0]["value"]["sampler"] == made

    def test_help_and_completion_offer_a_choice_by_its_first_names(self, run: Run) -> None:
        assert "--sampler [Euler|Euler a]" in run("run", "grouped.show", "--help").out
        assert complete("run", "grouped.show", "--sampler", "Eu") == ["Euler", "Euler", "a"]

    def test_help_shows_each_knob_under_its_group(self, run: Run) -> None:
        shown = run("run", "grouped.show", "--help").out
        sections = dict(re.findall(r"(?m)^([\w.]+):\n((?:  .*\n?)+)", shown))
        assert "--hires JSON" in sections["hires"]
        assert re.search(r"--hires.scale .* How much larger .*1<=x<=4", " ".join(sections["hires"].split()))
        assert "--hires.mask.blur" in sections["hires.mask"]
        assert "--refiner.scale" in sections["refiner"]
        assert "--steps" in sections["Sampling"]
        assert "--hires.is-tiled / --no-hires.is-tiled (default: false)" in " ".join(sections["hires"].split())
        assert "--clip-skip <int range>" in sections["Options"]

    def test_names_with_dots_are_completed(self, grouped: Path) -> None:
        assert complete("run", "grouped.show", "--hires.s") == ["--hires.scale"]
        with connected(grouped) as core:
            assert shell.completions(core, ["grouped.show"], "--hires.m") == ["--hires.mask ", "--hires.mask.blur "]
            assert shell.completions(core, ["grouped.show"], "--no-h") == ["--no-hires.is-tiled "]


# -- the other commands, against a server ------------------------------------------------------------------------------


def test_signatures(served: Path, run: Run) -> None:
    lines = run("signatures").out.splitlines()
    [echo] = [line.split() for line in lines if line.startswith("probe.echo ")]
    assert echo[1:4] == ["text", "->", "text"]
    assert {one["name"] for one in run("signatures", "--json").json} >= {"probe.echo", "invert.invert"}
    assert run("signatures", "probe.echo", "--json").json["name"] == "probe.echo"
    assert run("signatures", "probe.never").code == 2


def test_jobs_are_listed_shown_cancelled_and_retried(served: Path, run: Run, gate: Any) -> None:
    with connected(served) as core:
        job = core.submit({"job": "probe.hold", "inputs": {"text": "x"}, "params": {"gate": gate.path}})
        assert any(event["type"] == "job.progress" for event in core.events(after=0, job=job["id"]))
    assert run("jobs").out.startswith(job["id"])
    assert run("jobs", "list", "--job", "probe.hold", "--limit", "1", "--json").json[0]["id"] == job["id"]
    assert run("jobs", "list", "--state", "failed", "--job", "probe.never").out == ""
    assert "probe.hold" in run("jobs", "show", job["id"]).out
    assert run("jobs", "show", job["id"], "--json").json["id"] == job["id"]
    assert run("jobs", "cancel", job["id"]).code == 0
    with connected(served) as core:
        assert core.wait(job["id"], WAIT_SECONDS)["state"] == "cancelled"
    open_later(gate)
    again = run("jobs", "retry", job["id"])
    assert (again.code, Path(again.out.strip()).read_text()) == (0, "x")
    assert "at the gate 1/2" in again.err
    assert run("jobs", "retry", job["id"]).code == 2
    assert run("jobs", "logs", job["id"]).code == 0
    assert run("jobs", "show", "none").code == 2
    assert run("jobs", "cancel").code == 2
    assert run("jobs", "cancel", "--all").out.endswith("cancelled\n")


def test_the_log_of_a_job(served: Path, run: Run) -> None:
    job = run("run", "probe.talk", "--mark", "hear me", "--json").json
    assert "printed hear me" in run("jobs", "logs", job["id"]).out


def graph_file(folder: Path, **jobs: Any) -> str:
    path = folder / "graph.json"
    path.write_text(json.dumps({"version": 1, "jobs": jobs, "ui": {}}))
    return str(path)


def test_a_graph_prints_the_results_of_its_jobs(served: Path, run: Run, tmp_path: Path) -> None:
    first = {"job": "probe.echo", "inputs": {"text": "a"}}
    second = {"job": "probe.echo", "inputs": {"text": {"job": "first"}}, "params": {"suffix": "b"}}
    file = graph_file(tmp_path, first=first, second=second)
    done = run("graph", "run", file)
    results = dict(line.split("\t") for line in done.out.splitlines())
    assert [(key, Path(path).read_text()) for key, path in results.items()] == [("first", "a"), ("second", "ab")]
    assert set(run("graph", "run", file, "--json").json["jobs"]) == {"first", "second"}


def test_a_graph_that_fails_is_1_and_one_that_is_wrong_2(served: Path, run: Run, tmp_path: Path) -> None:
    bad = {"job": "probe.end", "params": {"how": "raise"}}
    after = {"job": "probe.echo", "inputs": {"text": {"job": "bad"}}}
    done = run("graph", "run", graph_file(tmp_path, bad=bad, after=after))
    assert (done.code, done.out) == (1, "")
    assert "error: bad: ValueError: it broke" in done.err
    assert "error: after: The job" in done.err
    assert run("graph", "run", graph_file(tmp_path, one={"job": "probe.never"})).code == 2
    (tmp_path / "graph.json").write_text("{")
    assert run("graph", "run", str(tmp_path / "graph.json")).code == 2
    assert run("graph", "run", str(tmp_path / "none.json")).code == 2


def test_a_server_of_a_dead_process_is_not_used(served: Path, tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text('{"url": "http://127.0.0.1:9", "pid": 1, "token": ""}')
    assert running_server(tmp_path) is None
    (tmp_path / "server.json").write_text("{}")
    assert running_server(tmp_path) is None
    server = running_server(served)
    assert server is not None
    server.close()


def complete(*words: str) -> list[str]:
    """Return what bash would show when Tab is pressed after these words."""
    told = {"COMP_WORDS": " ".join(["stable-core", *words]), "COMP_CWORD": str(len(words))}
    environ = {**os.environ, **told, "_STABLE_CORE_COMPLETE": "complete_bash"}
    script = [sys.executable, "-m", "stable_core_cli"]
    return subprocess.run(script, env=environ, capture_output=True, text=True, check=True).stdout.split()


def test_completion_knows_jobs_and_knobs(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("run", "probe.ech") == complete("signatures", "probe.ech") == ["probe.echo"]
    assert complete("run", "probe.echo", "--su") == ["--suffix"]
    monkeypatch.setenv("STABLE_CORE_HOME", str(tmp_path))
    assert complete("run", "probe.ech") == []


# -- without a server --------------------------------------------------------------------------------------------------


def test_run_without_a_server_does_the_same(lab: Any, run: Run) -> None:
    done = run("--home", str(lab.home()), "run", "probe.echo", "alone")
    assert (done.code, Path(done.out.strip()).read_text()) == (0, "alone")
    assert run("run", "probe.echo", f"--home={lab.home()}", "--json").code == 2


def test_two_commands_take_turns_at_one_home(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    home = lab.home()
    other = contextlib.ExitStack()
    other.enter_context(embedded(home))
    notes: list[str] = []

    def let_go(line: str) -> None:
        notes.append(line)
        other.close()

    monkeypatch.setattr(connection, "note", let_go)
    with connected(home) as core:
        assert core.health()["status"] == "ok"
    [line] = notes
    assert "waiting" in line


def command(*words: str, **more: Any) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([sys.executable, "-m", "stable_core_cli", *words], text=True, **pipes)


def test_ctrl_c_cancels_the_job_and_is_130(served: Path, gate: Any) -> None:
    with command("--home", str(served), "run", "probe.hold", "x", "--gate", gate.path) as running:
        assert running.stderr is not None
        while "at the gate" not in running.stderr.readline():
            pass
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=WAIT_SECONDS)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err
    with connected(served) as core:
        assert core.jobs(job="probe.hold", limit=1)[0]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("words", "never"),
    [
        (["--help"], {"starlette", "uvicorn", "msgspec", "pydantic", "PIL", "stable_core.core"}),
        (["run", "probe.echo", "x"], {"starlette", "uvicorn", "msgspec", "stable_core.core"}),
    ],
)
def test_the_command_line_is_light(served: Path, words: list[str], never: set[str]) -> None:
    script = f"import sys\nfrom stable_core_cli import app\ntry: app.main({words!r})\nfinally: print(*sys.modules)"
    variables = {**os.environ, "STABLE_CORE_HOME": str(served)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=variables)
    assert not never & set(done.stdout.split())


def test_an_unreadable_setting_is_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{")
    done = run("--home", str(tmp_path), "signatures")
    assert done.code == 2
    assert "settings.json" in done.err


# -- shell -------------------------------------------------------------------------------------------------------------


def test_the_shell_runs_commands_and_jobs_on_one_core(lab: Any) -> None:
    lines = "probe.echo first\nrun probe.echo second\njobs list --limit 1\nnothing\nprobe.never x\n'open\n"
    lines += "shell\nprobe.echo third\nexit\nprobe.echo fourth\nexit\nx"
    with command("--home", str(lab.home()), "shell", stdin=subprocess.PIPE) as shell:
        out, err = shell.communicate(lines, timeout=WAIT_SECONDS)
    assert shell.returncode == 0, err
    paths = [Path(line).read_text() for line in out.splitlines() if line.startswith("/")]
    assert paths == ["first", "second", "third", "fourth"]
    assert "succeeded" in out
    assert "No such command 'nothing'" in err
    assert "No closing quotation" in err
    assert "Traceback" not in err


def test_the_shell_completes_jobs_and_knobs(served: Path) -> None:
    with connected(served) as core:
        assert "run " in shell.completions(core, [], "r")
        assert shell.completions(core, [], "probe.ech") == ["probe.echo "]
        assert shell.completions(core, ["run"], "probe.ech") == ["probe.echo "]
        assert shell.completions(core, ["run", "probe.echo"], "--su") == ["--suffix "]
        assert shell.completions(core, ["probe.echo", "hi"], "--nu") == ["--number "]


# -- plugins -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def plugins(served: Path) -> Iterator[Path]:
    """Return the plugins folder; what a test adds is gone after it."""
    folder = served / "plugins"
    before = set(folder.iterdir())
    yield folder
    for path in set(folder.iterdir()) - before:
        plugin_commands._delete(path)
    plugin_commands._delete(served / "plugin_versions")


@pytest.mark.parametrize("option", [[], ["--single-file"]])
def test_a_new_plugin_works_at_once(plugins: Path, run: Run, option: list[str]) -> None:
    made = Path(run("plugin", "new", "greeter", *option).out.strip())
    assert made.is_dir() == (not option)
    assert run("run", "greeter.hello", "you", "--times", "11").code == 2
    assert "greeter.hello" in {one["name"] for one in run("signatures", "--json").json}
    assert run("plugin", "new", "greeter").code == 2
    assert run("plugin", "new", "../escape").code == 2


def test_the_test_of_a_new_plugin_passes(plugins: Path, run: Run) -> None:
    folder = Path(run("plugin", "new", "tested").out.strip())
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_wizard_asks(lab: Any) -> None:
    with command("--home", str(lab.home()), "plugin", "new", stdin=subprocess.PIPE) as wizard:
        out, _ = wizard.communicate("asked\ny\n", timeout=WAIT_SECONDS)
    assert wizard.returncode == 0
    assert "plugins/asked" in out


def source_plugin(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "plugin.py").write_text(
        f'from stable_core.sdk import Plugin\n\nVERSION = "{version}"\nplugin = Plugin("from_afar")\n'
    )
    entry = '[project.entry-points."stable_core.plugins"]\nfrom_afar = "plugin:plugin"\n'
    (folder / "pyproject.toml").write_text(f'[project]\nname = "from-afar"\nversion = "{version}"\n\n{entry}')
    return folder


def test_a_plugin_is_installed_updated_rolled_back_and_removed(plugins: Path, run: Run, tmp_path: Path) -> None:
    source = source_plugin(tmp_path / "source", "1")
    installed = plugins / "from_afar" / "plugin.py"
    assert run("plugin", "install", str(source)).out.strip() == str(installed.parent)
    assert run("plugin", "install", str(source)).code == 2
    assert "from_afar" in {one["name"] for one in run("plugin", "list", "--json").json}
    assert run("plugin", "info", "from_afar", "--json").json["came_from"] == str(source)
    assert run("plugin", "update", "from_afar").out == "from_afar is up to date\n"
    assert run("plugin", "rollback", "from_afar").code == 2
    source_plugin(source, "2")
    assert run("plugin", "update", "from_afar").code == 0
    assert 'VERSION = "2"' in installed.read_text()
    for version in ("1", "2"):
        assert run("plugin", "rollback", "from_afar").code == 0
        assert f'VERSION = "{version}"' in installed.read_text()
    assert run("plugin", "remove", "from_afar").code == 0
    assert not installed.parent.exists()
    assert run("plugin", "remove", "from_afar").code == 2


def test_a_single_file_is_installed(plugins: Path, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "one_file.py"
    file.write_text('from stable_core.sdk import Plugin\nplugin = Plugin("one_file")\n')
    assert run("plugin", "install", str(file)).code == 0
    file.write_text(file.read_text() + "# changed\n")
    assert run("plugin", "update", "one_file").code == 0
    assert run("plugin", "rollback", "one_file").code == 0
    assert "changed" not in (plugins / "one_file.py").read_text()


def test_a_plugin_comes_from_git(plugins: Path, run: Run, tmp_path: Path) -> None:
    source = source_plugin(tmp_path / "repository", "1")
    git = ["git", "-C", str(source), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    url = source.as_uri()
    assert "trust" in run("plugin", "install", url).err
    assert run("plugin", "install", f"{url}#v1", "--yes").code == 0
    assert (plugins / "from_afar" / "plugin.py").is_file()
    assert not (plugins / "from_afar" / ".git").exists()
    assert run("plugin", "install", f"{url}#none", "--yes").code == 2


@pytest.mark.parametrize("name", ["../probe", "probe", "invert", "none", "sources"])
def test_only_what_was_installed_is_updated(plugins: Path, run: Run, name: str) -> None:
    assert run("plugin", "update", name).code == 2
    assert run("plugin", "rollback", name).code == 2
    if name != "probe":
        assert run("plugin", "remove", name).code == 2


def test_what_is_no_plugin_is_not_installed(plugins: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("x = 1\n")
    (tmp_path / "empty").mkdir()
    evil = source_plugin(tmp_path / "evil", "1")
    (evil / "pyproject.toml").write_text('[project.entry-points."stable_core.plugins"]\n"../evil" = "plugin:plugin"\n')
    before = set(plugins.iterdir())
    for source in ("plain.py", "empty", "evil"):
        assert run("plugin", "install", str(tmp_path / source)).code == 2
    assert run("plugin", "install", "--yes", "--", "--upload-pack=touch x").code == 2
    assert set(plugins.iterdir()) == before


def test_search_reads_names_and_jobs(served: Path, run: Run) -> None:
    assert {one["name"] for one in run("plugin", "search", "echo", "--json").json} == {"probe"}
    assert "online index" in run("plugin", "search", "never_heard_of").err
    assert run("plugin", "info", "never_heard_of").code == 2
    assert "probe.echo" in run("plugin", "list").out


def test_serve_refuses_a_home_in_use(served: Path, run: Run) -> None:
    done = run("serve", "--port", "0")
    assert done.code == 2
    assert "Another stable-core" in done.err
