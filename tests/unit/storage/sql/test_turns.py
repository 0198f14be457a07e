from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from storage.sql.engine import Database, StoreError, StoreUnavailable, open_database
from storage.sql.turns import TurnTakesTooLong, turn
from tests.services.cache import CHECKOUT
from tests.services.waiting import PATIENCE_S

HOLDS = """
import sys
from time import sleep
from storage.sql.engine import open_database
from storage.sql.turns import turn

with turn(open_database(sys.argv[1])):
    print("mine", flush=True)
    sleep(3600)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found: str = f"sqlite:///{tmp_path}/a b/gavel.db"
    return found if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")


@pytest.fixture
def stores(dsn: str) -> Iterator[tuple[Database, ...]]:
    found = tuple(open_database(dsn) for _ in range(4))
    yield found
    for each in found:
        each.close()


def test_one_at_a_time(stores: tuple[Database, ...]) -> None:
    inside = [0]

    def work(store: Database) -> int:
        most = 0
        for _ in range(5):
            with turn(store, wait_s=PATIENCE_S):
                inside[0] += 1
                most = max(most, inside[0])
                Event().wait(0.01)
                inside[0] -= 1
        return most

    with ThreadPoolExecutor(len(stores)) as pool:
        assert set(pool.map(work, stores)) == {1}


def test_a_turn_that_takes_too_long_is_named_and_the_next_one_is_free(stores: tuple[Database, ...]) -> None:
    first, second, *_ = stores
    with turn(first):
        with pytest.raises(TurnTakesTooLong, match="another `gavel init`"), turn(second, wait_s=0.0):
            pytest.fail("two at once")
        with first.write(), second.read():  # the store itself serves everybody
            pass
    with turn(second, wait_s=0.0):
        pass
    with pytest.raises(ZeroDivisionError), turn(first, wait_s=0.0):
        raise ZeroDivisionError
    with turn(second, wait_s=0.0):
        pass


def test_a_process_that_is_killed_ends_its_turn(dsn: str, stores: tuple[Database, ...]) -> None:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen([sys.executable, "-c", HOLDS, dsn], stdout=subprocess.PIPE, text=True, env=env) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(TurnTakesTooLong), turn(stores[0], wait_s=0.0):
            pytest.fail("two at once")
        holder.send_signal(signal.SIGKILL)
    with turn(stores[0], wait_s=PATIENCE_S):
        pass


def test_a_store_that_is_away_gives_no_turn(tmp_path: Path) -> None:
    absent = open_database("postgresql://nobody@127.0.0.1:1/none", connect_timeout_s=1)
    with pytest.raises(StoreUnavailable), turn(absent):
        pytest.fail("without a lock")
    folder = tmp_path / "store"
    store = open_database(f"sqlite:///{folder}/gavel.db")
    (folder / "gavel.db-turn").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"), turn(store):
        pytest.fail("without a lock")
