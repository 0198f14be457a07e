"""A task is judged by a definition at least as new as itself, and dropped only if the store says that it is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from processor.events.task import Task
from processor.judge.definitions import TaskDefinitions, UnknownDefinition
from storage.snapshot import BrokenEvaluation, Snapshot
from tests.unit.processor.judge.room import evaluation, snapshot


class Store:
    """A store with one newest snapshot, and the evaluations that it says are deleted."""

    def __init__(self, known: Snapshot, newest: Snapshot | None, deleted: frozenset[str] = frozenset()) -> None:
        self.current: Snapshot | None = known
        self.newest = newest
        self.deleted = deleted
        self.polls = 0
        self.questions = 0

    def poll(self) -> bool:
        self.polls += 1
        if self.newest is None:
            return False
        self.current = self.newest
        return True

    def is_deleted(self, team_id: int, evaluation_id: str) -> bool:
        assert team_id == 7
        self.questions += 1
        return evaluation_id in self.deleted


def task(revision: int, evaluation_id: str = "e1") -> Task:
    return Task(7, evaluation_id, "u", "run", "c", "2026-03-02T12:00:00+00:00", revision=revision, version=1)


def asked(store: Store, use: Callable[[TaskDefinitions], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        return await use(TaskDefinitions(store, store, None))

    return asyncio.run(run())


def test_a_definition_that_is_known_well_enough_costs_no_question() -> None:
    store = Store(snapshot(5, evaluation()), None)
    assert asked(store, lambda definitions: definitions.find(task(5))).definition.id == "e1"
    assert (store.polls, store.questions) == (0, 0)


def test_one_that_was_changed_later_is_read_first() -> None:
    store = Store(snapshot(5, evaluation()), snapshot(6, evaluation(revision=6, version=2)))
    assert asked(store, lambda definitions: definitions.find(task(6))).definition.version == 2


def test_tasks_of_one_new_evaluation_share_one_refresh() -> None:
    store = Store(snapshot(5), snapshot(6, evaluation(revision=6)))

    async def at_once(definitions: TaskDefinitions) -> list[Any]:
        return list(await asyncio.gather(*(definitions.find(task(6)) for _ in range(50))))

    assert all(found is not None for found in asked(store, at_once))
    assert store.polls <= 2


def test_a_store_that_does_not_answer_makes_the_run_wait_and_drops_nothing() -> None:
    store = Store(snapshot(5), None)
    with pytest.raises(UnknownDefinition) as refused:
        asked(store, lambda definitions: definitions.find(task(6)))
    assert refused.value.cause == "store_unavailable"


def test_tasks_that_share_a_failed_refresh_all_wait_and_the_next_one_asks_the_store_again() -> None:
    store = Store(snapshot(5, evaluation()), None)

    async def during_and_after_the_outage(definitions: TaskDefinitions) -> None:
        found = await asyncio.gather(*(definitions.find(task(6)) for _ in range(5)), return_exceptions=True)
        assert [getattr(each, "cause", each) for each in found] == ["store_unavailable"] * 5
        store.newest = snapshot(6, evaluation(revision=6, version=2))
        judged_by = await definitions.find(task(6))
        assert judged_by is not None
        assert judged_by.definition.version == 2

    asked(store, during_and_after_the_outage)
    assert store.polls <= 3


def test_a_restored_store_is_believed_and_is_not_asked_for_every_task() -> None:
    store = Store(snapshot(5, evaluation()), snapshot(5, evaluation()))

    async def one_after_the_other(definitions: TaskDefinitions) -> list[Any]:
        return [await definitions.find(task(900)) for _ in range(10)]

    assert all(found is not None for found in asked(store, one_after_the_other))
    assert store.polls == 1


def test_only_what_the_store_says_is_deleted_is_gone_and_it_is_asked_once_per_revision() -> None:
    store = Store(snapshot(5), snapshot(5), frozenset({"e1"}))

    async def often(definitions: TaskDefinitions) -> list[Any]:
        return [await definitions.find(task(5)) for _ in range(10)]

    assert asked(store, often) == [None] * 10
    assert store.questions == 1


def test_one_that_the_store_does_not_know_or_that_cannot_run_waits() -> None:
    with pytest.raises(UnknownDefinition, match="unknown"):
        asked(Store(snapshot(5), snapshot(5)), lambda definitions: definitions.find(task(5)))
    broken = snapshot(5, broken=(BrokenEvaluation(7, "e1", "does not compile"),))
    with pytest.raises(UnknownDefinition, match="not runnable"):
        asked(Store(broken, broken), lambda definitions: definitions.find(task(5)))


def test_a_task_of_an_older_release_has_the_store_asked_before_anything_is_decided() -> None:
    store = Store(snapshot(5), snapshot(6, evaluation(revision=6)))
    assert asked(store, lambda definitions: definitions.find(task(0))) is not None
