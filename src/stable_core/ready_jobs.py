"""The order of the jobs that could run now: priority, then round-robin by owner, then age. It starts nothing."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from typing import NamedTuple


class Ready(NamedTuple):
    """A queued job, as little of it as the order needs."""

    rank: int  # the negated priority: smaller runs first
    number: int  # of the row: older jobs have smaller ones
    job_id: str


class ReadyJobs:
    """Queued jobs by plugin and owner. It mirrors the rows in state `queued` and is rebuilt from them at start."""

    def __init__(self) -> None:
        self._heaps: dict[str, dict[str, list[Ready]]] = defaultdict(dict)
        self._placed: dict[str, tuple[str, Ready]] = {}
        self._turn = itertools.count(1)
        self._last_turn: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._placed)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._placed

    def add(self, job_id: str, plugin: str, owner: str, priority: int, number: int) -> None:
        """Add a job."""
        self._placed[job_id] = plugin, Ready(-priority, number, job_id)
        heapq.heappush(self._heaps[plugin].setdefault(owner, []), self._placed[job_id][1])

    def move(self, job_id: str, owner: str, priority: int) -> None:
        """Give a job that is there another priority."""
        plugin, ready = self._placed[job_id]
        self.add(job_id, plugin, owner, priority, ready.number)

    def discard(self, job_id: str) -> None:
        """Take a job out of the order; its heap entry goes when it comes up."""
        self._placed.pop(job_id, None)

    def pop(self, plugin: str) -> str:
        """Return the plugin's next job and give its owner the last turn; there must be one."""
        best = self._best(plugin)
        assert best is not None
        owner = best[1]
        ready = heapq.heappop(self._heaps[plugin][owner])
        self._last_turn[owner] = next(self._turn)
        del self._placed[ready.job_id]
        return ready.job_id

    def plugins(self) -> dict[str, int]:
        """Return the plugins that have ready jobs with the rank of their best, the one to run first in front."""
        ranked = [(best, plugin) for plugin in self._heaps if (best := self._best(plugin)) is not None]
        return {plugin: best[0][0] for best, plugin in sorted(ranked)}

    def jobs_of(self, plugin: str) -> list[str]:
        """Return all ready jobs of a plugin, in the order they were added."""
        return [job_id for job_id, (wanted, _) in self._placed.items() if wanted == plugin]

    def has_jobs(self, plugin: str) -> bool:
        """Tell whether the plugin has a ready job."""
        return self._best(plugin) is not None

    def _best(self, plugin: str) -> tuple[tuple[int, int, int], str] | None:
        """Return the place in the order and the owner of the plugin's next job, None when there is none."""
        best: tuple[tuple[int, int, int], str] | None = None
        owners = self._heaps.get(plugin, {})
        for owner in list(owners):
            heap = owners[owner]
            while heap and self._placed.get(heap[0].job_id) != (plugin, heap[0]):
                heapq.heappop(heap)
            if not heap:
                del owners[owner]
                continue
            place = (heap[0].rank, self._last_turn.get(owner, 0), heap[0].number)
            if best is None or place < best[0]:
                best = (place, owner)
        return best
