"""Learn rates of a training as people write them: `0.005:100, 1e-3:1000, 1e-5`. It trains nothing.

Source of the syntax: A1111 1.10, textual inversion and hypernetwork training.
"""

from __future__ import annotations


def read_learn_rates(text: str, max_steps: int, done: int = 0) -> list[tuple[float, int]]:
    """Return the rates with the step up to which each holds, for the steps from `done` to `max_steps`.

    An entry is `rate:step` or, for all steps that are left, `rate` or `rate:-1`.

    Raises:
        ValueError: the text is no such list, or no entry is left.
    """
    rates: list[tuple[float, int]] = []
    for entry in filter(str.strip, text.split(",")):
        rate, *steps = entry.split(":")
        until = int(steps[0]) if len(steps) == 1 else -1
        if until == -1 or until > done:
            rates.append((float(rate), max_steps if until == -1 else min(until, max_steps)))
        if until == -1 or until > max_steps:
            break
    if not rates:
        raise ValueError(f"{text!r} gives no learn rate; write a number or a list such as 0.005:100, 1e-3:1000, 1e-5")
    return rates
