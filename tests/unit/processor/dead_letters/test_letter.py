"""Dead letters keep the original record, and a stream of them stops the role."""

from __future__ import annotations

from hashlib import sha256

import pytest
from confluent_kafka import Producer

from processor.dead_letters.letter import RatioGuard, TooManyDeadLetters, dead_letter, read_attempts


class Message:
    def __init__(self, value: bytes, headers: list[tuple[str, bytes]] | None = None, key: bytes = b"\x00key") -> None:
        self._value, self._headers, self._key = value, headers, key

    def value(self) -> bytes:
        return self._value

    def key(self) -> bytes:
        return self._key

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._headers

    def topic(self) -> str:
        return "events"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 42

    def timestamp(self) -> tuple[int, int]:
        return (1, 1700000000000)


def make(message: Message, max_bytes: int = 1 << 20):
    return dead_letter("dlq", message, stage="matcher", reason="decode", detail="not JSON", max_bytes=max_bytes)


def test_key_value_and_headers_stay_byte_for_byte() -> None:
    letter = make(Message(b"\xff\xfe{", [("trace", b"\x01"), ("trace", b"\x02")]))
    assert (letter.key, letter.value) == (b"\x00key", b"\xff\xfe{")
    assert letter.headers[:2] == [("trace", b"\x01"), ("trace", b"\x02")]
    error = {name: value for name, value in letter.headers if name.startswith("gavel.error.")}
    assert error["gavel.error.class"] == b"decode"
    assert error["gavel.error.offset"] == b"42"
    assert error["gavel.error.attempts"] == b"1"


def test_a_second_failure_counts_on_and_keeps_the_first_time() -> None:
    first = make(Message(b"x"))
    again = make(Message(b"x", list(first.headers)))
    error = dict(again.headers)
    assert error["gavel.error.attempts"] == b"2"
    assert error["gavel.error.first_failure"] == dict(first.headers)["gavel.error.first_failure"]
    assert len([name for name, _ in again.headers if name == "gavel.error.stage"]) == 1


def test_a_value_over_the_brokers_limit_becomes_its_hash_and_place() -> None:
    value = b"x" * (1 << 20)
    letter = make(Message(value))
    assert letter.value is None
    assert dict(letter.headers)["gavel.error.sha256"] == sha256(value).hexdigest().encode()


@pytest.mark.parametrize(
    ("value", "headers", "key", "kept"),
    [
        (900_000, 0, 10, ["value", "headers", "key"]),
        (900_000, 100_000, 10, ["headers", "key"]),
        (900_000, 0, 100_000, ["headers", "key"]),
        (10, 1_000_000, 10, ["key"]),
        (10, 500_000, 500_000, ["key"]),
        (10, 11, 1_000_000, []),
    ],
)
def test_a_letter_fits_whichever_part_of_its_record_is_large(
    value: int, headers: int, key: int, kept: list[str]
) -> None:
    """A letter that the broker refuses would end the role, again after each restart."""
    given = Message(b"v" * value, [("h", b"")] * (headers // 11), b"k" * key)
    letter = make(given, 1_000_000)
    names = [name for name, _ in letter.headers]
    own = dict(letter.headers)
    assert letter.value == (given.value() if "value" in kept else None)
    assert names.count("h") == (headers // 11 if "headers" in kept else 0)
    assert letter.key == (given.key() if "key" in kept else None)
    assert ("gavel.error.sha256" in own) == ("value" not in kept)
    if headers:
        assert ("gavel.error.headers_size_bytes" in own) == ("headers" not in kept)
    assert ("gavel.error.key_sha256" in own) == ("key" not in kept)
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "message.max.bytes": 1_000_000, "log_level": 0})
    producer.produce(
        letter.topic, letter.value, letter.key, headers=letter.headers
    )  # it refuses a message over the limit
    producer.purge()
    producer.flush(0)


def test_a_number_in_a_header_of_somebody_else_may_have_any_length() -> None:
    headers = [("gavel.error.attempts", b"9" * 10_000), ("gavel.error.first_failure", b"9" * 10_000)]
    letter = make(Message(b"x", headers))
    assert max(len(value or b"") for _, value in letter.headers) < 100
    assert read_attempts({"gavel.error.attempts": "²"}) == 0


def test_the_guard_lets_single_failures_pass() -> None:
    guard = RatioGuard(0.5, 1000)
    for _ in range(50):
        guard.note(100, 40)


def test_the_guard_decides_nothing_on_a_few_records() -> None:
    RatioGuard(0.5, 1000).note(999, 999)


def test_the_guard_stops_a_stream_of_failures_even_after_a_good_past() -> None:
    guard = RatioGuard(0.5, 1000)
    guard.note(100_000, 0)
    for _ in range(5):
        guard.note(100, 100)
    with pytest.raises(TooManyDeadLetters, match="right topic"):
        guard.note(600, 600)
