"""The Faust application that counts results in windows.

    results ──split──▶ windows topic, keyed by evaluation ──count──▶ table, with its changelog

`split` reads results and sends them on in batches, one record per evaluation version and batch. `count` adds them to
the state of its partition. Both acknowledge only what Kafka has confirmed, so a crash repeats records and loses none,
and repeated ones are told by their ids (`reports.windows.seen`) and offsets (`reports.windows.state`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import faust
import msgspec
import structlog
from faust.streams import Stream
from faust.tables.manager import TableManager
from faust.types import EventT, StreamT, TopicT

from config.settings import Settings
from reports.metrics import ReportsMetrics
from reports.windows.entry import (
    NotCounted,
    RuleOf,
    batch_key,
    batches,
    decode_batch,
    encode_batch,
    read_result,
)
from reports.windows.gauges import show
from reports.windows.kafka import CommittedApp, broker_options
from reports.windows.state import PartitionState
from reports.windows.table import StateTable
from reports.windows.watch import ShiftFound, ShiftWriter

_TAKE = 2_000
_WITHIN_S = 1.0
"""Longer batches make fewer records: one per version in each of the two topics."""
_SHOW_EVERY_S = 5
ROLE = "reports"


@dataclass(frozen=True, slots=True)
class WindowsParts:
    """Parts that the application is given.

    Attributes:
        bootstrap_servers: addresses of the brokers.
        rule_of: how verdicts are read; asked from the application's thread.
        write_shifts: where shifts go; called from a thread of the event loop's executor.
        now_s: the wall clock, in whole seconds since 1970.
    """

    settings: Settings
    bootstrap_servers: str
    metrics: ReportsMetrics
    rule_of: RuleOf
    write_shifts: ShiftWriter
    now_s: Callable[[], int]


class WindowsApp:
    """One Faust application, to be started once. Build another one after it has ended."""

    def __init__(self, parts: WindowsParts) -> None:
        self._parts = parts
        self._metrics = parts.metrics
        self._log = structlog.get_logger("gavel.windows")
        self.states: dict[int, PartitionState] = {}
        self._shown_s = 0
        self.faust = _application(parts.settings, parts.bootstrap_servers)
        topics = parts.settings.kafka.topics
        self._results = self._topic(topics.results)
        self._windows = self._topic(topics.windows)
        self._table = StateTable(
            self.faust, changelog=topics.windows_state, name="windows", key_type=bytes, value_type=bytes
        )
        self.faust.tables.add(self._table)
        self.faust.agent(self._results, name="split")(self._split)
        self.faust.agent(self._windows, name="count")(self._count)
        self.faust.on_partitions_revoked.connect(self._forget)
        self.faust.on_partitions_assigned.connect(self._forget)

    def _topic(self, name: str) -> TopicT:
        return self.faust.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @property
    def ready(self) -> bool:
        """Whether partitions are assigned and their state is recovered."""
        app = self.faust
        return (
            bool(app.consumer.assignment())
            and not app.rebalancing
            and not cast("TableManager", app.tables).recovery.in_recovery
        )

    async def _forget(self, *_: Any, **__: Any) -> None:
        """Drop the decoded state: the table has what this process, or the one before it, came to."""
        self.states.clear()

    async def _split(self, stream: StreamT[Any]) -> None:
        async for events in cast("Stream[bytes]", stream).take_events(_TAKE, within=_WITHIN_S):
            found = []
            for event in events:
                try:
                    found.append(read_result(event.value or b"", self._parts.rule_of))
                except NotCounted as passed:
                    self._metrics.count("gavel_records_skipped", role=ROLE, reason=passed.reason)
            sent = [
                await self._windows.send(key=batch_key(batch.version), value=encode_batch(batch))
                for batch in batches(found)
            ]
            await asyncio.gather(*sent)
            self._metrics.count("gavel_records_consumed", len(events), role=ROLE, topic=self._results.get_topic_name())

    async def _count(self, stream: StreamT[Any]) -> None:
        async for events in cast("Stream[bytes]", stream).take_events(_TAKE, within=_WITHIN_S):
            await self._add(events)

    async def _add(self, events: Sequence[EventT[bytes]]) -> None:
        now_s = self._parts.now_s()
        touched: dict[int, PartitionState] = {}
        for event in events:
            message = event.message
            state = touched[message.partition] = self._state(message.partition)
            try:
                batch = decode_batch(message.value or b"")
            except msgspec.DecodeError:
                self._metrics.count("gavel_records_skipped", role=ROLE, reason="bad_row")
                continue
            state.apply(message.offset, batch, now_s)
        # Shifts come first: once the state is written, a repetition does not find them again.
        await self._write_shifts([found for state in touched.values() for found in state.take_shifts()])
        for state in touched.values():
            self._table.write(state.changes(now_s))
            for verdict, amount in state.take_counted().items():
                self._metrics.count("gavel_windows_results", amount, outcome=verdict)
        await self._table.confirmed()
        self._show(now_s)

    def _show(self, now_s: int) -> None:
        """Set the gauges, at most every few seconds, because they cost a walk over all windows."""
        if now_s < self._shown_s + _SHOW_EVERY_S:
            return
        self._shown_s = now_s
        show(self._metrics, self.states.values(), now_s)

    def _state(self, partition: int) -> PartitionState:
        state = self.states.get(partition)
        if state is None:
            state = self.states[partition] = PartitionState(
                partition, self._table.records(partition), seen_ids=self._parts.settings.windows.seen_ids
            )
        return state

    async def _write_shifts(self, shifts: Sequence[ShiftFound]) -> None:
        if not shifts:
            return
        await asyncio.get_running_loop().run_in_executor(None, self._parts.write_shifts, shifts)
        for found in shifts:
            self._metrics.count("gavel_windows_shifts", direction=found.shift.direction)


def _application(settings: Settings, bootstrap_servers: str) -> faust.App:
    """Return the application without topics and agents.

    It takes no signals, serves no web pages, and reads neither the command line nor the environment.
    """
    kafka = settings.kafka
    return CommittedApp(
        kafka.group(ROLE),
        **broker_options(kafka, bootstrap_servers),
        datadir=settings.data_dir / "faust",
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        broker_client_id=f"{kafka.client_id}-{ROLE}",
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.session_timeout_s / 6,
        broker_request_timeout=max(90.0, kafka.session_timeout_s * 2),
        broker_max_poll_interval=kafka.max_poll_interval_s,
        broker_commit_interval=1.0,
        consumer_max_fetch_size=max(kafka.max_message_bytes, 1_048_576),
        producer_acks=-1,
        producer_compression_type="lz4",
        producer_max_request_size=kafka.max_message_bytes,
        stream_wait_empty=True,
    )
