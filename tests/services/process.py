"""A child process that cannot outlive the process that started it, however that one ends."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tests.secret_watch import WATCH
from tests.services.waiting import PATIENCE_S, until

START_S = 3 * PATIENCE_S
"""How long a process may take to be ready; a broker took 100 s where an idle machine needs 4 s."""

WARDEN = """
import os, shutil, signal, sys
sys.stdin.buffer.read()
try:
    os.killpg(int(sys.argv[1]), signal.SIGKILL)
except ProcessLookupError:
    pass
for folder in sys.argv[2:]:
    shutil.rmtree(folder, ignore_errors=True)
"""
"""Waits for the end of its standard input, which comes when its parent ends in any way, `kill -9` included."""


class ServiceError(RuntimeError):
    """A server that tests need cannot be had. The message says why and what to do."""


class GuardedProcess:
    """A server process in a session of its own, with its output in a file.

    Its output is searched for secrets when it ends.

    Ctrl-C on the terminal does not reach it; it ends by `terminate` or `kill`, and by its warden as soon as
    the process that started it is gone. The warden then also removes `scratch`.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        scratch: Sequence[Path] = (),
    ) -> None:
        self.argv = [str(part) for part in argv]
        self.log = log
        WATCH.watch_environment(env or {})
        WATCH.follow(log)
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=None if env is None else {**os.environ, **env},
                start_new_session=True,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
        self._warden = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WARDEN, str(self._process.pid), *map(str, scratch)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The server's own process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N if signal N ended it."""
        return self._process.poll()

    def ending(self) -> str | None:
        """Return its exit code and the end of its output if it ended by itself; None while it runs."""
        return None if self.exit_code is None else f"exit code {self.exit_code}. {self.log_tail(lines=60)}"

    def wait_until(self, ready: Callable[[], object], what: str) -> None:
        """Block until `ready()`; raise ServiceError with the end of its log if it ends or takes too long."""

        def looked() -> bool:
            if ready():
                return True
            if self.exit_code is not None:
                raise ServiceError(f"{what} ended with exit code {self.exit_code} while starting.\n{self.log_tail()}")
            return False

        def gave_up() -> NoReturn:
            tail = self.log_tail()
            self.kill()
            raise ServiceError(f"{what} was not ready after {START_S:.0f} s.\n{tail}")

        until(looked, gave_up, limit_s=START_S)

    def log_tail(self, lines: int = 30) -> str:
        """Return the end of its output, for error messages."""
        tail = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"The end of {self.log}:", *tail])

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal to the server itself, not to its children."""
        self._process.send_signal(signal_number)

    def terminate(self, *, grace_s: float = PATIENCE_S, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, wait, and kill it if it does not. Return the exit code. Again: no effect."""
        if self.exit_code is None:
            self.send(by)
            with suppress(subprocess.TimeoutExpired):  # the rest is killed below
                self._process.wait(grace_s)
        return self.kill()

    def kill(self) -> int:
        """End it with all of its children at once, as `kill -9` does. Return the exit code. Again: no effect."""
        self._dismiss_warden()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):  # it ended by itself, and has no children left
                os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        WATCH.settle(self.log)
        return code

    def _dismiss_warden(self) -> None:
        """End the warden first: it must never signal a process id that may already belong to another."""
        self._warden.kill()
        self._warden.wait()
        if self._warden.stdin and not self._warden.stdin.closed:
            self._warden.stdin.close()
