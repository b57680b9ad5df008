"""A plugin that writes a lot when it is imported."""

import os

from stable_core.sdk import Plugin, Text

for _ in range(400):
    os.write(1, b"a line that nobody will ever read in full\n" * 2**14)

plugin = Plugin("floods")


@plugin.job
def echo(text: Text) -> Text:
    """Return the text."""
    return text
