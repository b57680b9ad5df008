"""A plugin that ends its own process, to measure how soon that is seen and mended."""

import os
import signal
import time

from stable_core.sdk import Params, Plugin, Progress

plugin = Plugin("crash")


@plugin.job(cached=False)
def die(params: Params, progress: Progress) -> None:
    """Say when, then die of a signal."""
    print(f"died at {time.time()}", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


@plugin.job(cached=False)
def live(params: Params, progress: Progress) -> None:
    """Do nothing."""
