"""A partition's state counts each result once: after a repetition, a crash between any two writes, and a replay."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from quality.shift import BASELINE
from reports.windows.seen import CHUNK
from reports.windows.state import KEPT_S, PartitionState, partition_of
from reports.windows.tally import WindowTally
from tests.unit.reports.windows.results import NOW_S, VERSION, Log, batch, entry, passes


def empty(**options: int) -> PartitionState:
    return Log().state(**options)


def test_a_result_is_in_one_window_of_each_size() -> None:
    state = empty()
    state.apply(0, batch(entry(1), entry(2, passed=False), entry(3, at_s=NOW_S - 60)), NOW_S)
    by_size = {
        size: sorted((place[1], tally.passed, tally.failed) for _, place, tally in state.windows() if place[0] == size)
        for size in KEPT_S
    }
    minute = NOW_S - NOW_S % 60
    assert by_size[60] == [(minute - 60, 1, 0), (minute, 1, 1)]
    assert by_size[3_600] == [(NOW_S - NOW_S % 3_600, 2, 1)]
    assert by_size[86_400] == [(NOW_S - NOW_S % 86_400, 2, 1)]
    assert state.take_counted() == {"pass": 2, "fail": 1}


def test_an_id_counts_once_in_a_record_in_a_repetition_and_in_another_record() -> None:
    state = empty()
    state.apply(5, batch(entry(1), entry(1)), NOW_S)
    state.apply(5, batch(entry(1), entry(1)), NOW_S)
    state.apply(6, batch(entry(1), entry(2)), NOW_S)
    assert passes(state) == 2
    assert state.take_counted()["duplicate"] == 3


@pytest.mark.parametrize("seed", range(20))
def test_a_crash_between_any_two_writes_to_the_changelog_changes_no_count(seed: int) -> None:
    """Offsets are committed behind the changelog, so the rest is read again, on top of the written state."""
    rng = random.Random(seed)
    records = []
    for offset in range(60):
        entries = [entry(rng.randrange(400), passed=rng.random() < 0.8, at_s=NOW_S + offset) for _ in range(10)]
        records.append((offset, batch(*entries)))
    whole = empty()
    for offset, each in records:
        whole.apply(offset, each, NOW_S)
    log, committed = Log(), 0
    state = log.state()
    while committed < len(records):
        upto = min(len(records), committed + rng.randrange(1, 8))
        for offset, each in records[committed:upto]:
            state.apply(offset, each, NOW_S)
        changes = state.changes(NOW_S)
        rng.shuffle(changes)  # Kafka keeps the order; the state must not need it
        if rng.random() < 0.4:  # killed before the commit, with a part of the changes written
            log.write(changes[: rng.randrange(len(changes) + 1)])
            state = log.state()
            continue
        log.write(changes)
        committed = upto
    assert list(state.windows()) == list(whole.windows())
    assert len(state.seen) == len(whole.seen)
    assert {key: each.watch for key, each in state.versions.items()} == {
        key: each.watch for key, each in whole.versions.items()
    }


def test_the_changelog_gives_the_same_state() -> None:
    log = Log()
    state = log.state(7)
    for offset in range(30):
        state.apply(offset, batch(*(entry(offset * 100 + number) for number in range(100))), NOW_S)
        log.write(state.changes(NOW_S))
    again = log.state(7)
    assert again.versions == state.versions
    assert all(not again.seen.is_new(number.to_bytes(16), 1_000) for number in range(3_000))
    assert {partition_of(key) for key, _ in log.records} == {7}


def test_the_newest_ids_are_remembered_and_older_ones_are_forgotten() -> None:
    """This is the stated bound: at least `seen_ids`, and not more than two chunks above."""
    log = Log()
    limit = 3 * CHUNK
    state = log.state(seen_ids=limit)
    for offset in range(10):
        state.apply(offset, batch(*(entry(offset * CHUNK + number) for number in range(CHUNK))), NOW_S)
        log.write(state.changes(NOW_S))
    for each in (state, log.state(seen_ids=limit)):
        assert limit <= len(each.seen) <= limit + 2 * CHUNK
        assert not each.seen.is_new((10 * CHUNK - limit).to_bytes(16), 99)
        assert each.seen.is_new((0).to_bytes(16), 99)
    assert len({key for key, _ in log.records if key[4:5] == b"i"}) <= limit / CHUNK + 2


def test_windows_are_dropped_with_their_record_when_their_time_is_over() -> None:
    log = Log()
    state = log.state()
    state.apply(0, batch(entry(1)), NOW_S)
    log.write(state.changes(NOW_S))
    later = NOW_S + 3 * 86_400
    log.write(state.changes(later))
    assert list(state.windows()) == []
    log.write(state.changes(NOW_S + 40 * 86_400))
    assert log.state().versions == {}


def test_late_and_future_results_are_in_no_window_and_are_counted_as_such() -> None:
    state = empty()
    old, ahead = entry(1, at_s=NOW_S - 10 * 86_400), entry(2, at_s=NOW_S + 86_400)
    state.apply(0, batch(old, ahead), NOW_S)
    assert list(state.windows()) == []
    assert state.take_counted() == {"late": 1, "future": 1}


def test_a_shift_is_found_once_and_again_only_if_it_was_not_written() -> None:
    log = Log()
    state = log.state()
    records = []
    for minute in range(40):
        rate = 9 if minute < 20 else 2
        at_s = NOW_S + 60 * minute
        records.append(batch(*(entry(minute * 1_000 + n, passed=n % 10 < rate, at_s=at_s) for n in range(40))))
    for offset, each in enumerate(records[:30]):
        state.apply(offset, each, NOW_S + 60 * offset)
    first = state.take_shifts()
    assert [found.shift.direction for found in first] == ["down"]
    assert first[0].shift.before.rate == pytest.approx(0.9)
    assert first[0].shift.before.decided >= BASELINE
    repeated = log.state()
    for offset, each in enumerate(records[:30]):
        repeated.apply(offset, each, NOW_S + 60 * offset)
    assert repeated.take_shifts() == first
    log.write(state.changes(NOW_S))
    state = log.state()
    for offset, each in enumerate(records):
        state.apply(offset, each, NOW_S + 60 * offset)
    assert state.take_shifts() == []


def test_a_new_version_begins_anew_and_late_results_of_the_old_one_do_not_bring_it_back() -> None:
    state = empty()
    changed = type(VERSION)(1, VERSION.evaluation_id, 4, "e" * 32)
    for minute in range(20):
        at_s = NOW_S + 60 * minute
        state.apply(2 * minute, batch(*(entry(minute * 100 + n, at_s=at_s) for n in range(40))), at_s)
    for minute in range(20, 40):
        at_s = NOW_S + 60 * minute
        fails = (entry(minute * 100 + n, passed=False, at_s=at_s) for n in range(40))
        state.apply(2 * minute, batch(*fails, version=changed), at_s)
        state.apply(2 * minute + 1, batch(entry(90_000 + minute, at_s=at_s)), at_s)
    assert state.take_shifts() == []
    blocks = {key[2]: (each.watch.blocks, each.watch.decided) for key, each in state.versions.items()}
    assert blocks[3][0] < 20
    assert blocks[4][0] > 10


def test_runs_that_are_not_live_say_nothing_of_the_rate() -> None:
    state = empty()
    state.apply(0, batch(*(entry(n, live=False) for n in range(50))), NOW_S)
    (only,) = state.versions.values()
    assert only.watch.decided == 0
    assert passes(state) == 50


def test_a_million_results_with_one_reason_make_one_small_window() -> None:
    """The size of the state does not depend on the number of results; the test takes a hundredth of them."""
    log = Log()
    state = log.state(seen_ids=1_000)
    for offset, (first, last) in enumerate(pairwise(range(0, 10_001, 500))):
        entries = (entry(n, reason="content_filtered") for n in range(first, last))
        skipped = batch(*(type(each)(each.id, each.at_s, "skipped", True, each.reason) for each in entries))
        state.apply(offset, skipped, NOW_S)
        log.write(state.changes(NOW_S))
    assert len(list(state.windows())) == 3
    (tally,) = [tally for _, place, tally in state.windows() if place[0] == 60]
    assert tally.skipped == {"content_filtered": 10_000}
    assert max(len(value) for _, value in log.records if value) < 40_000


def test_reasons_and_categories_of_a_stranger_are_bounded() -> None:
    tally = WindowTally()
    for number in range(1_000):
        skip = entry(number, reason=f"r{number}")
        tally.add(type(skip)(skip.id, skip.at_s, "skipped", True, skip.reason), VERSION)
        tally.add(entry(number, categories=(f"c{number}",)), VERSION)
    assert len(tally.skipped) <= 51
    assert tally.skipped["other"] == 950
    assert len(tally.categories) <= 101
    assert tally.runs == 2_000
