"""A plugin that cannot be imported."""

import no_such_package_at_all  # noqa: F401

from stable_core.sdk import Plugin, Text

plugin = Plugin("broken_import")


@plugin.job
def echo(text: Text) -> Text:
    """Return the text."""
    return text
