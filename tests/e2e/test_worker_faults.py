"""Whatever a plugin does to its worker process, its job ends with a clear error and everybody else goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import FAULT_PLUGINS, MakeServer
from running_server import DEADLINE_SECONDS, RunningServer, is_gone, until

from stable_core_client import ERRORS

DEADLY = {"segfault": "SIGSEGV", "os_exit": "exit code 7"}


def goes_on(server: RunningServer, plugin: str = "faults") -> None:
    """The next job of the plugin runs and the server is well."""
    job = server.ended(server.submit(f"{plugin}.echo", "still here"))
    assert job["state"] == "succeeded", job["error"]
    assert server.text_of(job) == "still here"
    assert server.client.health()["status"] == "ok"


def failed(server: RunningServer, job_id: str, code: str, *words: str) -> dict[str, Any]:
    """The job has failed with this code, a hint, and these words in its message or traceback."""
    job = server.ended(job_id)
    error = job["error"] or {}
    assert (job["state"], error.get("code")) == ("failed", code), job
    assert error["hint"]
    for word in words:
        assert word in error["message"] + error.get("traceback", ""), error
    return job


# -- a worker that dies ------------------------------------------------------------------------------------------------


def test_a_killed_worker_gets_one_more_try_in_a_fresh_process(server: RunningServer) -> None:
    job_id = server.submit("faults.hold", "/no/such/file")
    pids = []
    for attempt in (1, 2):
        server.until_working(job_id, attempt)
        pids.append(server.worker_pid("faults"))
        os.kill(pids[-1], signal.SIGKILL)
    job = failed(server, job_id, "worker_died", "SIGKILL")
    assert job["attempt"] == 2
    assert len(set(pids)) == 2
    assert all(is_gone(pid) for pid in pids)
    goes_on(server)
    assert server.worker_pid("faults") not in pids


def test_a_job_whose_worker_was_killed_once_succeeds(server: RunningServer, tmp_path: Path) -> None:
    release = tmp_path / "release"
    job_id = server.submit("faults.hold", str(release))
    server.until_working(job_id)
    os.kill(server.worker_pid("faults"), signal.SIGKILL)
    server.until_working(job_id, attempt=2)
    release.touch()
    job = server.ended(job_id)
    assert (job["state"], job["attempt"], job["error"]) == ("succeeded", 2, None)
    kinds = [event["type"] for event in replay(server, job_id)]
    assert kinds.count("job.running") == 2
    assert kinds.count("job.succeeded") == 1


@pytest.mark.parametrize("name", DEADLY)
def test_a_job_that_kills_its_worker_is_tried_twice(server: RunningServer, name: str) -> None:
    job = failed(server, server.submit(f"faults.{name}", "good bye"), "worker_died", DEADLY[name])
    assert job["attempt"] == 2
    if name == "os_exit":
        assert "my last words were good bye" in job["error"]["message"]
        assert "my last words were good bye" in server.client.log(job["id"])
    goes_on(server)


def test_exit_of_the_plugin_is_only_an_error_of_its_job(server: RunningServer) -> None:
    goes_on(server)
    pid = server.worker_pid("faults")
    job = failed(server, server.submit("faults.sys_exit", "enough"), "plugin_raised", "sys.exit(enough)")
    assert job["attempt"] == 1
    assert server.worker_pid("faults") == pid
    goes_on(server)


def test_jobs_behind_a_deadly_one_run(server: RunningServer) -> None:
    deadly = [server.submit("faults.segfault", str(number)) for number in range(2)]
    behind = [server.submit("faults.echo", str(number)) for number in range(5)]
    assert [server.ended(job_id)["state"] for job_id in behind] == ["succeeded"] * 5
    assert [server.ended(job_id)["state"] for job_id in deadly] == ["failed"] * 2


def test_workers_killed_at_random_under_load_leave_no_job_behind(server: RunningServer) -> None:
    jobs = [server.submit("faults.echo", str(number)) for number in range(200)]
    for ended in (10, 50, 90, 130, 170):
        server.ended(jobs[ended])
        with contextlib.suppress(ProcessLookupError):  # the one killed before may still be listed
            if pid := server.worker_pid("faults"):
                os.kill(pid, signal.SIGKILL)
                until(lambda pid=pid: is_gone(pid), "the end of the worker")
        begun = next(job for job in server.client.jobs(job="faults.echo", limit=200) if job["attempt"])
        server.ended(begun["id"])  # and the one that lost its worker before it: a second loss would be its last
    for number, job_id in enumerate(jobs):
        job = server.ended(job_id)
        assert (job["state"], job["attempt"] <= 2) == ("succeeded", True), job
        assert job["outputs"]["text"][0]["value"] == str(number)
    goes_on(server)


def test_what_needs_a_failed_job_fails_with_its_name(server: RunningServer) -> None:
    jobs = {
        "dies": {"job": "faults.segfault", "inputs": {"text": "x"}},
        "needs it": {"job": "calm.echo", "inputs": {"text": {"job": "dies"}}},
        "needs that": {"job": "calm.echo", "inputs": {"text": {"job": "needs it"}}},
        "alone": {"job": "calm.echo", "inputs": {"text": "x"}, "cache": False},
    }
    ids = {key: job["id"] for key, job in server.client.graph({"version": 1, "jobs": jobs})["jobs"].items()}
    failed(server, ids["dies"], "worker_died")
    failed(server, ids["needs it"], "input_failed", ids["dies"])
    failed(server, ids["needs that"], "input_failed", ids["needs it"])
    assert server.ended(ids["alone"])["state"] == "succeeded"


@pytest.mark.parametrize("how", ["die", "cancel"])
def test_programs_that_a_worker_started_end_with_it(server: RunningServer, how: str) -> None:
    job_id = server.submit("faults.leave_child", how)
    child = int(server.until_working(job_id)["data"]["message"])
    if how == "cancel":
        server.client.cancel(job_id)
        assert server.ended(job_id)["state"] == "cancelled"
    else:
        failed(server, job_id, "worker_died", "exit code 7")
    until(lambda: is_gone(child), "the end of the program")
    goes_on(server)


# -- a worker that does not listen -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spin", "sleep_in_c", "stubborn"])
def test_cancel_needs_no_goodwill(server: RunningServer, tmp_path: Path, name: str) -> None:
    release = tmp_path / "release"
    calm_id = server.submit("calm.hold", str(release))
    server.until_working(calm_id)
    calm_pid = server.worker_pid("calm")
    job_id = server.submit(f"faults.{name}", "for ever")
    server.until_working(job_id)
    pid = server.worker_pid("faults")
    server.client.cancel(job_id)
    job = server.ended(job_id)
    assert (job["state"], job["attempt"]) == ("cancelled", 1)
    until(lambda: is_gone(pid), "the end of the worker")
    assert server.worker_pid("calm") == calm_pid
    release.touch()
    assert server.ended(calm_id)["attempt"] == 1
    goes_on(server)


def test_a_cancelled_job_that_listens_keeps_its_worker(make_server: MakeServer) -> None:
    server = make_server(STABLE_CORE_CANCEL_GRACE_SECONDS=str(DEADLINE_SECONDS)).start()
    job_id = server.submit("faults.hold", "/no/such/file")
    server.until_working(job_id)
    pid = server.worker_pid("faults")
    assert server.client.cancel(job_id)["id"] == server.client.cancel(job_id)["id"] == job_id
    assert server.ended(job_id)["state"] == "cancelled"
    goes_on(server)
    assert server.worker_pid("faults") == pid


def test_a_frozen_worker_can_be_cancelled(server: RunningServer) -> None:
    job_id = server.submit("faults.hold", "/no/such/file")
    server.until_working(job_id)
    pid = server.worker_pid("faults")
    os.kill(pid, signal.SIGSTOP)
    server.client.cancel(job_id)
    assert server.ended(job_id)["state"] == "cancelled"
    until(lambda: is_gone(pid), "the end of the worker")
    goes_on(server)


def test_a_timeout_needs_no_goodwill_either(server: RunningServer) -> None:
    request = {"job": "faults.sleep_in_c", "inputs": {"text": "for ever"}, "timeout": 0.5}
    job = failed(server, server.client.submit(request)["id"], "timed_out")
    assert job["attempt"] == 1
    goes_on(server)


# -- a worker that talks too much, or nonsense -------------------------------------------------------------------------


def test_a_gigabyte_of_output_fills_neither_memory_nor_disk(server: RunningServer) -> None:
    goes_on(server)
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    job = server.ended(server.submit("faults.flood_output", "done", count=1024))
    assert (job["state"], server.text_of(job)) == ("succeeded", "done")
    assert peak_bytes(server.process.pid) - before < 100 * 2**20
    log = server.home / "logs" / f"{job['id']}.log"
    assert 2**20 <= log.stat().st_size < 2**20 + 200
    assert "the rest of this log was dropped" in server.client.log(job["id"])[-100:]
    goes_on(server)


def test_output_that_looks_like_the_marks_between_logs_is_only_output(server: RunningServer) -> None:
    job = server.ended(server.submit("faults.zeros", "done"))
    assert job["state"] == "succeeded"
    assert "after the zeros" in server.client.log(job["id"])
    other = server.ended(server.submit("faults.os_exit", "of the next job"))
    assert "of the next job" in server.client.log(other["id"])
    assert "of the next job" not in server.client.log(job["id"])


def test_a_flood_of_progress_is_thinned_out(server: RunningServer) -> None:
    job = server.ended(server.submit("faults.flood_progress", "done", count=100_000))
    assert job["state"] == "succeeded"
    assert (job["progress"]["step"], job["progress"]["total"]) == (100_000, 100_000)
    reports = [event for event in replay(server, job["id"]) if event["type"] == "job.progress"]
    seconds = job["finished"] - job["started"]
    assert 1 <= len(reports) <= 20 * seconds + 5
    assert reports[-1]["data"]["step"] == 100_000


def test_garbage_on_the_protocol_pipe_ends_only_that_worker(server: RunningServer, tmp_path: Path) -> None:
    calm_id = server.submit("calm.hold", str(tmp_path / "release"))
    server.until_working(calm_id)
    failed(server, server.submit("faults.garbage", "x"), "protocol_mismatch", "this is no message")
    (tmp_path / "release").touch()
    assert server.ended(calm_id)["state"] == "succeeded"
    goes_on(server)


@pytest.mark.parametrize(("name", "words"), [("wrong_type", "announced image"), ("raises", "ValueError: of no use")])
def test_errors_of_the_plugin_say_what_and_where(server: RunningServer, name: str, words: str) -> None:
    job = failed(server, server.submit(f"faults.{name}", "of no use"), "plugin_raised", words)
    assert job["attempt"] == 1
    goes_on(server)


def test_out_of_memory_is_called_so(server: RunningServer) -> None:
    failed(server, server.submit("faults.out_of_memory", "x"), "out_of_memory", "MemoryError")
    goes_on(server)


# -- a worker that never starts ----------------------------------------------------------------------------------------


def test_a_plugin_that_cannot_be_imported_says_why_and_breaks_no_other(make_server: MakeServer) -> None:
    server = make_server()
    shutil.copy(FAULT_PLUGINS / "broken_import.py", server.home / "plugins")
    server.start()

    def found() -> dict[str, Any] | None:
        return next(plugin["error"] for plugin in server.client.plugins() if plugin["name"] == "broken_import")

    error = until(found, "the end of its announcement")
    assert error["code"] == "bad_announcement"
    assert "no_such_package_at_all" in error["message"]
    with pytest.raises(ERRORS["bad_announcement"], match="no_such_package_at_all"):
        server.submit("broken_import.echo", "x")
    goes_on(server)
    mended = (FAULT_PLUGINS / "broken_import.py").read_text().replace("import no_such_package_at_all", "import json")
    (server.home / "plugins" / "broken_import.py").write_text(mended)
    goes_on(server, "broken_import")
    assert "broken_import.echo" in [signature["name"] for signature in server.client.signatures()]


def test_a_plugin_that_hangs_at_its_import_keeps_nobody_waiting(make_server: MakeServer) -> None:
    server = make_server()
    shutil.copy(FAULT_PLUGINS / "hangs.py", server.home / "plugins" / "hangs_always.py")
    server.start()
    [hanging] = [plugin for plugin in server.client.plugins() if plugin["name"] == "hangs"]
    assert hanging["error"] is None, "nobody waited for its end"
    goes_on(server)
    assert server.terminate() == 0
    plugin = str(server.home / "plugins" / "hangs_always.py")
    assert not any(plugin in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def test_a_flood_of_output_at_the_import_fills_no_memory(make_server: MakeServer) -> None:
    server = make_server().start()
    before = psutil.Process(server.process.pid).memory_info().rss
    shutil.copy(FAULT_PLUGINS / "floods.py", server.home / "plugins")
    goes_on(server, "floods")
    assert peak_bytes(server.process.pid) - before < 100 * 2**20


def test_a_worker_that_hangs_at_its_start_is_given_up(make_server: MakeServer) -> None:
    server = make_server()
    shutil.copy(FAULT_PLUGINS / "hangs.py", server.home / "plugins")
    server.start()
    goes_on(server)  # its worker starts while there is time for that
    server.set(worker_start_seconds=1.5)
    first, second = (server.submit("hangs.echo", str(number)) for number in range(2))
    goes_on(server)
    for job_id in (first, second):
        failed(server, job_id, "timed_out", "said nothing for 1.5 s")
    until(lambda: len(server.workers()) == 1, "the end of the worker that hangs")


def test_a_job_whose_worker_hangs_at_its_start_can_be_cancelled(make_server: MakeServer) -> None:
    server = make_server()
    shutil.copy(FAULT_PLUGINS / "hangs.py", server.home / "plugins")
    server.start()
    job_id = server.submit("hangs.echo", "x")
    until(server.workers, "the worker that hangs")
    assert server.client.cancel(job_id)["state"] == "cancelled"
    goes_on(server)
    assert server.terminate() == 0


def test_incompatible_plugins_work_side_by_side(make_server: MakeServer) -> None:
    server = make_server()
    for shared in ("environments", "locks"):  # this test makes its own
        (server.home / shared).unlink()
    for name in ("pins_old", "pins_new"):
        shutil.copy(FAULT_PLUGINS / f"{name}.py", server.home / "plugins")
    server.start()
    old, new = server.submit("pins_old.version", "?"), server.submit("pins_new.version", "?")
    answers = [server.text_of(server.ended(job_id)) for job_id in (old, new)]
    assert [answer.partition(" at ")[0] for answer in answers] == ["1.1.1", "2.1.0"]
    folders = {Path(answer.partition(" at ")[2]).parents[-4] for answer in answers}
    assert all(answer.partition(" at ")[2].startswith(str(server.home / "environments")) for answer in answers), folders
    messages = [event["data"].get("message") for event in replay(server, new) if event["type"] == "job.progress"]
    assert any("environment" in message for message in messages), messages


# -- shared ------------------------------------------------------------------------------------------------------------


def replay(server: RunningServer, job_id: str) -> list[dict[str, Any]]:
    """Return the events of a job that has ended."""
    found = []
    for event in server.events(job_id):
        found.append(event)
        if event["type"] in ("job.succeeded", "job.failed", "job.cancelled"):
            break
    return found


def peak_bytes(pid: int) -> int:
    """Return the most memory the process ever had, where the system tells, else what it has now."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return int(psutil.Process(pid).memory_info().rss)
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
