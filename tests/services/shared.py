"""One server for all test processes of a checkout that run at the same time, pytest-xdist's workers among them.

Whoever needs the server holds a shared lock on the file `needed`. A keeper process starts the server, holds
the lock `kept`, and waits for the exclusive lock on `needed`: it gets that when nobody needs the server any
more, for whatever reason, and stops it. No count can go wrong, because the system itself releases the locks
of a process that is killed.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.services.cache import CHECKOUT, cache_folder, locked
from tests.services.kafka import KafkaServer
from tests.services.postgres import PostgresServer
from tests.services.process import ServiceError

START_TIMEOUT_S = 600.0  # the first start downloads the broker


@contextmanager
def shared_server(kind: str) -> Iterator[str]:
    """Give the address of the shared server of this kind (a key of `KINDS`); start it if none runs.

    Blocks until it is ready. Raises ServiceError, with what the keeper printed, if it cannot start.
    """
    folder = cache_folder(f"shared-{kind}")
    with locked(folder / "needed", fcntl.LOCK_SH):
        with locked(folder / "starting"):
            if not _is_kept(folder):
                _start_keeper(kind, folder)
            address = _wait_for_address(kind, folder)
        yield address


def _is_kept(folder: Path) -> bool:
    try:
        with locked(folder / "kept", fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


def _start_keeper(kind: str, folder: Path) -> None:
    (folder / "address").unlink(missing_ok=True)  # left by a keeper that was killed
    with (folder / "keeper.log").open("wb") as log:
        subprocess.run(
            [sys.executable, "-m", "tests.services.shared", kind],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=True,
        )


def _wait_for_address(kind: str, folder: Path) -> str:
    address, log = folder / "address", folder / "keeper.log"
    deadline = time.monotonic() + START_TIMEOUT_S
    while not address.exists():
        if not _is_kept(folder):
            raise ServiceError(f"The shared {kind} could not start:\n{log.read_text(errors='replace')[-6000:]}")
        if time.monotonic() > deadline:
            raise ServiceError(f"The shared {kind} was not ready after {START_TIMEOUT_S:.0f} s; see {log}.")
        time.sleep(0.05)
    return address.read_text()


@contextmanager
def _kafka() -> Iterator[str]:
    with KafkaServer(session_timeout_ms=60_000) as server:  # nobody kills it; a machine may starve it of time
        yield server.bootstrap_servers


@contextmanager
def _postgres() -> Iterator[str]:
    with PostgresServer() as server:
        yield server.dsn


KINDS: dict[str, Callable[[], AbstractContextManager[str]]] = {"kafka": _kafka, "postgres": _postgres}


def keep(kind: str) -> None:
    """Become a keeper in the background: the calling process ends as soon as the keeper has its lock."""
    folder = cache_folder(f"shared-{kind}")
    with locked(folder / "kept", fcntl.LOCK_EX | fcntl.LOCK_NB):
        if os.fork():
            os._exit(0)  # the child shares the lock
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        needed = os.open(folder / "needed", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with KINDS[kind]() as address:
                _publish(folder / "address", address)
                fcntl.flock(needed, fcntl.LOCK_EX)  # blocks while somebody needs the server, and keeps newcomers out
                (folder / "address").unlink()
        except Exception:  # noqa: BLE001  # printed and answered with exit code 1, whatever it is
            traceback.print_exc()  # all of it while `kept` is held: whoever sees that released reads the log at once
            sys.exit(1)
        # `needed` is held until the process ends, after the server stopped and `kept` was released


def _publish(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(path)  # readers see all of it or nothing


if __name__ == "__main__":
    keep(sys.argv[1])
