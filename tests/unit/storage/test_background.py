"""Work that repeats on a thread of its own: turns, outages that end, and the end."""

from __future__ import annotations

import threading

import pytest

from storage.background import Background, claimant
from tests.services.waiting import PATIENCE_S


class Away(Exception):
    pass


class Turns(Background):
    outages = (Away,)

    def __init__(self, outcomes: list[Exception | None], *, at_once: bool = True) -> None:
        super().__init__("turns", every_s=0.001, stop_within_s=PATIENCE_S, at_once=at_once)
        self.outcomes = outcomes
        self.log: list[str] = []
        self.done = threading.Event()

    def _turn(self) -> None:
        if not self.outcomes:
            self.done.set()
            return
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        self.log.append("turn")

    def _on_outage(self, error: Exception) -> None:
        self.log.append(f"outage {error}")

    def _on_recovery(self) -> None:
        self.log.append("recovery")


def test_turns_follow_each_other_until_the_end() -> None:
    turns = Turns([None, None])
    turns.start()
    assert turns.done.wait(PATIENCE_S)
    turns.stop()
    assert turns.stopping
    assert not turns.alive
    assert turns.log == ["turn", "turn"]


def test_an_outage_and_its_end_are_each_said_once() -> None:
    turns = Turns([Away("1"), Away("2"), None, Away("3"), None])
    turns.start()
    assert turns.done.wait(PATIENCE_S)
    turns.stop()
    assert turns.log == ["outage 1", "turn", "recovery", "outage 3", "turn", "recovery"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_is_not_an_outage_ends_the_thread() -> None:
    turns = Turns([ValueError("a defect"), None])
    turns.start()
    turns._thread.join(PATIENCE_S)
    assert not turns.alive
    assert isinstance(turns.crash, ValueError)
    assert turns.log == []


def test_what_never_started_can_be_stopped() -> None:
    turns = Turns([None], at_once=False)
    turns.stop()
    assert turns.log == []


def test_a_claimant_is_never_the_same_twice() -> None:
    assert claimant() != claimant()
