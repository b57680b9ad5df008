"""What workers print, sorted by job however the stream is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from stable_core.protocol import LOG_MARK
from stable_core.worker_log import LOG_LIMIT_BYTES, TAIL_BYTES, WorkerLog, log_path


def marked(name: str) -> bytes:
    return LOG_MARK + name.encode() + b"\n"


def read(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_bytes().decode() for path in folder.glob("*.log")}


STREAM = (
    b"before" + marked("a1") + b"one\n\0two\0" + marked("b2") + b"\0\0three" + marked("c3") + marked("d4") + b"four\0"
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_a_log_is_split_at_the_marks_however_it_is_cut(tmp_path: Path, size: int) -> None:
    log = WorkerLog(tmp_path)
    for name in ("a1", "b2", "c3", "d4"):
        log.expect(name)
    for start in range(0, len(STREAM), size):
        log.write(STREAM[start : start + size])
    log.close()
    assert read(tmp_path) == {"a1": "one\n\0two\0", "b2": "\0\0three", "d4": "four\0"}
    assert log.tail == "four\0"


def test_what_only_looks_like_a_mark_is_text(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path)
    log.expect("a1")
    log.write(marked("a1") + marked("b2") + marked("../c") + LOG_MARK + b"x" * 5000)
    log.close()
    assert read(tmp_path) == {"a1": "\0b2\n\0../c\n\0" + "x" * 5000}


def test_many_zeros_are_no_problem(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path)
    log.expect("a1")
    log.write(marked("a1"))
    for _ in range(10):
        log.write(b"\0\n" * 30000)
    log.close()
    assert len(read(tmp_path)["a1"]) == 600_000


def test_a_log_ends_at_its_limit_and_the_next_begins_anew(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path)
    log.expect("a1")
    log.expect("b2")
    log.write(marked("a1"))
    for _ in range(20):
        log.write(b"x" * 2**16)
    log.write(b"the end" + marked("b2") + b"short")
    found = read(tmp_path)
    assert found["a1"].count("x") == LOG_LIMIT_BYTES
    assert "dropped" in found["a1"][LOG_LIMIT_BYTES:]
    assert found["b2"] == "short"


def test_the_tail_is_the_last_of_it(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path)
    for number in range(5000):
        log.write(f"{number}\n".encode())
    assert log.tail.endswith("4999\n")
    assert len(log.tail) <= TAIL_BYTES


def test_a_full_disk_loses_only_the_log(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "not" / "there")
    log.expect("a1")
    log.write(marked("a1") + b"text")
    assert log.tail == "text"


def test_a_log_path_is_below_its_folder(tmp_path: Path) -> None:
    assert log_path(tmp_path, "a1").parent == tmp_path
