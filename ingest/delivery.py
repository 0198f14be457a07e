"""From the front door to Kafka: a request is answered with 200 only after every message of it is acknowledged."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from config.settings import Settings
from config.settings.kafka import producing
from ingest.embedded import EventRoom
from ingest.limits import ANSWER_TIMEOUT_S
from ingest.metrics import IngestMetrics
from ingest.recent import RecentEvents
from processor.events.callbacks import flush, run_callbacks
from processor.events.output import Output

FAILING_AFTER_S = 5.0
"""Seconds without an acknowledgement after which requests are refused at once."""
_PROBE_EVERY_S = 1.0
_SERVE_EVERY_S = 0.002
_GIVE_UP_EVERY_S = 0.2


def producer_options(settings: Settings, bootstrap_servers: str | None) -> dict[str, Any]:
    """Return the options of the one producer of a process: idempotent, and acknowledged by all replicas in sync."""
    return {
        "queue.buffering.max.messages": 1_000_000,
        **producing(
            settings.kafka.client_config(bootstrap_servers=bootstrap_servers, client_id="ingest"), ANSWER_TIMEOUT_S
        ),
        # The bytes are bounded by `ingest.max_bytes` already; twice of it leaves that bound the one that acts.
        "queue.buffering.max.kbytes": settings.ingest.max_bytes // 512,
        "logger": logging.getLogger("gavel.librdkafka"),
    }


class Delivery:
    """The producer, its health, and the events that it has delivered lately.

    `send` may be called from several event loops. Each runs the producer's callbacks while it waits for some. A thread
    that ran them would take the interpreter from the loop again and again.

    Args:
        options: of confluent-kafka's Producer.
        probe_topic: a topic whose metadata is asked for while nothing is sent.
        on_fatal: called once, from any thread, when the producer can never deliver again.
        room: says when the embedded broker can take more; None on a real one.

    `on_tick` may be set to a function that is called about once a second. `recent` has the events that it delivered.
    """

    def __init__(
        self,
        options: dict[str, Any],
        *,
        probe_topic: str,
        metrics: IngestMetrics,
        on_fatal: Callable[[str], None],
        room: EventRoom | None = None,
    ) -> None:
        self._producer = Producer(options)
        self._probe_topic = probe_topic
        self._metrics = metrics
        self._on_fatal = on_fatal
        self._room = room
        self.on_tick: Callable[[], object] = lambda: None
        self._log = structlog.get_logger("gavel.ingest")
        self._lock = threading.Lock()
        self._batches = 0
        self._last_good_s = monotonic()
        self._stopping = threading.Event()
        self._callbacks = threading.Lock()
        self._waiting: dict[asyncio.AbstractEventLoop, set[_Batch]] = {}
        self._prober = threading.Thread(target=self._probe, name="gavel-ingest-probe", daemon=True)
        self.recent = RecentEvents()

    def start(self) -> None:
        """Start the thread that asks for the brokers' health."""
        self._prober.start()

    @property
    def failing(self) -> bool:
        """Whether Kafka has acknowledged nothing for some seconds although it was asked to."""
        return monotonic() - self._last_good_s > FAILING_AFTER_S

    async def send(self, messages: list[Output]) -> list[bool]:
        """Produce the messages and return, for each, whether it is acknowledged. Takes 8 seconds at the most.

        The list is empty afterwards: the producer has copies, and memory is for one of them.
        """
        if not messages:
            return []
        if self._room is None:
            return await self._send(messages, ANSWER_TIMEOUT_S)
        acknowledged: list[bool] = []
        until_s = monotonic() + ANSWER_TIMEOUT_S
        for part in self._room.slices(messages):
            if not await self._room.wait(part, until_s):
                break
            acknowledged += await self._send([*part], max(0.1, until_s - monotonic()))
        return acknowledged + [False] * (len(messages) - len(acknowledged))

    async def _send(self, messages: list[Output], timeout_s: float) -> list[bool]:
        loop = asyncio.get_running_loop()
        started = monotonic()
        batch = _Batch(len(messages), loop, self._note, started + timeout_s)
        produce, settle = self._producer.produce, batch.settle
        with self._lock:
            self._batches += 1
        messages.reverse()
        for index in range(len(messages)):
            message = messages.pop()  # the producer has a copy, and memory is for one of them
            try:
                produce(message.topic, message.value, message.key, -1, partial(settle, index), headers=message.headers)
            except (BufferError, KafkaException) as error:
                self._log.warning("event_not_queued", error=type(error).__name__)
                settle(index, error)
            del message
        await self._wait(batch, loop)
        self._metrics.observe("gavel_ingest_ack_seconds", monotonic() - started)
        return list(batch.acknowledged)

    async def _wait(self, batch: _Batch, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until a batch is settled or its time is over; serve acknowledgements meanwhile."""
        waiting = self._waiting.get(loop)
        if waiting is None:
            waiting = self._waiting[loop] = set()
            loop.call_later(_SERVE_EVERY_S, self._serve, loop, 0.0)
        waiting.add(batch)
        try:
            await batch.done
        finally:
            waiting.discard(batch)

    def _serve(self, loop: asyncio.AbstractEventLoop, looked_s: float) -> None:
        """Run the callbacks of acknowledged messages, again and again while a batch of this loop waits."""
        self._run_callbacks()
        waiting = self._waiting[loop]
        if not waiting:
            del self._waiting[loop]
            return
        now_s = monotonic()
        if now_s - looked_s > _GIVE_UP_EVERY_S:
            looked_s = now_s
            for batch in waiting:
                if batch.until_s <= now_s:
                    # A later acknowledgement is harmless: the client sends the same ids, and readers take distinct ids.
                    batch.end()
        loop.call_later(_SERVE_EVERY_S, self._serve, loop, looked_s)

    def _run_callbacks(self) -> None:
        if self._callbacks.acquire(blocking=False):  # a thread that runs them already runs those of the others too
            try:
                self._note_end(run_callbacks(self._producer))
            finally:
                self._callbacks.release()

    def close(self, timeout_s: float) -> int:
        """Wait for messages in flight, at most `timeout_s`, and return how many are left without an answer."""
        left, _ = flush(self._producer, timeout_s)
        self._stopping.set()
        return left

    def _note(self, acknowledged: bool) -> None:
        """Note that a batch is settled, and whether any message of it was acknowledged."""
        with self._lock:
            self._batches -= 1
        if acknowledged:
            self._last_good_s = monotonic()

    def _note_end(self, error: KafkaError | None) -> None:
        if error is not None:
            self._log.critical("producer_failed", error=error.str())
            self._on_fatal(error.str())

    def _probe(self) -> None:
        """Ask the brokers while nobody else does, so that readiness needs no traffic."""
        while not self._stopping.wait(_PROBE_EVERY_S):
            self.on_tick()
            self._run_callbacks()  # errors of the producer, and acknowledgements for which nobody waits any more
            if self._batches > 0:
                continue
            try:
                self._producer.list_topics(self._probe_topic, timeout=2.0)
            except KafkaException:
                continue
            self._last_good_s = monotonic()


class _Batch:
    """The acknowledgements that one request waits for.

    Args:
        note: called once, when the last message is settled, with whether any of them was acknowledged.
        until_s: monotonic time at which nobody waits any more.
    """

    __slots__ = ("_left", "_loop", "_note", "_thread", "acknowledged", "done", "until_s")

    def __init__(
        self, size: int, loop: asyncio.AbstractEventLoop, note: Callable[[bool], None], until_s: float
    ) -> None:
        self.acknowledged = [False] * size
        self._left = size
        self._loop = loop
        self._thread = threading.get_ident()
        self._note = note
        self.done: asyncio.Future[None] = loop.create_future()
        self.until_s = until_s

    def settle(self, index: int, error: object, _message: Message | None = None) -> None:
        """Note what became of a message; the producer's callback, which runs once for each of them."""
        if error is None:
            self.acknowledged[index] = True
        self._left -= 1
        if self._left == 0:
            self._note(True in self.acknowledged)
            if threading.get_ident() == self._thread:
                self.end()
            else:
                with suppress(RuntimeError):  # its loop is closed, so nobody waits
                    self._loop.call_soon_threadsafe(self.end)

    def end(self) -> None:
        """Let the request go on. Called in its own loop."""
        if not self.done.done():
            self.done.set_result(None)
