"""The lag of a group in records and seconds, against a consumer that answers what the test says."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from prometheus_client import CollectorRegistry

from processor.metrics import AgeGauge, Metrics
from processor.stream.lag import ConsumerLag

SOURCE = ("events", 0)
LABELS = {"role": "judge", "topic": "events", "partition": "0"}
PARKED = {"topic": "events", "partition": "0"}
NOW_S = 10_000.0


class Broker:
    def __init__(self, end: int, committed: int = -1001) -> None:
        self.end = end
        self.committed_offset = committed
        self.fetched = True

    def get_watermark_offsets(
        self, _partition: TopicPartition, timeout: float = 0.0, cached: bool = False
    ) -> tuple[int, int]:
        if cached and not self.fetched:
            raise KafkaException(KafkaError(KafkaError._STATE))
        return 0, self.end

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.partition, self.committed_offset) for p in partitions]


class Scene:
    def __init__(self, end: int, committed: int = -1001) -> None:
        self.registry = CollectorRegistry()
        self.broker = Broker(end, committed)
        self.lag = ConsumerLag("judge", self.broker, Metrics(self.registry), lambda: NOW_S)  # a fake

    def value(self, name: str, labels: dict[str, str] = LABELS) -> float | None:
        return self.registry.get_sample_value(name, labels)

    @property
    def lags(self) -> tuple[float | None, float | None]:
        return self.value("gavel_consumer_lag"), self.value("gavel_lag_seconds")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgeGauge, "clock", lambda: NOW_S)


def test_a_group_that_has_read_all_records_has_no_lag_although_a_marker_follows() -> None:
    scene = Scene(end=101)
    scene.lag.export({SOURCE: 100}, [], {})
    assert scene.lags == (1, 0)  # not known yet whether offset 100 is a record
    scene.lag.arrived(SOURCE, 101)
    scene.lag.export({SOURCE: 100}, [], {})
    assert scene.lags == (0, 0)


def test_records_in_flight_are_behind_although_all_is_read() -> None:
    scene = Scene(end=101)
    scene.lag.arrived(SOURCE, 101)
    scene.lag.export({SOURCE: 90}, [], {SOURCE: 9_940_000})
    assert scene.lags == (11, 60)


def test_a_rewound_partition_is_behind_again() -> None:
    scene = Scene(end=101)
    scene.lag.arrived(SOURCE, 101)
    scene.lag.rewound(SOURCE)
    scene.lag.export({SOURCE: 50}, [], {})
    assert scene.lags[0] == 51


def test_records_of_an_open_transaction_are_behind() -> None:
    """The client arrives at the first offset that it may not read yet; the end of the log lies further on."""
    scene = Scene(end=150)
    scene.lag.arrived(SOURCE, 120)
    scene.lag.export({SOURCE: 100}, [], {})
    assert scene.lags[0] == 30


def test_unread_records_keep_the_age_of_the_last_one_that_was_read() -> None:
    scene = Scene(end=1_000)
    scene.lag.export({SOURCE: 100}, [], {SOURCE: 9_400_000})
    assert scene.lags == (900, 600)
    scene.lag.export({SOURCE: 100}, [], {})
    assert scene.lags == (900, 600)


def test_a_partition_that_only_restarted_at_its_end_is_not_behind() -> None:
    scene = Scene(end=101, committed=100)
    scene.lag.arrived(SOURCE, 101)
    scene.lag.export({}, [SOURCE], {})
    assert scene.lags == (0, 0)


def test_runs_that_wait_on_purpose_are_not_a_lag() -> None:
    scene = Scene(end=500)
    scene.lag.parked(SOURCE, 9_000_000)
    scene.lag.export({SOURCE: 100}, [SOURCE], {}, [SOURCE])
    assert scene.lags == (0, 0)
    assert scene.value("gavel_parked_records", PARKED) == 400
    assert scene.value("gavel_parked_oldest_seconds", PARKED) == 1_000
    scene.lag.export({SOURCE: 100}, [], {SOURCE: 9_995_000})  # their time has come
    assert scene.lags == (400, 5)
    assert scene.value("gavel_parked_records", PARKED) == scene.value("gavel_parked_oldest_seconds", PARKED) == 0


def test_a_partition_that_is_gone_has_no_series() -> None:
    scene = Scene(end=500)
    scene.lag.parked(SOURCE, 9_000_000)
    scene.lag.export({SOURCE: 100}, [SOURCE], {}, [SOURCE])
    scene.lag.forget(SOURCE)
    assert scene.lags == (None, None)
    assert scene.value("gavel_parked_records", PARKED) is None


def test_a_partition_that_is_given_back_because_the_judge_is_full_is_behind() -> None:
    scene = Scene(end=500)
    scene.lag.export({SOURCE: 100}, [SOURCE], {}, [SOURCE])
    assert scene.lags[0] == 400
