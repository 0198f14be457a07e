"""The process around the roles, without roles."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from processor.runtime.process import Runtime


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """One whose signal handlers are installed for the test, and which runs nothing."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    made = Runtime.__new__(Runtime)
    monkeypatch.setattr(made, "_stop", threading.Event(), raising=False)
    monkeypatch.setattr(made, "_export_snapshot", lambda: None)
    made.install_signal_handlers()
    yield made
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["_acquire_restore", "_release_save"])
def test_a_signal_while_the_thread_that_waits_holds_its_own_lock_ends_the_wait(
    runtime: Runtime, number: signal.Signals, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that took the lock would wait for ever for the thread that it interrupted."""
    raised = threading.Event()

    def interrupted(real: Any) -> Any:
        def call(condition: Any, *arguments: Any) -> Any:
            ours = condition is runtime._stop._cond and not raised.is_set()
            if ours and moment == "_release_save":
                raised.set()
                signal.raise_signal(number)
            found = real(condition, *arguments)
            if ours and moment == "_acquire_restore":
                raised.set()
                signal.raise_signal(number)
            return found

        return call

    def spare(condition: Any, *arguments: Any) -> Any:
        pytest.fail("the handler waited for the lock of its own thread")

    monkeypatch.setattr(threading.Event, "set", lambda self: spare(self) if self is runtime._stop else real_set(self))
    monkeypatch.setattr(threading.Condition, moment, interrupted(getattr(threading.Condition, moment)))
    runtime.wait()
    assert raised.is_set()


real_set = threading.Event.set
