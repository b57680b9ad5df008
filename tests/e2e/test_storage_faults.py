"""A full disk costs nothing that was accepted: a clear error, nothing half-written, and then it goes on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import MakeServer
from running_server import DEADLINE_SECONDS, RunningServer, until

from stable_core_client import ERRORS, StableCoreError

DISK_MB = 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return the mount point of a disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free on the disk of a folder and return the file that took them."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return ballast


def artifact_files(server: RunningServer) -> list[Path]:
    """Return every file among the artifacts, half-written ones too; each must be what its name says."""
    files = [path for path in (server.home / "artifacts").rglob("*") if path.is_file() and path.name != "ballast"]
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    return files


def test_a_full_disk_for_artifacts(make_server: MakeServer, small_disk: Path) -> None:
    server = make_server()
    (server.home / "artifacts").symlink_to(small_disk)
    server.start()
    before = server.ended(server.submit("faults.big_result", "", count=2))
    kept = artifact_files(server)
    assert len(kept) == 1
    ballast = fill(small_disk)

    job_id = server.submit("faults.big_result", "", count=3)
    job = server.ended(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "storage_full"), job
    assert "space" in job["error"]["hint"]
    with pytest.raises(ERRORS["storage_full"]):
        server.client.upload(os.urandom(3 * 2**20))
    assert artifact_files(server) == kept
    assert server.client.health()["status"] == "ok"
    assert len(server.text_of(before)) == 2 * 2**20

    ballast.unlink()
    server.client.retry(job_id)
    assert server.ended(job_id)["state"] == "succeeded"
    content = os.urandom(3 * 2**20)
    assert server.client.download(server.client.upload(content)) == content
    assert len(artifact_files(server)) == 3


def test_a_worker_that_may_not_write(new_server: RunningServer) -> None:
    server = new_server
    job_id = server.submit("faults.big_result_on_a_small_disk", "full", count=3)
    job = server.ended(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "storage_full"), job
    assert artifact_files(server) == []
    job = server.ended(server.submit("faults.big_result_on_a_small_disk", "free", count=3))
    assert job["state"] == "succeeded"
    assert len(artifact_files(server)) == 1


def test_a_full_disk_for_the_outputs_folder(make_server: MakeServer, small_disk: Path) -> None:
    server = make_server(STABLE_CORE_OUTPUTS_FOLDER=str(small_disk)).start()
    ballast = fill(small_disk)
    job_id = server.submit("faults.big_result", "", count=1)
    job = server.ended(job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "storage_full"), job
    assert [path for path in small_disk.rglob("*") if path.is_file()] == [ballast]
    ballast.unlink()
    server.client.retry(job_id)
    [artifact] = server.ended(job_id)["outputs"]["text"]
    assert Path(artifact["path"]).stat().st_size == 2**20


def test_a_full_disk_for_everything(
    make_server: MakeServer, make_home: Callable[[Path], Path], small_disk: Path, tmp_path: Path
) -> None:
    server = make_server(make_home(small_disk / "home"), STABLE_CORE_SAVE_RESULTS="false").start()
    release = tmp_path / "release"
    running = server.submit("faults.hold", str(release))
    server.until_working(running)
    ballast = fill(small_disk)

    accepted: list[str] = []
    with pytest.raises(ERRORS["storage_full"]) as refusal:
        submit_many(server, accepted)
    assert "space" in refusal.value.hint  # type: ignore[attr-defined]
    release.touch()  # its end cannot be stored either
    for _ in range(3):
        with pytest.raises(ERRORS["storage_full"]):
            server.submit("faults.echo", "x" * 100_000)
    assert server.client.job(running)["state"] in ("running", "queued", "failed")

    ballast.unlink()
    late = server.submit("calm.echo", "late")
    assert server.ended(late)["state"] == "succeeded"
    assert {server.ended(job_id)["state"] for job_id in accepted} <= {"succeeded"}
    if server.ended(running)["state"] == "failed":
        assert server.client.job(running)["error"]["code"] == "storage_full"
    assert server.client.health()["status"] == "ok"


@pytest.mark.parametrize("has_history", [True, False])
def test_a_server_that_starts_on_a_full_disk_says_so_and_loses_nothing(
    make_server: MakeServer, make_home: Callable[[Path], Path], small_disk: Path, has_history: bool
) -> None:
    server = make_server(make_home(small_disk / "home"))
    job_id = ""
    if has_history:
        server.start()
        job_id = server.submit("faults.hold", "/no/such/file")
        server.until_working(job_id)
        server.kill()
    ballast = fill(small_disk)
    does_serve = server.try_start()
    if not does_serve:
        assert server.wait() in (1, 2)
        assert "space" in server.output
    ballast.unlink()
    if not does_serve:
        server.start()
    if has_history:
        server.until_working(job_id, attempt=2)
        server.client.cancel(job_id)
    assert server.ended(server.submit("calm.echo", "as before"))["state"] == "succeeded"


def test_a_database_that_another_program_locks(new_server: RunningServer, tmp_path: Path) -> None:
    server, release = new_server, tmp_path / "release"
    running, queued = server.submit("faults.hold", str(release)), server.submit("faults.echo", "queued")
    server.until_working(running)
    with contextlib.closing(sqlite3.connect(server.home / "stable-core.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ERRORS["storage_full"], match="locked"):
            server.submit("faults.echo", "x")
        with pytest.raises(StableCoreError, match="503"):
            server.client.health()
        listed = run_command("jobs", "list", "--home", str(server.home))
        assert (listed.returncode, running in listed.stdout) == (0, True), "commands still find the server"
        release.touch()  # its end cannot be stored
        until(lambda: not busy_workers(server), "the end of the job")
    assert server.ended(running)["state"] == "succeeded"
    assert server.ended(queued)["attempt"] == 1
    assert server.ended(server.submit("calm.echo", "y"))["state"] == "succeeded"


def run_command(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line to its end."""
    command = [sys.executable, "-m", "stable_core_cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)


def busy_workers(server: RunningServer) -> list[str]:
    """Return the plugins whose workers have a job in hand."""
    [host] = server.client._list("/v1/hosts")
    return [worker["plugin"] for worker in host["workers"] if worker["state"] == "busy"]


def submit_many(server: RunningServer, accepted: list[str]) -> None:
    """Submit jobs until one is refused; the write-ahead log has some room of its own."""
    for number in range(20_000):
        accepted.append(server.submit("faults.echo", f"{number} " + "x" * 4000))
