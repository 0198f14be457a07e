"""One server for all test processes of a checkout that run at the same time, pytest-xdist's workers among them.

Whoever needs the server holds a shared lock on the file `needed`. A keeper process starts the server, holds
the lock `kept`, and waits for the exclusive lock on `needed`: it gets that when nobody needs the server any
more, for whatever reason, and stops it. No count can go wrong, because the system itself releases the locks
of a process that is killed.

A server that ends by itself is started again, with its data and on its port, and the summary of the tests says so:
the tests that it was gone for fail, and not all that follow.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psutil

from tests.services.cache import CHECKOUT, cache_folder, locked
from tests.services.kafka import KafkaServer
from tests.services.postgres import PostgresServer
from tests.services.process import ServiceError

START_TIMEOUT_S = 600.0  # the first start downloads the broker
_IMPORTED = time.time()
LOOK_S = 0.5
"""How many seconds pass between two looks at whether the server still runs."""


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


KINDS: dict[str, Callable[[], KafkaServer | PostgresServer]] = {
    "kafka": KafkaServer,
    "postgres": PostgresServer,
}


def ended_servers() -> list[str]:
    """Return how shared servers ended that should not have: what their keepers wrote, and which keepers were killed.

    It tells nothing that happened before this process began.
    """
    told = []
    for kind in KINDS:
        folder = cache_folder(f"shared-{kind}")
        log, address = folder / "keeper.log", folder / "address"
        if _is_new(log) and (text := log.read_text(errors="replace").strip()):
            told.append(text)
        if _is_new(address) and not _is_kept(folder):
            told.append(f"The process that kept the shared {kind} was killed, and the {kind} ended with it.")
    return told


def _is_new(path: Path) -> bool:
    return path.exists() and path.stat().st_mtime >= _IMPORTED


def keep(kind: str) -> None:
    """Become a keeper in the background: the calling process ends as soon as the keeper has its lock."""
    folder = cache_folder(f"shared-{kind}")
    with locked(folder / "kept", fcntl.LOCK_EX | fcntl.LOCK_NB):
        if os.fork():
            os._exit(0)  # the child shares the lock
        signal.signal(signal.SIGTERM, _end)
        needed = os.open(folder / "needed", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        unneeded = threading.Event()
        try:
            with KINDS[kind]() as server:
                watching = threading.Thread(target=_start_again, args=(kind, server, unneeded), daemon=True)
                watching.start()
                _publish(folder / "address", server.address)
                fcntl.flock(needed, fcntl.LOCK_EX)  # blocks while somebody needs the server, and keeps newcomers out
                unneeded.set()
                watching.join()
                (folder / "address").unlink()
        except Exception:  # noqa: BLE001  # printed and answered with exit code 1, whatever it is
            traceback.print_exc()  # all of it while `kept` is held: whoever sees that released reads the log at once
            sys.exit(1)
        # `needed` is held until the process ends, after the server stopped and `kept` was released


def _end(*_: object) -> NoReturn:
    print(f"The keeper of this server was told to end by SIGTERM at {time.strftime('%X')}.", flush=True)  # noqa: T201  # into its log
    sys.exit(0)


def _start_again(kind: str, server: KafkaServer | PostgresServer, unneeded: threading.Event) -> None:
    """Start the server whenever it has ended by itself, and print how it ended. Returns when nobody needs it."""
    while not unneeded.wait(LOOK_S):
        if (ending := server.ended_by_itself()) is None:
            continue
        free_mb = psutil.virtual_memory().available >> 20, shutil.disk_usage(server.folder).free >> 20
        machine = f"{free_mb[0]} MiB of memory and {free_mb[1]} MiB of disk were free"
        print(f"The shared {kind} ended by itself ({time.strftime('%X')}; {machine}): {ending}", flush=True)  # noqa: T201  # for the tests' summary
        server.stop()
        server.start()


def _publish(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(path)  # readers see all of it or nothing


if __name__ == "__main__":
    keep(sys.argv[1])
