"""The judge role's bridge between the polling thread and an event loop in which the calls wait.

The stage's thread submits records and collects those that have finished; one other thread runs the event loop. Each
record is handled by `handle`, a coroutine function that returns the record's outputs.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Protocol

import structlog

from processor.events.message import Message
from processor.events.output import Output, TopicAndPartition
from processor.stream.deadline import Deadline
from processor.stream.ledger import Span
from processor.stream.worker import Control, Worker

_CLOSE_S = 10.0
"""Seconds for `shutdown`, and for the end of the event loop. Connections that do not close end with the process."""
Handle = Callable[[Message], Awaitable[list[Output]]]
"""Takes one Kafka message and returns its outputs. Anything that it raises ends the process without a commit."""


class Admission(Protocol):
    """Decides which records are started now and which wait. All methods are called by the polling thread."""

    def admit(self, source: TopicAndPartition, messages: list[Message], control: Control) -> list[Message]:
        """See `Worker.admit`."""

    def due_ms(self, source: TopicAndPartition, message: Message) -> int:
        """See `Worker.due_ms`."""

    def take(self, source: TopicAndPartition, message: Message) -> Output | None:
        """Take a record in hand, or return the record that makes it wait elsewhere."""

    def give_back(self, messages: Iterable[Message]) -> None:
        """Note that records which were taken in hand are done with, or dropped."""

    def wake(self, control: Control) -> None:
        """Have deferred records read again as soon as they can be started."""


class JudgeWorker(Worker):
    """Runs `handle` for each record, many at a time.

    Args:
        handle: called on the event loop's thread.
        ready: whether work can be done (definitions are loaded).
        turns: decides which records are started now; all of them at once if None.
        background: run on the loop beside the records, for as long as the worker lives; an exception of it ends
            the process.
        shutdown: awaited on the loop when the worker closes.
    """

    per_record = True

    def __init__(
        self,
        handle: Handle,
        *,
        ready: Callable[[], bool],
        turns: Admission | None = None,
        background: Callable[[], Coroutine[Any, Any, None]] | None = None,
        shutdown: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._handle = handle
        self._is_ready = ready
        self._turns = turns
        self._shutdown = shutdown
        self._finished: queue.SimpleQueue[tuple[Span, list[Output] | BaseException]] = queue.SimpleQueue()
        self._running: dict[Span, asyncio.Task[list[Output]]] = {}
        self._submitted = 0
        self._collected = 0
        self._control: Control | None = None
        self._wake = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge-loop", daemon=True)
        self._thread.start()
        self._background = None if background is None else asyncio.run_coroutine_threadsafe(background(), self._loop)

    @property
    def taken(self) -> int:
        """The number of records read so far. May be read from any thread."""
        return self._submitted

    @property
    def in_hand(self) -> int:
        """The number of records read and not collected yet. May be read from any thread."""
        return self._submitted - self._collected

    def ready(self) -> bool:
        """See `Worker.ready`."""
        return self._is_ready()

    def admit(self, source: TopicAndPartition, messages: list[Message], control: Control) -> list[Message]:
        """See `Worker.admit`."""
        self._control = control
        return messages if self._turns is None else self._turns.admit(source, messages, control)

    def due_ms(self, source: TopicAndPartition, message: Message) -> int:
        """See `Worker.due_ms`."""
        return super().due_ms(source, message) if self._turns is None else self._turns.due_ms(source, message)

    def wake(self) -> None:
        """Let records that were given back be looked at again now. Safe from any thread."""
        self._wake.set()

    def submit(self, spans: list[Span]) -> None:
        """Start a coroutine for each span (of one record) whose turn it is."""
        self._submitted += len(spans)
        taken = []
        for span in spans:
            elsewhere = None if self._turns is None else self._turns.take(span.source, span.messages[0])
            if elsewhere is None:
                taken.append(span)
            else:
                self._finished.put((span, [elsewhere]))
        if taken:
            self._loop.call_soon_threadsafe(self._start, taken)

    def _start(self, spans: list[Span]) -> None:
        for span in spans:
            task = self._running[span] = self._loop.create_task(self._run(span.messages[0]))
            task.add_done_callback(partial(self._ended, span))

    async def _run(self, message: Message) -> list[Output]:
        return await self._handle(message)

    def _ended(self, span: Span, task: asyncio.Task[list[Output]]) -> None:
        """Hand over how a span ended: also one that was cancelled before it began."""
        self._running.pop(span, None)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._finished.put((span, task.result() if error is None else error))

    def collect(self) -> Iterable[tuple[Span, list[Output]]]:
        """Return the finished spans with their outputs. A defect in `handle` is raised here, on the polling thread."""
        if self._background is not None and self._background.done():
            self._background.result()
        if self._wake.is_set() and self._control is not None:
            self._wake.clear()
            self._control.wake()
        found: list[tuple[Span, list[Output]]] = []
        while True:
            try:
                span, outcome = self._finished.get_nowait()
            except queue.Empty:
                break
            self._collected += 1
            if self._turns is not None:
                self._turns.give_back(span.messages)
            if isinstance(outcome, asyncio.CancelledError):
                continue  # dropped; it is read again
            if isinstance(outcome, BaseException):
                raise outcome
            found.append((span, outcome))
        if self._turns is not None and self._control is not None:
            self._turns.wake(self._control)
        return found

    def drain(self, deadline: Deadline) -> None:
        """Wait until nothing is in flight or the deadline is over."""
        while self._submitted - self._collected > self._finished.qsize() and not deadline.over():
            threading.Event().wait(0.02)

    def drop(self, sources: Iterable[TopicAndPartition] | None = None) -> None:
        """Cancel the records of `sources` that are in flight."""
        gone = None if sources is None else set(sources)

        def cancel() -> None:
            for span, task in list(self._running.items()):
                if gone is None or span.source in gone:
                    task.cancel()

        self._loop.call_soon_threadsafe(cancel)

    def close(self) -> None:
        """Stop the event loop, after `shutdown`."""
        if self._background is not None:
            self._background.cancel()
        if self._shutdown is not None:
            ending = asyncio.run_coroutine_threadsafe(_await(self._shutdown), self._loop)
            try:
                ending.result(timeout=_CLOSE_S)
            except Exception as error:  # noqa: BLE001  # it must not hide why the stage ended; see `_CLOSE_S`
                structlog.get_logger("gavel.judge").warning("connections_left_open", error=type(error).__name__)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=_CLOSE_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _await(shutdown: Callable[[], Awaitable[None]]) -> None:
    await shutdown()
