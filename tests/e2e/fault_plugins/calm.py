"""A well-behaved plugin: what the others must not disturb."""

import time
from pathlib import Path

from stable_core.sdk import Params, Plugin, Progress, Text

plugin = Plugin("calm")


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
