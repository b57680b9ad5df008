"""A plugin that does everything a plugin must not do. Each job reports progress once before it goes wrong."""

import contextlib
import ctypes
import gc
import io
import os
import resource
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

from stable_core.sdk import Field, Image, Params, Plugin, Progress, Text, find_model_file

plugin = Plugin("faults")


class Amount(Params):
    count: int = Field(default=1, ge=0)


class Model(Params):
    checkpoint: str = ""


@plugin.job
def echo(text: Text) -> Text:
    """Return the text."""
    return text


@plugin.job
def hold(text: Text, params: Params, progress: Progress) -> Text:
    """Run until there is a file at the path that the text is."""
    progress(0, 1, "holding")
    while not Path(text).exists():
        progress(0, 1)
        time.sleep(0.01)
    return text


@plugin.job
def segfault(text: Text, params: Params, progress: Progress) -> Text:
    """Read address 0."""
    progress(0, 1, text)
    ctypes.string_at(0)
    return text


@plugin.job
def os_exit(text: Text, params: Params, progress: Progress) -> Text:
    """Leave without a word to anybody but the log."""
    progress(0, 1)
    print("my last words were", text, flush=True)
    os._exit(7)


@plugin.job
def leave_child(text: Text, params: Params, progress: Progress) -> Text:
    """Start a program that holds every pipe open, and do with its own process what the text says."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    progress(0, 1, str(child.pid))
    if text == "die":
        os._exit(7)
    ctypes.PyDLL(None).sleep(3600)
    return text


@plugin.job
def sys_exit(text: Text, params: Params, progress: Progress) -> Text:
    """Leave politely."""
    progress(0, 1)
    sys.exit(text)


@plugin.job
def spin(text: Text, params: Params, progress: Progress) -> Text:
    """Run for ever and swallow every exception, that of a cancel too."""
    progress(0, 1, text)
    while True:
        with contextlib.suppress(BaseException):
            progress(0, 1)


@plugin.job
def sleep_in_c(text: Text, params: Params, progress: Progress) -> Text:
    """Sleep in C with the GIL held: no Python thread of the worker runs any more."""
    progress(0, 1, text)
    ctypes.PyDLL(None).sleep(3600)
    return text


@plugin.job
def stubborn(text: Text, params: Params, progress: Progress) -> Text:
    """As `sleep_in_c`, deaf to SIGTERM too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    progress(0, 1, text)
    ctypes.PyDLL(None).sleep(3600)
    ctypes.PyDLL(None).sleep(3600)
    return text


@plugin.job
def flood_output(text: Text, params: Amount, progress: Progress) -> Text:
    """Write so many MiB to stdout, as C code would."""
    progress(0, 1)
    line = b"a line that nobody will ever read in full".ljust(63, b".") + b"\n"
    for _ in range(params.count):
        os.write(1, line * 2**14)
    print("the end of the flood", flush=True)
    return text


@plugin.job
def zeros(text: Text) -> Text:
    """Write what looks like the marks between the logs of jobs."""
    os.write(1, b"\0\n" * 200_000 + b"\0" * 1000 + b"\nafter the zeros\n")
    return text


@plugin.job
def flood_progress(text: Text, params: Amount, progress: Progress) -> Text:
    """Report so many steps at once."""
    for step in range(params.count):
        progress(step + 1, params.count)
    return text


@plugin.job
def garbage(text: Text, params: Params, progress: Progress) -> Text:
    """Find the pipe of the protocol and write what is no message."""
    progress(0, 1)
    for file in [found for found in gc.get_objects() if isinstance(found, io.BufferedWriter)]:
        if file.fileno() > 2:
            file.write(b"this is no message\n")
            file.flush()
    time.sleep(3600)
    return text


@plugin.job
def wrong_type(text: Text) -> Image:
    """Announce an image and return something else."""
    return text  # type: ignore[return-value]


@plugin.job
def raises(text: Text) -> Text:
    """Raise."""
    raise ValueError(text)


@plugin.job
def out_of_memory(text: Text) -> Text:
    """Ask for more memory than there is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**32, hard))
    try:
        return str(len(bytearray(2**33)))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@plugin.job
def big_result(text: Text, params: Amount) -> Text:
    """Return so many MiB of text."""
    return secrets.token_hex(params.count * 2**19)


@plugin.job
def big_result_on_a_small_disk(text: Text, params: Amount) -> Text:
    """Return so many MiB where no file may be larger than one; the next job of this worker finds the disk as it was."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20 if text == "full" else hard, hard))
    return secrets.token_hex(params.count * 2**19)


@plugin.job
def open_model(text: Text, params: Model) -> Text:
    """Return the path of a model."""
    return str(find_model_file("checkpoints", params.checkpoint))
