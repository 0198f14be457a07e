"""The names under which models answer are stored once each, whatever a provider sends, also if the store is down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from evaluators.llm_judge.caller import Completion
from evaluators.llm_judge.outcome import JudgeRequest
from processor.judge.served import AGAIN_AFTER, ServedNotes
from storage.sql.engine import StoreUnavailable
from storage.sql.served_models import MOST_NAMES, Served


class Store:
    """Takes names. `down`: it does not answer."""

    def __init__(self) -> None:
        self.noted: list[Served] = []
        self.down = False

    def note(self, served: Sequence[Served], *, now: datetime) -> None:
        assert now.tzinfo is UTC
        if self.down:
            raise StoreUnavailable("down")
        self.noted += served


class Notes:
    """Notes over a store, at a time that the test sets."""

    def __init__(self) -> None:
        self.store, self.now = Store(), datetime(2026, 3, 1, tzinfo=UTC)
        self.notes = ServedNotes(cast("Any", self.store), lambda: self.now, None)

    def answer(self, fingerprint: str, *, evaluation: str = "e1", model: str = "m-dated") -> None:
        request = SimpleNamespace(evaluation_id=evaluation, model="m", endpoint=SimpleNamespace(provider="openai"))
        completion = Completion("t", False, False, model, 1, 1, system_fingerprint=fingerprint)
        self.notes.note(cast("JudgeRequest", request), completion)

    def flush(self) -> list[Served]:
        asyncio.run(self.notes.flush())
        found, self.store.noted = self.store.noted, []
        return found


def test_a_name_is_stored_once_and_again_after_some_hours() -> None:
    notes = Notes()
    for _ in range(3):
        notes.answer("a")
        notes.answer("b")
    assert notes.flush() == [Served("e1", "openai/m", "m-dated", "a"), Served("e1", "openai/m", "m-dated", "b")]
    notes.answer("a")
    assert notes.flush() == []
    notes.now += AGAIN_AFTER
    notes.answer("a")
    assert [each.system_fingerprint for each in notes.flush()] == ["a"]


def test_evaluations_are_told_apart() -> None:
    notes = Notes()
    notes.answer("a")
    notes.answer("a", evaluation="e2")
    assert {each.evaluation_id for each in notes.flush()} == {"e1", "e2"}


def test_a_name_waits_while_the_store_is_down() -> None:
    notes = Notes()
    notes.answer("a")
    notes.store.down = True
    assert notes.flush() == []
    notes.store.down = False
    assert len(notes.flush()) == 1


def test_a_server_with_another_name_for_each_call_and_long_ones_is_bounded() -> None:
    notes = Notes()
    for n in range(1_000):
        notes.answer(f"{n}" + "x" * 10_000, model="m" * 10_000)
    stored = notes.flush()
    assert len(stored) == MOST_NAMES
    assert max(len(each.system_fingerprint) for each in stored) == 100
    notes.now += AGAIN_AFTER
    notes.answer("later")
    assert [each.system_fingerprint for each in notes.flush()] == ["later"], "and it goes on"
