"""A ClickHouse of its own for tests: the real engine behind HTTP, in a child process, with Gavel's tables."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.clickhouse import Unreachable, connect
from tests.services.cache import CHECKOUT
from tests.services.clickhouse_tables import fill
from tests.services.ports import free_ports
from tests.services.process import GuardedProcess


@contextmanager
def clickhouse_server() -> Iterator[str]:
    """Start ClickHouse with empty tables, and give its DSN."""
    with tempfile.TemporaryDirectory(prefix="gavel-clickhouse-", ignore_cleanup_errors=True) as folder:
        (port,) = free_ports(1)
        dsn = f"http://default@127.0.0.1:{port}/gavel"
        data = fill(Path(folder) / "data")
        process = GuardedProcess(
            [sys.executable, "-m", "tests.services.clickhouse_http", data, str(port)],
            log=Path(folder) / "log",
            env={"PYTHONPATH": str(CHECKOUT)},
        )
        try:
            process.wait_until(lambda: _answers(dsn), "ClickHouse")
            yield dsn
        finally:
            process.terminate(grace_s=5)


def _answers(dsn: str) -> bool:
    try:
        connect(dsn).close()
    except Unreachable:
        return False
    return True
