"""A real PostgreSQL on a free port of loopback, with data that is thrown away.

`python -m tests.services.postgres` starts one, prints a DSN and stays until Ctrl-C.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from tests.services.ports import free_ports
from tests.services.process import GuardedProcess, ServiceError
from tests.services.waiting import PATIENCE_S

FAST_AND_FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


class PostgresServer:
    """One server with a data folder of its own. `dsn` is that of its empty `postgres` database."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.dsn = f"postgresql+psycopg://gavel@127.0.0.1:{self.port}/postgres"
        self.folder = Path(tempfile.mkdtemp(prefix="gavel-postgres-"))
        self._data = self.folder / "data"
        self._process: GuardedProcess | None = None

    @property
    def address(self) -> str:
        """Where clients reach it: the DSN."""
        return self.dsn

    def ended_by_itself(self) -> str | None:
        """Return the exit code and the end of the log of a server that nobody stopped; None while it runs."""
        return self._process.ending() if self._process is not None else None

    def start(self) -> None:
        """Start it and block until it takes connections. Raise ServiceError."""
        binaries, user = _binaries(), _unprivileged_user()
        if not self._data.exists():
            self._make_cluster(binaries, user)
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *FAST_AND_FORGETFUL]
        self._process = GuardedProcess(
            [binaries / "postgres", "-D", self._data, *(part for each in settings for part in ("-c", each))],
            log=self.folder / "server.log",
            user=user,
            scratch=[self.folder],
        )
        self._process.wait_until(self._takes_connections, "PostgreSQL")

    def stop(self) -> None:
        """Shut down, breaking connections. Data and port stay for the next start."""
        if self._process is not None:
            self._process.terminate(by=signal.SIGINT)
            self._process = None

    def close(self) -> None:
        """End it for good and remove its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_cluster(self, binaries: Path, user: str | None) -> None:
        if user is not None:
            shutil.chown(self.folder, user)
        options = ["-U", "gavel", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [binaries / "initdb", "-D", self._data, *options],
            check=False,
            capture_output=True,
            text=True,
            user=user,
            extra_groups=None if user is None else [],
        )
        if done.returncode != 0:
            raise ServiceError(f"PostgreSQL's initdb failed:\n{done.stdout}{done.stderr}")

    def _takes_connections(self) -> bool:
        try:
            psycopg.connect(_libpq(self.dsn), connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def fresh_database(server_dsn: str) -> Iterator[str]:
    """Make an empty database on a server, give its DSN, and drop it with whoever is still connected."""
    name = f"gavel_{uuid.uuid4().hex}"
    with psycopg.connect(_libpq(server_dsn), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield make_url(server_dsn).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(_libpq(server_dsn), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def dump_and_restore(source_dsn: str, target_dsn: str) -> None:
    """Copy a database into an empty one as `pg_dump | psql` does. Raise CalledProcessError."""
    binaries = _binaries()
    dump = [binaries / "pg_dump", "--no-owner", "--dbname", _libpq(source_dsn)]
    dumped = subprocess.run(dump, check=True, capture_output=True, timeout=PATIENCE_S).stdout
    restore = [binaries / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", _libpq(target_dsn)]
    subprocess.run(restore, input=dumped, check=True, capture_output=True, timeout=PATIENCE_S)


def _libpq(dsn: str) -> str:
    return make_url(dsn).set(drivername="postgresql").render_as_string(hide_password=False)


def _binaries() -> Path:
    """Return the folder that holds `postgres`: on PATH, or the newest that Debian installed."""
    on_path = shutil.which("postgres")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if on_path:
        return Path(on_path).resolve().parent
    if installed:
        return installed[-1].parent
    raise ServiceError(
        "Tests run on a real PostgreSQL, and none is installed: `apt-get install postgresql`, or set "
        "GAVEL_TEST_POSTGRES to the DSN (postgresql+psycopg://…) of a server where tests may create databases."
    )


def _unprivileged_user() -> str | None:
    """Return whom to run as: PostgreSQL refuses root. None means as ourselves."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in accounts else "nobody"


def main() -> None:
    """Run one server until a signal."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with PostgresServer() as server:
        print(server.dsn, flush=True)  # noqa: T201 - the DSN is this command's result
        ended.wait()


if __name__ == "__main__":
    main()
