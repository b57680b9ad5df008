"""The worker, through the core: whatever a plugin does, its job ends with the right words and the next one runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stable_core import protocol
from stable_core.core import Core
from stable_core.environments import worker_environment
from stable_core.protocol import MessageDecoder, encode_message

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 120


async def fails(core: Core, lab: Any, job: str, how: str, **params: Any) -> dict[str, Any]:
    """Run a job that fails and return its error; a job after it runs as if nothing had been."""
    ended = await lab.run(core, job, params={"how": how, **params})
    assert ended["state"] == "failed"
    after = await lab.run(core, "echo", inputs={"text": f"after {job} {how}"}, cache=False)
    assert lab.texts(core, after) == [f"after {job} {how}"]
    return dict(ended["error"])


# -- deaths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "words"), [("segfault", "SIGSEGV"), ("os._exit", "exit code 3"), ("kill", "SIGKILL")])
async def test_a_job_that_kills_its_worker_is_tried_twice(core: Core, lab: Any, how: str, words: str) -> None:
    tally = lab.tally()
    error = await fails(core, lab, "end", how, tally=str(tally))
    assert error["code"] == "worker_died"
    assert words in error["message"]
    assert tally.read_text("utf-8").count("ran") == 2
    assert error["hint"]


async def test_the_last_words_of_a_dead_worker_are_kept(core: Core, lab: Any) -> None:
    ended = await lab.run(core, "end", params={"how": "os._exit"})
    assert ended["attempt"] == 2
    assert "last words" in ended["error"]["message"]
    assert core.log(ended["id"]).count("last words") == 2


async def test_what_a_dead_worker_started_goes_with_it(core: Core, lab: Any) -> None:
    note = lab.tally()
    ended = await lab.run(core, "end", params={"how": "child", "tally": str(note)})
    assert ended["error"]["code"] == "worker_died"
    assert lab.has_ended(int(note.read_text("utf-8")))


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("sys.exit", "plugin_raised", "sys.exit(bye)"),
        ("memory", "out_of_memory", "too much"),
        ("raise", "plugin_raised", "ValueError: it broke"),
        ("touchy", "plugin_raised", "Touchy"),
        ("deep", "plugin_raised", "RecursionError"),
    ],
)
async def test_a_job_that_raises(core: Core, lab: Any, how: str, code: str, words: str) -> None:
    tally = lab.tally()
    error = await fails(core, lab, "end", how, tally=str(tally))
    assert error["code"] == code
    assert words in error["message"]
    assert "probe.py" in error["traceback"]
    if how != "deep":
        assert tally.read_text("utf-8").count("ran") == 1, "only a dead worker is a reason to try again"


async def test_an_error_of_ours_keeps_its_code(core: Core, lab: Any) -> None:
    error = await fails(core, lab, "end", "own error")
    assert (error["code"], error["message"], error["hint"]) == (
        "invalid_input",
        "the image is too small",
        "Use a larger one.",
    )


async def test_a_job_may_end_itself_as_cancelled(core: Core, lab: Any) -> None:
    assert (await lab.run(core, "end", params={"how": "cancelled"}))["state"] == "cancelled"


async def test_a_plugin_that_closes_its_outputs_still_works(core: Core, lab: Any) -> None:
    assert lab.texts(core, await lab.run(core, "end", params={"how": "closed"})) == ["fine"]
    assert (await lab.run(core, "talk", params={"how": "print"}))["state"] in ("succeeded", "failed")
    crashed = await lab.run(core, "end", params={"how": "os._exit"})
    assert crashed["error"]["code"] == "worker_died"


async def test_settings_that_a_plugin_no_longer_has_do_no_harm(core: Core, lab: Any) -> None:
    core.config.update_plugin_settings("probe", {"former": 1})
    try:
        assert (await lab.run(core, "greet", inputs={"name": "former"}))["state"] == "succeeded"
        await core.update_plugin_settings("probe", {"greeting": "hello"})
    finally:
        core.config.update_plugin_settings("probe", {"former": None, "greeting": None})


# -- garbage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("none", "NoneType"),
        ("number", "int"),
        ("object", "object"),
        ("type", "type"),
        ("surrogate", "surrogates not allowed"),
    ],
)
async def test_a_result_of_the_wrong_type(core: Core, lab: Any, how: str, words: str) -> None:
    error = await fails(core, lab, "garbage", how)
    assert error["code"] == "plugin_raised"
    assert "probe.garbage announced text" in error["message"]
    assert words in error["message"]


@pytest.mark.parametrize("how", ["none", "text", "mixed"])
async def test_a_list_of_the_wrong_type(core: Core, lab: Any, how: str) -> None:
    error = await fails(core, lab, "garbage_list", how)
    assert error["code"] == "plugin_raised"
    assert "probe.garbage_list announced" in error["message"]


async def test_a_file_that_is_not_there(core: Core, lab: Any, tmp_path: Path) -> None:
    error = await fails(core, lab, "garbage_file", str(tmp_path / "nothing.bin"))
    assert error["code"] == "plugin_raised"
    assert "nothing.bin" in error["message"]


async def test_a_report_that_has_no_form_in_json(core: Core, lab: Any) -> None:
    ended = await lab.run(core, "report_badly")
    assert (ended["state"], ended["error"]["code"]) == ("failed", "plugin_raised")


async def test_a_generator_that_breaks_half_way(core: Core, lab: Any) -> None:
    ended = await lab.run(core, "pictures", params={"count": 3, "fails_at": 2})
    assert ended["state"] == "failed"
    assert "no more paint" in ended["error"]["message"]
    events = [event async for event in _of(core, ended["id"])]
    assert [event["type"] for event in events].count("job.output") == 2


async def _of(core: Core, job: str) -> Any:
    async for event in core.events(0, job=job):
        yield event
        if event["type"] in ("job.succeeded", "job.failed", "job.cancelled"):
            return


async def test_results_are_told_as_they_are_made(core: Core, lab: Any) -> None:
    ended = await lab.run(core, "pictures", params={"count": 3, "color": "green"})
    events = [event async for event in _of(core, ended["id"])]
    told = [event["data"]["artifact"]["id"] for event in events if event["type"] == "job.output"]
    assert told == [made["id"] for made in ended["outputs"]["image"]]
    assert len(set(told)) == 3


@pytest.mark.parametrize(("step", "total"), [(1, 100), (0, 0), (7, 0), (1, 1), (3, 2)])
async def test_a_flood_of_reports_is_held_back_and_the_last_step_told(
    core: Core, lab: Any, step: int, total: int
) -> None:
    job = await lab.run(core, "flood", params={"step": step, "total": total})
    told = [event["data"] async for event in _of(core, job["id"]) if event["type"] == "job.progress"]
    assert len(told) < 500
    assert told[-1]["step"] == 10
    assert job["progress"]["step"] == 10


# -- what is printed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("print", "printed m"),
        ("error", "complained m"),
        ("c", "from C m"),
        ("write", "raw m"),
        ("child", "child m"),
        ("json", '{"type":"done","job":"x"}'),
        ("zeros", "a\0b\n\0\n\0x y\n\0"),
    ],
)
async def test_what_a_plugin_prints_is_the_log_of_its_job(core: Core, lab: Any, how: str, words: str) -> None:
    first = await lab.run(core, "talk", params={"how": how, "mark": "m1", "count": 2})
    second = await lab.run(core, "talk", params={"how": how, "mark": "m2", "count": 1})
    assert first["state"] == second["state"] == "succeeded"
    assert lab.texts(core, first) == ["told"]
    after = await lab.run(core, "talk", params={"how": "print", "mark": "m3"})
    await lab.run(core, "echo", inputs={"text": "x"}, cache=False)
    one, two, three = core.log(first["id"]), core.log(second["id"]), core.log(after["id"])
    assert words in one
    assert "m2" not in one
    assert "m1" not in two
    assert "m3" not in two
    assert "m2" not in three
    if words.endswith("m"):
        assert (one.count(words), two.count(words)) == (2, 1)


async def test_a_log_is_cut_at_one_mebibyte(core: Core, lab: Any) -> None:
    ended = await lab.run(core, "talk", params={"how": "line", "count": 80})
    assert ended["state"] == "succeeded"
    await lab.run(core, "echo", inputs={"text": "x"}, cache=False)
    log = core.log(ended["id"])
    assert 2**20 <= len(log) < 2**20 + 200
    assert "dropped" in log[-100:]


async def test_programs_that_a_plugin_starts_read_no_messages(core: Core, lab: Any) -> None:
    waiting = await core.submit({"job": "probe.read_stdin", "timeout": WAIT_SECONDS})
    behind = await core.submit({"job": "probe.echo", "inputs": {"text": "behind"}, "cache": False})
    assert lab.texts(core, await lab.end(core, waiting["id"])) == [""]
    assert lab.texts(core, await lab.end(core, behind["id"])) == ["behind"]


# -- the process by itself ---------------------------------------------------------------------------------------------


def start(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a worker as the core does."""
    environment = {**worker_environment(home), "STABLE_CORE_ARTIFACTS": str(home / "artifacts")}
    python = next((home / "environments").glob("*/bin/python"))
    command = [str(python), "-m", "stable_core.worker", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, cwd=home)


def said(stdout: bytes) -> list[protocol.Message]:
    return MessageDecoder().feed(stdout)


def test_a_worker_announces_and_ends(lab: Any) -> None:
    home = lab.home()
    with start(home, str(home / "plugins" / "probe.py"), "") as worker:
        out, _ = worker.communicate(timeout=WAIT_SECONDS)
    (hello,) = said(out)
    assert (hello["type"], hello["version"], worker.returncode) == ("hello", protocol.VERSION, 0)
    assert "probe.echo" in [signature["name"] for signature in hello["plugin"]["signatures"]]


def test_a_worker_ends_when_its_pipe_is_closed_even_in_a_job(lab: Any, gate: Any) -> None:
    home = lab.home()
    with start(home, str(home / "plugins" / "probe.py"), "") as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert said(worker.stdout.readline())[0]["type"] == "hello"
        params = {"gate": gate.path, "is_stubborn": True}
        run = {"type": "run", "job": "j1", "name": "hold", "inputs": {"text": {"text": "x"}}, "params": params}
        worker.stdin.write(encode_message({**run, "settings": {}}))
        worker.stdin.flush()
        assert said(worker.stdout.readline())[0]["type"] == "progress"
        worker.stdin.close()
        assert worker.wait(timeout=WAIT_SECONDS) == 0


def test_a_worker_that_is_sent_garbage_ends(lab: Any) -> None:
    home = lab.home()
    with start(home, str(home / "plugins" / "probe.py"), "") as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdout.readline()
        worker.stdin.write(b"this is no message\n")
        worker.stdin.flush()
        worker.wait(timeout=WAIT_SECONDS)


def test_a_worker_told_to_exit_unloads_first(lab: Any) -> None:
    home = lab.home()
    plugin = home / "plugins" / "polite.py"
    plugin.write_text(
        "from stable_core.sdk import Plugin\n"
        'plugin = Plugin("polite")\n'
        "@plugin.unload\n"
        "def bye() -> None:\n"
        '    print("unloaded")\n'
    )
    with start(home, str(plugin), "") as worker:
        assert worker.stdin is not None
        assert worker.stderr is not None
        worker.stdin.write(encode_message({"type": "exit"}))
        worker.stdin.flush()
        assert worker.wait(timeout=WAIT_SECONDS) == 0
        assert b"unloaded" in worker.stderr.read()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(4)", "SystemExit"),
        ("print('hi')", "holds no Plugin"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_a_plugin_that_cannot_be_imported(lab: Any, code: str, words: str) -> None:
    home = lab.home()
    plugin = home / "plugins" / "bad.py"
    plugin.write_text(code)
    with start(home, str(plugin), "") as worker:
        out, _ = worker.communicate(timeout=WAIT_SECONDS)
    (hello,) = said(out)
    assert hello["error"]["code"] == "bad_announcement"
    assert words in hello["error"]["message"]
    assert worker.returncode == 1


def test_a_worker_sees_no_secrets_and_nothing_of_the_core(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLE_CORE_TOKEN", "s3cret")
    monkeypatch.setenv("MY_API_KEY", "s3cret")
    home = lab.home()
    plugin = home / "plugins" / "nosy.py"
    plugin.write_text(
        "import os, importlib.util\n"
        "assert 's3cret' not in os.environ.values()\n"
        "assert importlib.util.find_spec('stable_core.store') is None\n"
        "from stable_core.sdk import Plugin\n"
        'plugin = Plugin("nosy")\n'
    )
    with start(home, str(plugin), "") as worker:
        out, _ = worker.communicate(timeout=WAIT_SECONDS)
    assert "plugin" in said(out)[0], said(out)[0]
    assert os.environ["STABLE_CORE_TOKEN"] == "s3cret"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_hanging_worker_ends_with_its_parent(lab: Any, gate: Any) -> None:
    home = lab.home()
    script = (
        "import sys, os, subprocess\n"
        "worker = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "worker.stdout.readline()\n"
        "print(worker.pid, flush=True)\n"
        "os.set_inheritable(worker.stdin.fileno(), True)\n"
        "sys.stdin.read()\n"
        "os._exit(0)\n"
    )
    python = str(next((home / "environments").glob("*/bin/python")))
    worker = [python, "-m", "stable_core.worker", str(home / "plugins" / "probe.py"), ""]
    command = [sys.executable, "-c", script, *worker]
    with subprocess.Popen(
        command, env=worker_environment(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.communicate(b"")
    assert lab.has_ended(pid)
