"""A plugin that announces well and hangs when its worker imports it; as `hangs_always.py` it never even announces."""

import os
import time

from stable_core.sdk import Plugin, Text

if "STABLE_CORE_DEVICE" in os.environ or "always" in __file__:
    time.sleep(3600)

plugin = Plugin("hangs")


@plugin.job
def echo(text: Text) -> Text:
    """Return the text."""
    return text
