"""Wakes those who watch the event log when what they want has been stored. Events are rows: see store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

Event = dict[str, Any]


class EventHub:
    """Tells who watches that there is something new to read, or that the end has come."""

    def __init__(self) -> None:
        self._watchers: dict[asyncio.Event, Callable[[Event], bool]] = {}
        self.is_closed = False

    @contextlib.contextmanager
    def watch(self, is_wanted: Callable[[Event], bool]) -> Iterator[asyncio.Event]:
        """Give a signal that is set when events for which `is_wanted` is true have been stored, and at the end."""
        news = asyncio.Event()
        self._watchers[news] = is_wanted
        try:
            yield news
        finally:
            del self._watchers[news]

    def publish(self, events: list[Event]) -> None:
        """Set the signals of those who want any of these events; called once after each commit."""
        for news, is_wanted in self._watchers.items():
            if not news.is_set() and any(map(is_wanted, events)):
                news.set()

    def close(self) -> None:
        """End it for all who watch, also those still to come."""
        self.is_closed = True
        for news in self._watchers:
            news.set()

    def __len__(self) -> int:
        return len(self._watchers)
