"""A host's clock that jumps, or that is not the store's, is told in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.clock import ClockWatch, distance_in_words, jump_in_words


class Host:
    """A clock that can be set, beside one that cannot."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, tzinfo=UTC)
        self.steady_s = 100.0

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.steady_s += seconds

    def watch(self) -> ClockWatch:
        return ClockWatch(lambda: self.now, lambda: self.steady_s)


@pytest.mark.parametrize("by_s", [7200.0, -7200.0, 6.0])
def test_a_jump_is_seen_once_and_remembered_for_an_hour(by_s: float) -> None:
    host = Host()
    watch = host.watch()
    host.passes(50)
    assert (watch.jump_s(), watch.recent_jump_s()) == (0, 0)
    host.now += timedelta(seconds=by_s)
    host.passes(5)
    assert watch.jump_s() == pytest.approx(by_s)
    host.passes(5)
    assert watch.jump_s() == 0
    assert watch.recent_jump_s() == pytest.approx(by_s)
    host.passes(3600)
    assert watch.recent_jump_s() == 0


def test_time_synchronisation_that_moves_the_clock_a_little_is_no_jump() -> None:
    host = Host()
    watch = host.watch()
    for _ in range(10):
        host.now += timedelta(seconds=1)
        host.passes(5)
        assert watch.jump_s() == 0


def test_the_words_say_in_which_direction() -> None:
    assert distance_in_words(4.0) is None
    assert distance_in_words(61.2) == "its clock is 61 s ahead of the store's"
    assert distance_in_words(-61.2) == "its clock is 61 s behind the store's"
    assert jump_in_words(0.0) is None
    assert jump_in_words(7200.0) == "its clock jumped 7200 s forward within the last hour"
    assert jump_in_words(-7200.0) == "its clock jumped 7200 s back within the last hour"
