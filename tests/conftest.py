"""Fixtures for the servers that tests talk to. All are real; `examples/stand_in` is the only stand-in.

A component that cannot be had fails the tests that need it, with what to do about it: nothing is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from hypothesis import HealthCheck, settings

from examples.stand_in.client import StandInServer
from tests import secret_taps
from tests.secret_taps import (
    pytest_configure,
    pytest_runtest_makereport,
    pytest_sessionfinish,
    pytest_sessionstart,
)
from tests.services.kafka import KafkaServer
from tests.services.postgres import fresh_database
from tests.services.shared import ended_servers, shared_server
from tests.services.tcp_proxy import TcpProxy
from tests.services.waiting import PATIENCE_S

# The secret watch: what the plugin's hooks do here, they do for every test.
__all__ = [
    "pytest_configure",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_sessionstart",
]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what no test could be failed for, and which shared server was not there all the time."""
    secret_taps.pytest_terminal_summary(terminalreporter, config)
    for text in ended_servers():
        terminalreporter.write_line(text, yellow=True)


# How long an example takes says more of the machine than of the code.
settings.register_profile("busy-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy-machine")


LONG = (
    "tests/faults/",
    "tests/integration/test_judge_fairness.py",
    "tests/integration/test_backfill.py",
    "tests/integration/test_image.py",
)
"""Files that take minutes, most of them in waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the long files over the first three quarters of the others, in the order of their names.

    So no worker is left with them at the end, and few of them run at a time: each starts processes of its own.
    """
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    long = [name for name in files if name.startswith(LONG)]
    others = [name for name in files if name not in long]
    stride = max(1, len(others) * 3 // 4 // max(1, len(long)))
    order: list[str] = []
    for place, name in enumerate(others):
        if place % stride == 0 and long:
            order.append(long.pop(0))
        order.append(name)
    items[:] = [item for name in [*order, *long] for item in files[name]]


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap address of a real Apache Kafka, shared by all tests: give topics and groups names of your own.

    It creates no topics by itself. `GAVEL_TEST_KAFKA` names another broker to use instead.
    """
    if other := os.environ.get("GAVEL_TEST_KAFKA"):
        AdminClient({"bootstrap.servers": other}).list_topics(timeout=PATIENCE_S)
        yield other
        return
    with shared_server("kafka") as address:
        yield address


@pytest.fixture
def own_kafka() -> Iterator[KafkaServer]:
    """A running broker that belongs to this test alone, which may stop, kill, freeze and restart it."""
    with KafkaServer(killed=True) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """SQLAlchemy DSN of a real PostgreSQL server. `GAVEL_TEST_POSTGRES` names another one to use instead."""
    if other := os.environ.get("GAVEL_TEST_POSTGRES"):
        yield other
        return
    with shared_server("postgres") as dsn:
        yield dsn


@pytest.fixture
def postgres_dsn(postgres_server: str) -> Iterator[str]:
    """SQLAlchemy DSN (`postgresql+psycopg://…`) of an empty database that is this test's own."""
    with fresh_database(postgres_server) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def stand_in_server() -> Iterator[StandInServer]:
    """One stand-in provider per test process."""
    server = StandInServer()
    yield server
    server.close()


@pytest.fixture
def stand_in(stand_in_server: StandInServer) -> StandInServer:
    """A stand-in LLM provider without rules and with an empty log (`examples/stand_in/`)."""
    stand_in_server.reset()
    return stand_in_server


@pytest.fixture
def tcp_proxy() -> Iterator[TcpProxy]:
    """A TCP proxy that can cut, stall and refuse; tell it where to forward to (`forward_to`)."""
    with TcpProxy() as proxy:
        yield proxy
