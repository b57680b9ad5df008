"""Publish and subscribe over the event log. Events are rows first (see store); this only wakes those who watch live."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]

MAX_PENDING = 20_000


class Subscription:
    """The events one client has not taken yet; it is dropped when there are too many."""

    def __init__(self, is_wanted: Callable[[Event], bool]) -> None:
        self._is_wanted = is_wanted
        self._pending: deque[Event] = deque()
        self._wake = asyncio.Event()
        self.is_dropped = False

    def offer(self, events: list[Event]) -> None:
        """Add those events that the client wants; never waits."""
        if self.is_dropped:
            return  # what comes after a gap is no use
        self._pending.extend(event for event in events if self._is_wanted(event))
        if len(self._pending) > MAX_PENDING:
            self.is_dropped = True
            self._pending.clear()
        if self._pending or self.is_dropped:
            self._wake.set()

    async def take(self) -> list[Event]:
        """Wait for events and return all there are; an empty list means that the client was too slow and is dropped."""
        await self._wake.wait()
        taken = list(self._pending)
        self._pending.clear()
        if not self.is_dropped:
            self._wake.clear()
        return taken

    def close(self) -> None:
        """End the subscription; a waiting `take` returns."""
        self.is_dropped = True
        self._wake.set()


class EventHub:
    """Hands committed events to every subscription."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._is_closed = False

    def subscribe(self, is_wanted: Callable[[Event], bool]) -> Subscription:
        """Start collecting the events for which `is_wanted` is true."""
        subscription = Subscription(is_wanted)
        self._subscriptions.add(subscription)
        if self._is_closed:
            subscription.close()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop collecting."""
        self._subscriptions.discard(subscription)
        subscription.close()

    def publish(self, events: list[Event]) -> None:
        """Offer events to all; called once after each commit."""
        for subscription in self._subscriptions:
            subscription.offer(events)

    def close(self) -> None:
        """End every subscription, also those still to come."""
        self._is_closed = True
        for subscription in list(self._subscriptions):
            self.unsubscribe(subscription)

    def __len__(self) -> int:
        return len(self._subscriptions)
