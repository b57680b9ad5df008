# /// script
# dependencies = ["iniconfig==1.1.1"]
# ///
"""A plugin that needs one exact version of a package."""

from stable_core.sdk import Plugin, Text

plugin = Plugin("pins_old")


@plugin.job
def version(text: Text) -> Text:
    """Return which version is there."""
    import importlib.metadata

    import iniconfig

    return f"{importlib.metadata.version('iniconfig')} at {iniconfig.__file__}"
