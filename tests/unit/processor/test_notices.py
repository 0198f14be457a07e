"""Log lines about frequent things: the first at once, then a count now and then."""

from __future__ import annotations

from structlog.testing import capture_logs

from processor.notices import Notices


def test_the_first_of_a_kind_is_told_at_once_and_the_others_are_counted() -> None:
    now = [0.0]
    with capture_logs() as lines:
        notices = Notices("gavel.test", clock=lambda: now[0])
        for number in range(1000):
            notices.note("dead_letters", "decode", reason="decode", offset=number)
        notices.note("dead_letters", "too_large", reason="too_large", offset=7)
        now[0] = 31.0
        notices.note("dead_letters", "decode", reason="decode", offset=5000)
    told = [(line["event"], line["reason"], line["count"], line["offset"]) for line in lines]
    assert told == [
        ("dead_letters", "decode", 1, 0),
        ("dead_letters", "too_large", 1, 7),
        ("dead_letters", "decode", 1000, 5000),
    ]


def test_kinds_that_a_stranger_could_invent_are_bounded() -> None:
    notices = Notices("gavel.test", clock=lambda: 0.0)
    with capture_logs():
        for number in range(5000):
            notices.note("runs_parked", str(number))
    assert len(notices._last_s) <= 1000 >= len(notices._counts)
