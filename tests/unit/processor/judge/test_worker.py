"""The bridge between the polling thread and the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from processor.events.message import Message
from processor.events.output import Output
from processor.judge import worker
from processor.judge.worker import JudgeWorker
from tests.services.waiting import PATIENCE_S


async def nothing(_: Message) -> list[Output]:
    return []


async def never() -> None:
    await asyncio.Event().wait()


async def breaks() -> None:
    raise OSError("the connection is gone")


@pytest.mark.parametrize(("shutdown", "error"), [(never, "TimeoutError"), (breaks, "OSError")])
def test_connections_that_do_not_close_do_not_hide_why_the_stage_ended(
    monkeypatch: pytest.MonkeyPatch, shutdown: Callable[[], Awaitable[None]], error: str
) -> None:
    """A worker is closed while an error is on its way; the error of the end took its place in the log."""
    monkeypatch.setattr(worker, "_CLOSE_S", 0.05 if shutdown is never else 60.0)
    made = JudgeWorker(nothing, ready=lambda: True, shutdown=shutdown)
    with capture_logs() as logged:
        made.close()
    assert [(each["event"], each["error"]) for each in logged] == [("connections_left_open", error)]
    assert made._loop.is_closed() or shutdown is never


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
