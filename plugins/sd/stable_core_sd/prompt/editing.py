"""`[from:to:when]` and `[one|other]`: from a prompt to the texts it stands for over the steps. It encodes nothing.

The language is that of A1111 1.10, described here as a grammar: *content* is any sequence of plain text, escaped
characters, `(content)`, `(content:content)`, `[content]`, edits and alternations. In the whole prompt single brackets
and colons may also stand for themselves, but a `|` outside an alternation makes it one text for all steps.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

_TOKEN = re.compile(r"(?:[^\\\[\]():|]|\\.)+|[\[\]():|]")
_WHEN = re.compile(r"\s*(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*")
_CLOSED_BY = {"(": ")", "[": "]"}


class ScheduledText(NamedTuple):
    """A text and the last step, counted from 1, at which it holds."""

    end: int
    text: str


@dataclass(frozen=True)
class StepCount:
    """The steps that positions in a prompt are counted in.

    Attributes:
        steps: model calls of the first pass: twice the steps for samplers of second order.
        second_pass_steps: of the second pass of the high-resolution fix, where the schedule is for that pass.
        old_timelines: read every number below 1 as a share and count over the first pass only, as A1111 did before 1.6.
    """

    steps: int
    second_pass_steps: int | None = None
    old_timelines: bool = False

    @property
    def total(self) -> int:
        """Return the number of steps of the schedule."""
        return self.second_pass_steps if self.second_pass_steps and not self.old_timelines else self.steps

    def last_step(self, when: str) -> int:
        """Return the last step before an edit: numbers with a point are shares, from 1 up in the second pass."""
        value, is_second_pass = float(when), bool(self.second_pass_steps)
        if self.old_timelines:
            value = value * self.total if value < 1 else value
        elif "." in when:
            value = (value - is_second_pass) * self.total
        else:
            value -= self.steps * is_second_pass
        return int(max(min(value, self.total), -1e9))


@dataclass(frozen=True)
class Edit:
    """`[before:after:when]`."""

    before: list[Node]
    after: list[Node]
    when: str


@dataclass(frozen=True)
class Alternation:
    """`[one|other|…]`."""

    options: list[list[Node]]


Node: TypeAlias = str | Edit | Alternation


def schedule_texts(prompt: str, count: StepCount) -> list[ScheduledText]:
    """Return the texts of a prompt in the order of their last steps; the last one ends with the last step.

    A prompt that is not in the language is one text for all steps; nothing is an error.
    """
    nodes = parse(prompt)
    if nodes is None:
        return [ScheduledText(count.total, prompt)]
    ends = {count.total}
    for node in _walk(nodes):
        if isinstance(node, Alternation):
            ends.update(range(1, count.total + 1))
        elif isinstance(node, Edit) and (end := count.last_step(node.when)) >= 1:
            ends.add(end)
    return [ScheduledText(end, _text_at(nodes, end, count)) for end in sorted(ends)]


def entry_at(schedule: list[ScheduledText], call: int) -> int:
    """Return which entry of a schedule the model call with this number, from 0, uses.

    An entry holds for calls 0 to its last step, one more than one would think, and after the last one the first holds
    again. Seeds depend on both.
    """
    entry = bisect_left(schedule, call, key=lambda text: text.end)
    return entry if entry < len(schedule) else 0


def parse(prompt: str) -> list[Node] | None:
    """Return the plain texts, edits and alternations of a prompt; None if it is not in the language."""
    parser, position = _Parser(), 0
    while position < len(prompt):
        token = _TOKEN.match(prompt, position)
        if token is None:  # a backslash with nothing to escape
            return None
        parser.take(token[0])
        position = token.end()
    parser.take_brackets_as_text()
    return None if parser.has_stray_bar else parser.nodes


@dataclass
class _Bracket:
    """An open bracket: what followed it, cut at colons and bars."""

    opener: str
    parts: list[list[Node]] = field(default_factory=lambda: [[]])
    separators: list[str] = field(default_factory=list)

    def close(self) -> list[Node] | None:
        """Return what the closed bracket stands for; None if it is nothing of the language."""
        colons, bars = self.separators.count(":"), self.separators.count("|")
        if self.opener == "(":
            return ["(", *self.flatten(), ")"] if not bars and colons <= 1 else None
        if not self.separators:
            return ["[", *self.parts[0], "]"]
        if not colons:
            return [Alternation(self.parts)]
        when = self._when()
        if bars or colons > 2 or when is None:
            return None
        return [Edit(self.parts[0] if colons == 2 else [], self.parts[-2], when)]

    def flatten(self) -> Iterator[Node]:
        """Yield the content with colons and bars as text."""
        for part, separator in zip(self.parts, [*self.separators, ""], strict=True):
            yield from part
            yield separator

    def _when(self) -> str | None:
        last = self.parts[-1]
        found = _WHEN.fullmatch(last[0]) if len(last) == 1 and isinstance(last[0], str) else None
        return found["number"] if found else None


class _Parser:
    """The stack of open brackets.

    A bracket that cannot be closed makes all around it text: content holds nothing but complete brackets.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.has_stray_bar = False
        self._open: list[_Bracket] = []

    def take(self, token: str) -> None:
        if token in _CLOSED_BY:
            self._open.append(_Bracket(token))
        elif token in _CLOSED_BY.values():
            self._close(token)
        elif token in (":", "|"):
            self._separate(token)
        else:
            self._content().append(token)

    def take_brackets_as_text(self) -> None:
        for bracket in self._open:
            self.has_stray_bar = self.has_stray_bar or "|" in bracket.separators
            self.nodes += [bracket.opener, *bracket.flatten()]
        self._open.clear()

    def _content(self) -> list[Node]:
        return self._open[-1].parts[-1] if self._open else self.nodes

    def _separate(self, token: str) -> None:
        if self._open:
            self._open[-1].separators.append(token)
            self._open[-1].parts.append([])
        else:
            self.nodes.append(token)
            self.has_stray_bar = self.has_stray_bar or token == "|"

    def _close(self, token: str) -> None:
        if self._open and _CLOSED_BY[self._open[-1].opener] == token and (closed := self._open[-1].close()) is not None:
            self._open.pop()
            self._content().extend(closed)
        else:
            self.take_brackets_as_text()
            self.nodes.append(token)


def _walk(nodes: list[Node]) -> Iterator[Node]:
    """Yield all nodes at any depth, without recursion: prompts may nest deeper than Python does."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Edit):
            waiting += [*node.before, *node.after]
        elif isinstance(node, Alternation):
            waiting += [inner for option in node.options for inner in option]


def _text_at(nodes: list[Node], step: int, count: StepCount) -> str:
    texts, waiting = [], nodes[::-1]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            texts.append(node)
        elif isinstance(node, Edit):
            waiting += (node.before if step <= count.last_step(node.when) else node.after)[::-1]
        else:
            waiting += node.options[(step - 1) % len(node.options)][::-1]
    return "".join(texts)
