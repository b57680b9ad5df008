"""The order of the jobs that could run now."""

from __future__ import annotations

import random

from stable_core.ready_jobs import ReadyJobs


def ready(*jobs: tuple[str, str, str, int]) -> ReadyJobs:
    """Return the order of (job, plugin, owner, priority), numbered as they come."""
    order = ReadyJobs()
    for number, (job_id, plugin, owner, priority) in enumerate(jobs):
        order.add(job_id, plugin, owner, priority, number)
    return order


def drain(order: ReadyJobs, plugin: str = "p") -> str:
    popped = ""
    while order.has_jobs(plugin):
        popped += order.pop(plugin)
    return popped


def test_older_jobs_go_first() -> None:
    order = ReadyJobs()
    for job_id, number in (("c", 3), ("a", 1), ("b", 2)):
        order.add(job_id, "p", "me", 0, number)
    assert drain(order) == "abc"


def test_higher_priorities_go_first() -> None:
    assert drain(ready(("a", "p", "me", 0), ("b", "p", "me", 5), ("c", "p", "me", -5), ("d", "p", "me", 5))) == "bdac"


def test_a_new_priority_changes_the_place_in_either_direction() -> None:
    order = ready(*((job_id, "p", "me", 0) for job_id in "abcd"))
    order.add("c", "p", "me", 1, 2)
    order.add("a", "p", "me", -1, 0)
    assert len(order) == 4
    assert drain(order) == "cbda"
    assert len(order) == 0


def test_owners_take_turns_within_a_priority() -> None:
    jobs = [(job_id, "p", "many", 0) for job_id in "abcd"]
    assert drain(ready(*jobs, ("x", "p", "few", 0), ("y", "p", "few", 0))) == "axbycd"
    assert drain(ready(*jobs, ("x", "p", "few", 0), ("y", "p", "many", 1))) == "yxabcd"


def test_a_turn_counts_for_all_plugins() -> None:
    order = ready(("a", "p", "one", 0), ("b", "q", "one", 0), ("x", "q", "two", 0))
    assert order.pop("p") == "a"
    assert drain(order, "q") == "xb"


def test_plugins_are_ordered_by_their_best_job() -> None:
    order = ready(("a", "p", "me", 0), ("b", "q", "me", 1), ("c", "r", "me", 0))
    assert order.plugins() == {"q": -1, "p": 0, "r": 0}
    assert list(order.plugins()) == ["q", "p", "r"]
    assert drain(order, "q") == "b"
    assert list(order.plugins()) == ["p", "r"]


def test_a_discarded_job_is_gone() -> None:
    order = ready(("a", "p", "me", 0), ("b", "p", "me", 0), ("c", "q", "you", 0))
    order.discard("a")
    order.discard("c")
    order.discard("never there")
    assert "a" not in order
    assert "b" in order
    assert (len(order), order.jobs_of("p"), order.jobs_of("q")) == (1, ["b"], [])
    assert not order.has_jobs("q")
    assert list(order.plugins()) == ["p"]
    assert drain(order) == "b"


def test_a_job_may_come_back() -> None:
    order = ready(("a", "p", "me", 0), ("b", "p", "me", 0))
    order.discard("a")
    order.add("a", "p", "me", 0, 0)
    assert drain(order) == "ab"
    assert len(order) == 0
    order.add("a", "p", "me", 0, 0)
    assert drain(order) == "a"


def test_nobody_starves_and_nothing_is_lost() -> None:
    chance = random.Random(7)
    order = ReadyJobs()
    expected = set()
    for number in range(2000):
        job_id = str(number)
        order.add(job_id, chance.choice("pq"), chance.choice(["a", "b", "c"]), chance.randint(-1, 1), number)
        expected.add(job_id)
        if chance.random() < 0.2:
            gone = chance.choice(sorted(expected))
            order.discard(gone)
            expected.discard(gone)
        if chance.random() < 0.3 and expected:
            expected.discard(order.pop(next(iter(order.plugins()))))
    assert len(order) == len(expected)
    found = set()
    while plugins := order.plugins():
        found.add(order.pop(next(iter(plugins))))
    assert found == expected
