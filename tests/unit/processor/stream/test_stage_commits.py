"""Commits that are on their way while the next batch is worked through: each record answered once, in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from processor.events.output import Output, TopicAndPartition
from processor.metrics import Metrics
from processor.stream.deadline import Deadline
from processor.stream.ledger import Frontier, Span
from processor.stream.limits import StageError, StageLimits
from processor.stream.offsets import OffsetConsumer, PendingOffsets, _places
from processor.stream.stage import Stage
from processor.stream.transactions import CommitAborted
from processor.stream.worker import Worker
from tests.services.waiting import PATIENCE_S

TOPIC, PARTITIONS, EACH = "events", 3, 60
ENDINGS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["done", "aborted", "refused"])), max_size=25)
"""For each commit: the number of polls after which it ends, and its end; `refused` is an abort before it starts."""


@dataclass(frozen=True)
class Record:
    source: TopicAndPartition
    at: int
    made_again: bool = False

    def topic(self) -> str:
        return self.source[0]

    def partition(self) -> int:
        return self.source[1]

    def offset(self) -> int:
        return self.at

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return b"%d" % self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000_000 + self.at + (5 if self.made_again else 0)

    def __len__(self) -> int:
        return 1


class Topic:
    """A consumer of some partitions, read by turns."""

    def __init__(self) -> None:
        self.position = {(TOPIC, n): 0 for n in range(PARTITIONS)}
        self.paused: set[TopicAndPartition] = set()
        self.away = False
        self.polls: list[tuple[int, float]] = []

    def consume(self, limit: int, wait_s: float) -> list[Record]:
        self.polls.append((limit, wait_s))
        taken: list[Record] = []
        for source in self.position:
            while source not in self.paused and self.position[source] < EACH and len(taken) < limit:
                taken.append(Record(source, self.position[source]))
                self.position[source] += 1
        return taken

    def seek(self, partition: TopicPartition) -> None:
        self.position[partition.topic, partition.partition] = partition.offset

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {(each.topic, each.partition) for each in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {(each.topic, each.partition) for each in partitions}

    def list_topics(self, **_: object) -> None:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def committed(self, partitions: list[TopicPartition], **__: object) -> list[TopicPartition]:
        return partitions

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        return 0, EACH


class Echo(Worker):
    def __init__(self) -> None:
        self.held: list[Span] = []

    def submit(self, spans: list[Span]) -> None:
        self.held += spans

    def collect(self) -> list[tuple[Span, list[Output]]]:
        done, self.held = self.held, []
        return [
            (s, [Output("result", "results", None, str(m.at).encode(), [], s.source[1]) for m in s.messages])
            for s in done
        ]

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        self.held.clear()


class Book:
    """A committer with its commits; durable outputs are recorded when a commit succeeds."""

    def __init__(self, endings: list[tuple[int, str]]) -> None:
        self.endings = endings
        self.answered: dict[TopicAndPartition, list[int]] = {(TOPIC, n): [] for n in range(PARTITIONS)}
        self.on_its_way: Frontier | None = None
        self.looks, self.ending = 0, "done"

    def begin(self, _: object, frontier: Frontier, __: Deadline) -> Book:
        assert self.on_its_way is None, "two transactions of one producer at a time"
        self.looks, self.ending = self.endings.pop() if self.endings else (0, "done")
        if self.ending == "refused":
            raise CommitAborted("refused")
        self.on_its_way = frontier
        return self

    def ended(self) -> bool:
        self.looks -= 1
        if self.looks >= 0:
            return False
        self.wait()
        return True

    def wait(self, _: Deadline | None = None) -> None:
        frontier, self.on_its_way = self.on_its_way, None
        assert frontier is not None
        if self.ending == "aborted":
            raise CommitAborted("aborted")
        for output in frontier.outputs:
            self.answered[TOPIC, output.partition].append(int(output.value or b""))
        for source, offset in frontier.offsets.items():
            assert offset == len(self.answered[source]), "the offset and the results are not of the same records"


class GroupTopic(Topic):
    """A consumer that reports the outcome of a commit in the poll after so many, and rebalances in some polls."""

    def __init__(self, endings: list[tuple[int, str]]) -> None:
        super().__init__()
        self.endings = endings
        self.outcome: tuple[KafkaError | None, list[TopicPartition]] | None = None
        self._asked: set[tuple[str, int, int]] = set()
        self.on_their_way: list[tuple[int, str, list[TopicPartition]]] = []
        self.reports: list[tuple[KafkaError | None, list[TopicPartition]]] = []
        self.committed_places = {(TOPIC, n): 0 for n in range(PARTITIONS)}
        self.stage: Stage | None = None
        self.rebalances = 0

    def begin_commit(self, offsets: list[TopicPartition]) -> None:
        assert not self.on_their_way, "two commits at a time"
        self.outcome, self._asked = None, _places(offsets)
        self.on_their_way.append((*(self.endings.pop() if self.endings else (0, "done")), offsets))

    def consume(self, limit: int, wait_s: float) -> list[Record]:
        if self.rebalances and self.stage is not None:
            self.rebalances -= 1
            source = (TOPIC, self.rebalances % PARTITIONS)
            if source in self.stage.sources:
                self.stage._on_revoke(self, [TopicPartition(*source)])
                self.stage._on_assign(self, [TopicPartition(*source)])
                self.position[source] = self.committed_places[source]
        self._go_on()
        while self.reports:
            OffsetConsumer._on_commit(self, *self.reports.pop(0))  # type: ignore[arg-type]
        return super().consume(limit, wait_s)

    def committed(self, partitions: list[TopicPartition], **_: object) -> list[TopicPartition]:
        self._go_on()
        return [TopicPartition(e.topic, e.partition, self.committed_places[e.topic, e.partition]) for e in partitions]

    def _go_on(self) -> None:
        """Work through the commit on its way, if it is its turn; a poll reports it."""
        for left, ending, asked in self.on_their_way:
            self.on_their_way.clear()
            if left > 0:
                self.on_their_way.append((left - 1, ending, asked))
                return
            codes = {"aborted": KafkaError.UNKNOWN_MEMBER_ID, "refused": KafkaError.NOT_COORDINATOR}
            if ending == "done":
                for each in asked:
                    place = self.committed_places[each.topic, each.partition]
                    assert each.offset >= place, "a commit moved a place back"
                    self.committed_places[each.topic, each.partition] = each.offset
            self.reports.append((None if ending == "done" else KafkaError(codes[ending]), asked))


class OffsetBook:
    """A committer of offsets that remembers the outputs that were written before each commit."""

    def __init__(self) -> None:
        self.written: dict[TopicAndPartition, set[int]] = {(TOPIC, n): set() for n in range(PARTITIONS)}

    def begin(self, consumer: Any, frontier: Frontier, deadline: Deadline) -> PendingOffsets:
        for output in frontier.outputs:
            self.written[TOPIC, output.partition].add(int(output.value or b""))
        offsets = [TopicPartition(*source, offset) for source, offset in frontier.offsets.items()]
        return PendingOffsets(consumer, offsets, lambda _: True, deadline)


@settings(deadline=None)
@given(ENDINGS, st.integers(1, 40), st.integers(0, 60), st.integers(0, 8))
def test_commits_of_offsets_that_end_in_polls_lose_nothing(
    endings: list[tuple[int, str]], batch: int, steps: int, rebalances: int
) -> None:
    """Also when a rebalance comes while one is on its way, in a turn of the loop or while the stage drains."""
    with pytest.MonkeyPatch.context() as patch:
        for wait in ("_RETRY_S", "_LOOK_S"):
            patch.setattr(f"processor.stream.offsets.{wait}", 0.0)
        topic, book = GroupTopic(endings), OffsetBook()
        stage, _ = running(book, topic=topic, batch_records=batch, max_records=50)
        topic.stage, topic.rebalances = stage, rebalances
        for _ in range(steps):
            stage._step()
            assert stage.records_in_flight < 50 + batch, "more was accepted than the bound allows"
        stage._finish(Deadline(PATIENCE_S))
    refused = any(ending != "done" for _, ending in endings)  # a refusal in the last drain leaves records for later
    for source, place in topic.committed_places.items():
        assert book.written[source] >= set(range(place)), "an offset is committed whose outputs were not written"
        assert place == topic.position[source] or refused, "the last drain has committed all that was read"


def running(
    book: Any, commit_interval_s: float = 0.0, topic: Topic | None = None, **limits: Any
) -> tuple[Stage, Topic]:
    topic = topic or Topic()
    stage = Stage(
        "matcher",
        [TOPIC],
        topic,
        book,
        Echo(),
        StageLimits(commit_interval_s=commit_interval_s, **limits),
        Metrics(CollectorRegistry()),
    )
    stage._on_assign(topic, [TopicPartition(*source) for source in topic.position])
    return stage, topic


@settings(deadline=None)
@given(ENDINGS, st.integers(1, 40), st.integers(0, 60))
def test_whatever_becomes_of_commits_each_record_is_answered_once_in_order(
    endings: list[tuple[int, str]], batch: int, steps: int
) -> None:
    book = Book(endings)
    stage, topic = running(book, batch_records=batch, max_records=50)
    for _ in range(steps):
        stage._step()
        assert stage.records_in_flight == sum(topic.position.values()) - sum(map(len, book.answered.values()))
        assert stage.records_in_flight < 50 + batch, "more was accepted than the bound allows"
    stage._finish(Deadline(PATIENCE_S))
    for source, answered in book.answered.items():
        assert answered == list(range(topic.position[source])), "lost, repeated or out of order"


def test_the_next_batch_is_worked_through_while_a_commit_is_on_its_way() -> None:
    book = Book([(10_000, "done")])
    stage, topic = running(book, batch_records=10)
    for _ in range(5):
        stage._step()
    assert book.on_its_way is not None
    assert sum(topic.position.values()) == 50
    assert stage.records_in_flight == 50


def test_a_commit_begins_before_its_time_when_what_is_done_is_half_of_the_bound() -> None:
    """Otherwise the whole bound is full when the commit begins, and the stage can only wait for it."""
    book = Book([(10_000, "done")])
    stage, _ = running(book, batch_records=10, max_records=40, commit_interval_s=3600.0)
    stage._step()
    assert book.on_its_way is None
    stage._step()
    assert book.on_its_way is not None
    stage._step()
    assert stage.records_in_flight == 30


def test_a_commit_is_waited_for_when_there_is_nothing_else_to_do() -> None:
    book = Book([(10_000, "done")])
    stage, _ = running(book, batch_records=1000)
    stage._step()
    assert (book.on_its_way, stage.records_in_flight) == (None, 0)


def test_a_commit_that_alone_holds_records_in_hand_is_waited_for_and_nothing_is_paused() -> None:
    """A pause discards the prefetched records, and the next fetch may wait for half a second."""
    book = Book([(10_000, "done")] * 20)
    stage, topic = running(book, batch_records=10, max_records=40)
    for _ in range(12):
        stage._step()
        assert not topic.paused
    assert sum(topic.position.values()) == 120


def test_what_is_done_is_committed_before_its_time_when_nothing_more_comes() -> None:
    book = Book([])
    stage, _ = running(book, batch_records=PARTITIONS * EACH, commit_interval_s=3600.0)
    stage._step()
    assert stage.records_in_flight == PARTITIONS * EACH
    stage._step()
    assert stage.records_in_flight == 0


def test_what_is_done_is_committed_in_the_step_that_did_it_unless_batches_are_full() -> None:
    """No timer stands between a verdict and its commit while the load is low."""
    book = Book([])
    stage, topic = running(book, batch_records=1000, commit_interval_s=3600.0, poll_s=0.1)
    stage._step()
    assert sum(map(len, book.answered.values())) == PARTITIONS * EACH
    assert topic.polls == [(1, 0.1), (999, 0.0)], "the first record ends the wait, and the prefetched ones come with it"


def test_after_a_full_batch_a_poll_waits_for_another_one_but_not_for_long() -> None:
    stage, topic = running(Book([]), batch_records=100, commit_interval_s=3600.0, poll_s=0.1)
    for _ in range(3):
        stage._step()
    assert topic.polls == [(1, 0.1), (99, 0.0), (100, 0.02), (1, 0.1)]


def test_a_poll_is_short_while_work_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll does not notice that a judge has answered, whose verdict would wait for the end of the poll."""
    stage, topic = running(Book([]), batch_records=1000, poll_s=0.1)
    with monkeypatch.context() as held:
        held.setattr(stage._worker, "collect", list)
        stage._step()
        topic.polls.clear()
        stage._step()
    stage._step()
    stage._step()
    assert topic.polls == [(1, 0.01), (1, 0.01), (1, 0.1)]


def test_a_consumer_that_is_over_ends_the_stage() -> None:
    """Otherwise the process would stay alive without partitions for ever."""
    stage, _ = running(Book([]))
    with pytest.raises(StageError, match="instance"):
        stage._intake._on_message_error(KafkaError(KafkaError._FATAL, "the instance ID is still used"))
    with pytest.raises(StageError, match="too long"):
        stage._intake._on_message_error(KafkaError(KafkaError._MAX_POLL_EXCEEDED, "too long"))
    stage._intake._on_message_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "the broker is away"))


def test_a_member_that_is_not_taken_back_ends_when_a_broker_answers() -> None:
    """Seen after outages: the process would stand there, alive and without partitions."""
    stage, topic = running(Book([]), rejoin_s=0.0)
    stage._on_lost(topic, [TopicPartition(*source) for source in topic.position])
    topic.away = True
    stage._step()  # the outage goes on: it waits
    topic.away = False
    with pytest.raises(StageError, match="join anew"):
        stage._step()
    stage._on_assign(topic, [])
    stage._step()  # it is a member again, if one too many


SOURCE = (TOPIC, 0)


def records(*offsets: int, made_again: bool = False) -> list[Record]:
    return [Record(SOURCE, offset, made_again) for offset in offsets]


def outputs_of(stage: Stage, *batches: list[Record]) -> list[int]:
    """Accept these batches, and return the offsets of the records that were answered, in order."""
    answered: list[int] = []
    for batch in batches:
        stage._intake.take_up(batch)
        stage._collect()
        answered += [int(output.value or b"") for output in stage._ledger.advance().outputs]
        stage._ledger.settle()
    return answered


def test_records_that_come_again_are_answered_once() -> None:
    """librdkafka may go back to the beginning twice when a topic was recreated."""
    stage, _ = running(Book([]))
    assert outputs_of(stage, records(0, 1, 2), records(0, 1, 2, 3, 4), records(5)) == [0, 1, 2, 3, 4, 5]


def test_records_that_come_again_within_one_batch_are_answered_once() -> None:
    stage, _ = running(Book([]))
    assert outputs_of(stage, records(0, 2, 3, 0, 2, 3, 4), records(0, 2), records(3, 4, 5)) == [0, 2, 3, 4, 5]


def test_a_topic_that_was_made_again_is_read_from_its_beginning_and_once() -> None:
    stage, _ = running(Book([]))
    new = [records(*offsets, made_again=True) for offsets in ((0, 1), (0, 1, 2), (3,))]
    assert outputs_of(stage, records(7, 8), *new) == [7, 8, 0, 1, 2, 3]


def test_a_topic_that_was_made_again_twice_is_read_each_time() -> None:
    stage, _ = running(Book([]))
    again = records(0, 1, made_again=True)
    assert outputs_of(stage, records(0, 1), again, again, records(0, 1)) == [0, 1, 0, 1, 0, 1]


def test_partitions_go_only_after_the_commit_that_is_on_its_way() -> None:
    book = Book([(10_000, "done")])
    stage, topic = running(book, batch_records=100)
    stage._step()
    assert book.on_its_way is not None
    stage._on_revoke(topic, [TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)])
    assert (book.on_its_way, sum(map(len, book.answered.values()))) == (None, 100)


def test_a_commit_that_is_refused_after_its_partitions_were_lost_rewinds_only_what_is_left() -> None:
    book = Book([(1, "aborted")])
    stage, topic = running(book, batch_records=90)
    stage._step()
    assert book.on_its_way is not None
    stage._on_lost(topic, [TopicPartition(TOPIC, 0)])
    topic.position = {(TOPIC, 1): topic.position[TOPIC, 1], (TOPIC, 2): topic.position[TOPIC, 2]}
    for _ in range(3):
        stage._step()
    stage._finish(Deadline(PATIENCE_S))
    assert topic.position.keys() == {(TOPIC, 1), (TOPIC, 2)}
    assert [book.answered[TOPIC, n] for n in (1, 2)] == [list(range(EACH))] * 2


def test_a_commit_that_ends_after_its_partition_went_and_came_back_moves_no_place_back() -> None:
    """Records that another member has committed in between must not be read again."""
    book = Book([(0, "aborted"), (2, "done")])
    stage, topic = running(book, batch_records=10)
    stage._step()
    gone = [TopicPartition(TOPIC, 0)]
    stage._on_lost(topic, gone)
    stage._on_assign(topic, gone)
    topic.position[TOPIC, 0] = 40  # another member did this
    stage._step()
    assert book.on_its_way is not None
    stage._step()
    book.answered[TOPIC, 0] = list(range(40))
    while book.endings or book.on_its_way is not None:
        stage._step()
    assert topic.position[TOPIC, 0] >= 40, "rewound to before what the other member did"
    stage._finish(Deadline(PATIENCE_S))
    assert book.answered[TOPIC, 0] == list(range(topic.position[TOPIC, 0]))
