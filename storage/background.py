"""Work that repeats beside the roles: looks for backfills, labels, reports and tokens, each on a thread of its own."""

from __future__ import annotations

import os
import socket
import threading
from abc import ABC, abstractmethod
from typing import ClassVar
from uuid import uuid4


class Background(ABC):
    """Takes a turn again and again on a daemon thread, until it is stopped.

    An exception of `outages` lets the thread go on: the next turn tries again. Any other exception ends the thread.

    Attributes:
        crash: the exception that ended the thread.

    Args:
        thread: the name of the thread.
        every_s: seconds between two turns.
        stop_within_s: how long `stop` waits for the turn in progress.
        at_once: take the first turn at the start, and not after `every_s`.
    """

    outages: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self, thread: str, *, every_s: float, stop_within_s: float, at_once: bool = False) -> None:
        self._every_s = every_s
        self._stop_within_s = stop_within_s
        self._at_once = at_once
        self.crash: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=thread, daemon=True)

    def start(self) -> None:
        """Start the thread. It does not block.

        Raises:
            RuntimeError: it was started before.
        """
        self._thread.start()

    def stop(self) -> None:
        """End after the turn in progress, or return after `stop_within_s`; the thread ends with its process."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(self._stop_within_s)

    @property
    def thread_name(self) -> str:
        """The name of the thread."""
        return self._thread.name

    @property
    def alive(self) -> bool:
        """Whether the thread still takes turns."""
        return self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether a turn in progress should end early."""
        return self._stopping.is_set()

    @abstractmethod
    def _turn(self) -> None:
        """Do all work that is due. It may block."""

    def _on_outage(self, error: Exception) -> None:
        """Log the first of the turns that fail in a row."""

    def _on_recovery(self) -> None:
        """Log the first turn that succeeds after an outage."""

    def _run(self) -> None:
        try:
            self._take_turns()
        except BaseException as error:
            self.crash = error
            raise

    def _take_turns(self) -> None:
        away = False
        wait_s = 0.0 if self._at_once else self._every_s
        while not self._stopping.wait(wait_s):
            wait_s = self._every_s
            try:
                self._turn()
            except self.outages as error:
                if not away:
                    self._on_outage(error)
                away = True
            else:
                if away:
                    self._on_recovery()
                away = False


def claimant() -> str:
    """Return a new name under which work in the store is claimed.

    It has random digits, because a process id comes back: in a container it is always the same one, and a new process
    must not be taken for one that died.
    """
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
