"""Committers that are closed, without a broker."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from processor.stream import transactions
from processor.stream.committer import TransactionalCommitter
from processor.stream.deadline import Deadline


def test_closing_a_fenced_producer_does_not_hide_why_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fenced:
        def init_transactions(self, _: float) -> None:
            pass

        def flush(self, _: float) -> int:
            raise KafkaException(KafkaError(KafkaError._FENCED))

    monkeypatch.setattr(transactions, "Producer", lambda _: Fenced())
    TransactionalCommitter({"transactional.id": "t"}).close(Deadline(1.0))
