"""A plugin whose jobs make a graph: each adds one to a number."""

from stable_core.sdk import Data, Field, Params, Plugin, Progress

plugin = Plugin("chain")


class AddParams(Params):
    """What to add."""

    amount: int = Field(default=1, description="What to add")


@plugin.job
def start(params: AddParams, progress: Progress) -> Data:
    """Make the first number."""
    return Data(params.amount)


@plugin.job
def add(number: Data, params: AddParams, progress: Progress) -> Data:
    """Add to a number."""
    return Data(number.value + params.amount)
