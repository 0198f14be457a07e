"""The bridge between the polling thread and the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from processor.events.message import Message
from processor.events.output import Output
from processor.judge import worker
from processor.judge.worker import JudgeWorker
from tests.services.waiting import PATIENCE_S


async def nothing(_: Message) -> list[Output]:
    return []


def test_connections_that_do_not_close_do_not_hide_why_the_stage_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is closed while an error is on its way; a TimeoutError without a text took its place in the log."""
    monkeypatch.setattr(worker, "_CLOSE_S", 0.05)

    async def never() -> None:
        await asyncio.Event().wait()

    JudgeWorker(nothing, ready=lambda: True, shutdown=never).close()


def test_an_event_loop_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_CLOSE_S", 0.05)
    go_on, hangs = threading.Event(), threading.Event()
    made = JudgeWorker(nothing, ready=lambda: True)

    def hang() -> None:
        hangs.set()
        go_on.wait()

    made._loop.call_soon_threadsafe(hang)
    assert hangs.wait(PATIENCE_S)
    made.close()
    go_on.set()
    made._thread.join()
    made._loop.close()
