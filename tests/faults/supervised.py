"""A role as a process of its own, started again whenever it ends, as an orchestrator does."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.services.cache import CHECKOUT
from tests.services.process import GuardedProcess

BACKOFF_S = 0.3
_STAGE = "processor/stream/stage.py"
_FRAMES = 6
_TELLING = re.compile(
    r"gavel_(records_in|partitions_|consumer_lag|commits_|transactions_|judge_parked|sink_)(?!.*_bucket)"
)


class Exit(NamedTuple):
    """How a process ended: -9 is `kill -9`. `why`: its log line about a role that failed, or where a role hung."""

    name: str
    code: int
    why: str = ""


class Supervised:
    """One process of a role.

    Args:
        name: of the process, for the ledger and the log file.
        doom: folder by which `tests.faults.doomed` is armed.
    """

    def __init__(self, name: str, role: str, env: Mapping[str, str], folder: Path, doom: Path) -> None:
        self.name, self.role = name, role
        self.log = folder / f"{name}.log"
        self.exits: list[Exit] = []
        self.starts = 0
        self._argv: Sequence[str] = [sys.executable, "-m", "tests.faults.doomed", str(doom), "run", "--role", role]
        self._env = {"PYTHONPATH": str(CHECKOUT), **env, "PYTHONDONTWRITEBYTECODE": "1"}
        self._lock = threading.Lock()
        self._wanted = True
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, name=f"supervisor-{name}", daemon=True)
        self._thread.start()

    def _start(self) -> GuardedProcess:
        self.starts += 1
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        return GuardedProcess(self._argv, log=self.log, env=self._env)

    def _watch(self) -> None:
        while self._wanted:
            with self._lock:
                code = self._process.exit_code
                if code is not None and self._wanted:
                    self._process.kill()
                    self.exits.append(Exit(self.name, code, self._why() if code > 0 else ""))
                    self._process = self._start()
            time.sleep(BACKOFF_S)

    def _why(self) -> str:
        told = self.log.read_bytes()[self._log_from :].decode(errors="replace")
        failed = "".join(line for line in told.splitlines() if '"role_failed"' in line)
        if failed:
            return "".join(re.findall(r'"error": "([^"]*)', failed)[:1])
        # The watchdog leaves the stacks of all threads, an empty line between two, and the newest call first.
        stage = "".join(stack for stack in told.split("\n\n") if _STAGE in stack)
        return " < ".join(re.findall(r"^  File .* in (\w+)$", stage, re.MULTILINE)[:_FRAMES])

    def kill(self) -> None:
        """`kill -9`; the supervisor starts it again."""
        with self._lock:
            self._process.send(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the process until `thaw`, as a machine that swaps or a paused VM does."""
        with self._lock:
            self._process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        with self._lock:
            self._process.send(signal.SIGCONT)

    def restart(self) -> int:
        """SIGTERM, wait, start again. Returns the exit code; -9 if it did not end."""
        with self._lock:
            code = self._process.terminate()
            self._process = self._start()
        return code

    def stop(self) -> int:
        """SIGTERM and no new start. Returns the exit code."""
        self._wanted = False
        self._thread.join()
        return self._process.terminate()

    def kill_for_good(self) -> None:
        """`kill -9` and no new start."""
        self._wanted = False
        self._thread.join()
        self._process.kill()

    def tail(self, lines: int = 15) -> str:
        """Return the end of its log, its metrics of records and partitions, and the stacks of its threads."""
        told = self._process.log_tail(lines)
        address = re.findall(r'"metrics": "(http://[^"]+)"', self.log.read_text(errors="replace"))
        try:
            with urllib.request.urlopen(address[-1], timeout=3) as answer:
                metrics = answer.read().decode().splitlines()
        except (OSError, IndexError):
            return f"{told}\n(no metrics)"
        before = self.log.stat().st_size
        self._process.send(signal.SIGUSR1)
        time.sleep(0.5)
        stacks = self.log.read_bytes()[before:].decode(errors="replace")
        return "\n".join([told, *(line for line in metrics if _TELLING.match(line)), stacks])
