"""A plugin that does nothing, to measure everything around it."""

from stable_core.sdk import Field, Params, Plugin, Progress

plugin = Plugin("noop")


class CountParams(Params):
    """How many progress reports to send."""

    steps: int = Field(default=0, ge=0, description="Progress reports")


@plugin.job(cached=False)
def noop(params: CountParams, progress: Progress) -> None:
    """Do nothing."""
    for step in range(params.steps):
        progress(step + 1, params.steps)
