"""Asking a broker whose partitions have new leaders."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.kafka import patiently


class Broker:
    """Fails with these errors, one a call, then answers."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def ask(self) -> int:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return 7


def test_while_a_leader_moves_it_is_asked_again() -> None:
    assert patiently(Broker(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE).ask, 10.0) == 7


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._TRANSPORT])
def test_any_other_failure_is_told_at_once(code: int) -> None:
    broker = Broker(code, code)
    with pytest.raises(KafkaException):
        patiently(broker.ask, 10.0)
    assert broker.codes == [code]


def test_a_leader_that_never_comes_is_told_when_the_time_is_over() -> None:
    with pytest.raises(KafkaException):
        patiently(Broker(*[KafkaError.LEADER_NOT_AVAILABLE] * 100).ask, 0.3)
