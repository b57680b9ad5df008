"""The messages between core and worker, and the artifacts folder they share."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from stable_core import protocol
from stable_core.errors import ProtocolMismatch, StorageFull
from stable_core.protocol import Message, MessageDecoder, artifact_path, encode_message, write_artifact

MESSAGES: list[Message] = [
    {"type": "hello", "version": 1},
    {"type": "progress", "text": "line\nbreak \0 zero \u2028 😀 ü \ud800"},
    {"type": "done", "list": [1, 2.5, None, True, {"a": []}]},
]


def test_a_message_is_one_line() -> None:
    assert all(encode_message(message).count(b"\n") == 1 for message in MESSAGES)
    assert encode_message({"type": "run", "job": "j"}) == b'{"type":"run","job":"j"}\n'


@pytest.mark.parametrize("size", [1, 2, 7, 50, 10_000])
def test_messages_arrive_however_the_stream_is_cut(size: int) -> None:
    stream = b"".join(map(encode_message, MESSAGES)) * 2
    decoder = MessageDecoder()
    found = [message for at in range(0, len(stream), size) for message in decoder.feed(stream[at : at + size])]
    assert found == MESSAGES * 2


@pytest.mark.parametrize(
    "line", [b"hello", b"", b"[1]", b"3", b'"text"', b"null", b"{}", b"\xff", b'{"type":"a"} x', b"\r"]
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolMismatch, match="no message"):
        MessageDecoder().feed(line + b"\n")


def test_a_message_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_MESSAGE_BYTES", 1000)
    decoder = MessageDecoder()
    for _ in range(10):
        assert decoder.feed(b"x" * 100) == []
    with pytest.raises(ProtocolMismatch, match="too long"):
        decoder.feed(b"x")


def test_a_large_message_costs_no_more_than_its_bytes() -> None:
    message: Message = {"type": "run", "text": "x" * 20_000_000}
    line = encode_message(message)
    decoder = MessageDecoder()
    found = [one for at in range(0, len(line), 2**14) for one in decoder.feed(line[at : at + 2**14])]
    assert found == [message]


# -- artifacts ---------------------------------------------------------------------------------------------------------


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content", [b"", b"text", os.urandom(3_000_000)])
def test_an_artifact_is_stored_under_its_hash(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    folder = tmp_path / "artifacts"
    expected = (hashlib.sha256(content).hexdigest(), len(content))
    assert write_artifact(folder, content) == expected
    assert write_artifact(folder, source) == expected
    assert files(folder) == [artifact_path(folder, expected[0])]
    assert files(folder)[0].read_bytes() == content


def test_a_file_is_stored_as_bytes_are(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    artifact_id, _ = write_artifact(tmp_path / "artifacts", source)
    assert artifact_path(tmp_path / "artifacts", artifact_id).read_bytes() == source.read_bytes()
    assert source.exists()


def test_a_file_is_closed_when_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows gives no open file another name."""
    replace, open_then = Path.replace, []

    def watched(self: Path, target: Path) -> Path:
        open_then.extend(file for file in Path("/proc/self/fd").iterdir() if file.resolve() == self)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_artifact(tmp_path, b"content")
    assert open_then == []


def test_an_artifact_that_is_wanted_again_counts_as_new(tmp_path: Path) -> None:
    artifact_id, _ = write_artifact(tmp_path, b"old")
    os.utime(artifact_path(tmp_path, artifact_id), (1, 1))
    before = time.time() - 60
    write_artifact(tmp_path, b"old")
    assert artifact_path(tmp_path, artifact_id).stat().st_mtime > before


@pytest.mark.skipif(sys.platform == "win32", reason="has no file size limit")
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """In a process of its own, because the limit on file sizes holds for a whole process."""
    code = """
        import resource, signal, sys
        from pathlib import Path
        from stable_core.errors import StorageFull
        from stable_core.protocol import write_artifact
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        write_artifact(Path(sys.argv[1]), b"small")
        try:
            write_artifact(Path(sys.argv[1]), b"x" * 200_000)
        except StorageFull as error:
            print(error.hint)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Free some space" in said
    assert [path.stat().st_size for path in files(tmp_path)] == [5]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file is in the way")
    with pytest.raises(StorageFull):
        write_artifact(tmp_path / "artifacts", b"text")
