"""One way to a ClickHouse client, whether it runs in this process or elsewhere."""

from __future__ import annotations

import fcntl
import logging
import re
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from storage.clickhouse.dsn import EmbeddedDsn, ServerDsn, embedded_directory, parse_dsn
from storage.clickhouse.errors import DirectoryInUse, Unreachable

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_AUTHENTICATION_FAILED = 516

# The driver logs a traceback of each failure that it also raises; ours say it once, and what to do.
logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)


def connect(dsn: str, *, connect_timeout_s: float = 10.0, request_timeout_s: float = 60.0) -> Client:
    """Return a client of the ClickHouse that `dsn` names. Blocks for the connect timeout at the most.

    Clients may be shared by threads, but an embedded client does one query at a time: give the sink and the
    API one each. Any number of clients of one embedded directory may be open in a process; the
    directory is given back when the last is closed. The database need not exist yet.

    Args:
        connect_timeout_s, request_timeout_s: for servers, rounded up to seconds; options of the DSN win.

    Raises:
        BadDsn: the DSN cannot be understood.
        DirectoryInUse: another process has the embedded directory open.
        Unreachable: anything else that keeps us from a first answer.
    """
    target = parse_dsn(dsn)
    if isinstance(target, EmbeddedDsn):
        return _connect_embedded(target)
    timeouts = {"connect_timeout": ceil(connect_timeout_s), "send_receive_timeout": ceil(request_timeout_s)}
    return _connect_server(target, {**timeouts, **target.options})


def _connect_server(dsn: ServerDsn, options: dict[str, Any]) -> Client:
    try:
        client = clickhouse_connect.get_client(
            interface="https" if dsn.secure else "http",
            host=dsn.host,
            port=dsn.port,
            username=dsn.username or None,
            password=dsn.password,
            client_name="gavel",
            # A session would refuse a second query at the same time; nothing here needs its state.
            autogenerate_session_id=False,
            # The error names what is wrong, without the address that the driver was given.
            show_clickhouse_errors="scrub",
            query_retries=0,
            tz_mode="aware",
            # A pool of its own is closed with the client.
            dedicated_pool=True,
            **options,
        )
    except ClickHouseError as error:
        if getattr(error, "code", None) == _AUTHENTICATION_FAILED:
            raise Unreachable(dsn.redacted, "the user or the password is not accepted") from error
        raise Unreachable(
            dsn.redacted, f"no answer ({cause_of(error)}); is the server up, and is this its HTTP port?"
        ) from error
    client.database = dsn.database
    return client


def cause_of(error: BaseException) -> str:
    """Return the innermost cause in one short line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _connect_embedded(dsn: EmbeddedDsn) -> Client:
    directory = embedded_directory(dsn)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unreachable(dsn.redacted, f"the directory cannot be made: {error.strerror}") from error
    try:
        client = clickhouse_connect.get_client(
            interface="chdb", path=str(directory), show_clickhouse_errors="scrub", tz_mode="aware"
        )
    except ImportError as error:
        raise Unreachable(
            dsn.redacted, "chdb is not installed; pip install 'gavel[embedded]', or name a server"
        ) from error
    except DatabaseError as error:
        raise _embedded_failure(dsn, directory, error) from error
    client.database = dsn.database
    return client


def _embedded_failure(dsn: EmbeddedDsn, directory: Path, error: DatabaseError) -> Unreachable:
    other = re.search(r"already initialized with path '([^']*)'", str(error))
    if other:
        return Unreachable(
            dsn.redacted, f"this process has {other[1]} open, and chdb opens one directory per process; close it first"
        )
    holder = _holder(directory)
    if holder is not None:
        who = f"process {holder}" if holder else "another process"
        return DirectoryInUse(
            dsn.redacted,
            f"{who} has this directory open, and chdb lets only one process do so. Stop it, ask its API, or use a "
            "ClickHouse server",
            holder or None,
        )
    return Unreachable(dsn.redacted, f"chdb cannot open the directory ({cause_of(error)})")


def _holder(directory: Path) -> int | None:
    """Return the id of the process that locks `directory`, 0 if unknown, None if nobody locks it."""
    status = directory / "status"
    try:
        with status.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        found = re.search(rb"PID: (\d+)", status.read_bytes())
        return int(found[1]) if found else 0
    return None
