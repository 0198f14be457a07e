"""One worker as its supervisor sees it."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from msgspec import MsgspecError

from processor.runtime.health import ask
from processor.runtime.samples import decode_samples
from processor.workers.merge import MergedMetrics

_ANSWERS_WITHIN_S = 2.0
_LOOK_EVERY_S = 1.0
_LOOKS_PER_COUNT = 5


@dataclass(frozen=True, slots=True)
class ChildPatience:
    """Seconds after which a worker that does not answer is taken to hang.

    Attributes:
        first_answer_s: from its start to its first answer.
        answer_s: since its last answer that it lives.
    """

    first_answer_s: float = 120.0
    answer_s: float = 60.0


class Child:
    """A worker process, and a thread that asks it how it is until it ends.

    Args:
        key: of this start in `merged`; no other start has it.
        at: the socket on which it will answer.
        keep: file descriptors that it inherits.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        key: int,
        at: Path,
        keep: Sequence[int],
        merged: MergedMetrics,
        patience: ChildPatience,
    ) -> None:
        self.key, self.at = key, at
        self._merged, self._patience = merged, patience
        # In a session of its own, Ctrl-C at the terminal reaches only the supervisor, which forwards it.
        self._process = subprocess.Popen(  # noqa: S603  # the supervisor's own command
            command, stdin=subprocess.DEVNULL, pass_fds=tuple(keep), start_new_session=True
        )
        self.started_s = monotonic()
        self.ready, self.details = False, {"waiting_for": "its start"}
        self._alive_s: float | None = None
        self._counting = threading.Lock()
        self._over = threading.Event()
        merged.born(key)
        self._thread = threading.Thread(target=self._watch, name=f"worker-{self.pid}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def answered_s(self) -> float:
        """Seconds from its start to its last answer that it lives; 0 if it never answered."""
        return 0.0 if self._alive_s is None else self._alive_s - self.started_s

    def ended(self) -> int | None:
        """Return the exit code, -N if signal N ended it; None while it runs."""
        return self._process.poll()

    def hangs(self) -> bool:
        """Whether it has not answered for too long."""
        if self._alive_s is None:
            return monotonic() - self.started_s > self._patience.first_answer_s
        return monotonic() - self._alive_s > self._patience.answer_s

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing if it has ended."""
        self._process.send_signal(number)

    def kill(self) -> int:
        """End it at once and return the exit code."""
        self._process.kill()
        return self._process.wait()

    def release(self) -> None:
        """Keep its counts and forget the rest. Call it when the process has ended."""
        self._over.set()
        self._merged.retire(self.key)
        self.at.unlink(missing_ok=True)

    def count(self) -> None:
        """Fetch its metrics; those of the last time stay if it does not answer. Blocks for two seconds at the most."""
        with self._counting:  # two answers that overtake each other would let a counter fall
            try:
                status, body = ask(self.at, "/samples", _ANSWERS_WITHIN_S)
                if status == 200:
                    self._merged.update(self.key, decode_samples(body))
            except (OSError, MsgspecError):
                return

    def look(self) -> None:
        """Ask whether it lives and is ready. Blocks for four seconds at the most."""
        try:
            lives, _ = ask(self.at, "/livez", _ANSWERS_WITHIN_S)
            status, body = ask(self.at, "/readyz", _ANSWERS_WITHIN_S)
            details: dict[str, Any] = json.loads(body)
        except (OSError, ValueError):
            answered = self._alive_s is not None
            self.ready, self.details = False, {"waiting_for": "its answer" if answered else "its start"}
            return
        if lives == 200:
            self._alive_s = monotonic()
        details.pop("ok", None)
        self.ready, self.details = status == 200, details

    def _watch(self) -> None:
        looks = 0
        while not self._over.wait(_LOOK_EVERY_S if self._alive_s is not None else _LOOK_EVERY_S / 5):
            self.look()
            if looks % _LOOKS_PER_COUNT == 0:
                self.count()
            looks += 1


Start = Callable[[int, Path], Sequence[str]]
"""Returns the command of the worker with a number that answers on a socket."""
