"""The contract between the API and a runner of backfills (`storage.sql.backfills`), over both stores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from storage.sql.backfills import Backfill, BackfillOpen, Backfills, Progress, WrongState, backfills
from storage.sql.engine import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE_S = 30.0
TEAM = 77


@pytest.fixture
def store(database: Database) -> Backfills:
    """A repository without backfills of other tests: `claim` takes any team's."""
    with database.write() as connection:
        connection.execute(sa.delete(backfills))
    return Backfills(database)


def ask(store: Backfills, *, evaluation_id: str | None = None, now: datetime = NOW) -> Backfill:
    return store.create(
        team_id=TEAM, evaluation_id=evaluation_id or str(uuid4()), evaluation_version=1,
        window_start=NOW - timedelta(days=1), window_end=NOW, rerun_existing=False, actor="key:1", now=now,
    )  # fmt: skip


def test_the_oldest_pending_one_is_claimed_once(store: Backfills) -> None:
    second, first = ask(store, now=NOW), ask(store, now=NOW - timedelta(hours=1))
    claimed = store.claim("a", now=NOW, lease_s=LEASE_S)
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.started_at) == (first.id, "running", NOW)
    other = store.claim("b", now=NOW, lease_s=LEASE_S)
    assert other is not None
    assert other.id == second.id
    assert store.claim("c", now=NOW, lease_s=LEASE_S) is None


def test_of_many_runners_exactly_one_gets_a_backfill(store: Backfills) -> None:
    ask(store)
    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda n: store.claim(f"r{n}", now=NOW, lease_s=LEASE_S), range(6)))
    assert sum(claim is not None for claim in claims) == 1


def test_a_dead_runners_work_goes_on_from_its_cursor(store: Backfills) -> None:
    made = ask(store)
    store.claim("dead", now=NOW, lease_s=LEASE_S)
    store.report(made.id, "dead", Progress(total=9, read=4), cursor="at 4", now=NOW, lease_s=LEASE_S)
    assert store.claim("heir", now=NOW + timedelta(seconds=29), lease_s=LEASE_S) is None
    later = NOW + timedelta(seconds=31)
    heir = store.claim("heir", now=later, lease_s=LEASE_S)
    assert heir is not None
    assert (heir.cursor, heir.progress.read, heir.started_at) == ("at 4", 4, NOW)
    lost = store.report(made.id, "dead", Progress(read=5), cursor="at 5", now=later, lease_s=LEASE_S)
    assert lost is None
    assert store.finish(made.id, "dead", "completed", now=later) is False
    kept = store.get(TEAM, made.id)
    assert kept is not None
    assert kept.cursor == "at 4"


def test_a_pause_reaches_the_runner_with_its_next_report_and_resumes_there(store: Backfills) -> None:
    made = ask(store)
    store.claim("a", now=NOW, lease_s=LEASE_S)
    store.pause(TEAM, made.id, actor="key:1", now=NOW)
    assert store.report(made.id, "a", Progress(read=3), cursor="3", now=NOW, lease_s=LEASE_S) == "paused"
    assert store.claim("b", now=NOW + timedelta(days=1), lease_s=LEASE_S) is None
    store.resume(TEAM, made.id, actor="key:1", now=NOW)
    assert store.report(made.id, "a", Progress(read=9), cursor="9", now=NOW, lease_s=LEASE_S) is None
    again = store.claim("b", now=NOW, lease_s=LEASE_S)
    assert again is not None
    assert again.cursor == "3"


def test_a_paused_one_is_let_go_and_one_whose_runner_stops_is_given_back(store: Backfills) -> None:
    made = ask(store)
    store.claim("a", now=NOW, lease_s=LEASE_S)
    half = Progress(total=9, read=4)
    assert store.give_back(made.id, "b", half, cursor="4", now=NOW) is None, "another runner's"
    assert store.give_back(made.id, "a", half, cursor="4", now=NOW) == "pending"
    heir = store.claim("b", now=NOW, lease_s=LEASE_S)
    assert heir is not None
    assert (heir.id, heir.cursor, heir.progress) == (made.id, "4", half)
    store.pause(TEAM, made.id, actor="key:1", now=NOW)
    assert store.give_back(made.id, "b", Progress(total=9, read=5), cursor="5", now=NOW) == "paused"
    let_go = store.get(TEAM, made.id)
    assert let_go is not None
    assert (let_go.lease_owner, let_go.cursor) == (None, "5")
    assert store.report(made.id, "b", half, cursor="4", now=NOW, lease_s=LEASE_S) is None


def test_why_one_does_not_advance_is_shown_until_it_does(store: Backfills) -> None:
    made = ask(store)
    store.claim("a", now=NOW, lease_s=LEASE_S)
    store.report(made.id, "a", Progress(), cursor="", now=NOW, lease_s=10.0, error="ClickHouse is away")
    shown = store.get(TEAM, made.id)
    assert shown is not None
    assert (shown.state, shown.error) == ("running", "ClickHouse is away")
    again = store.claim("b", now=NOW + timedelta(seconds=10), lease_s=LEASE_S)
    assert again is not None
    assert again.id == made.id
    store.report(made.id, "b", Progress(read=1), cursor="1", now=NOW, lease_s=LEASE_S)
    advanced = store.get(TEAM, made.id)
    assert advanced is not None
    assert advanced.error == ""


def test_a_cancelled_one_is_not_finished_by_its_runner(store: Backfills) -> None:
    made = ask(store)
    store.claim("a", now=NOW, lease_s=LEASE_S)
    store.cancel(TEAM, made.id, actor="key:1", now=NOW)
    assert store.report(made.id, "a", Progress(), cursor="", now=NOW, lease_s=LEASE_S) == "cancelled"
    assert store.finish(made.id, "a", "completed", now=NOW) is False
    found = store.get(TEAM, made.id)
    assert found is not None
    assert found.state == "cancelled"
    with pytest.raises(WrongState):
        store.resume(TEAM, made.id, actor="key:1", now=NOW)


def test_one_open_backfill_per_evaluation_whatever_happens_at_once(store: Backfills) -> None:
    evaluation_id = str(uuid4())

    def attempt(_: int) -> bool:
        try:
            ask(store, evaluation_id=evaluation_id)
        except BackfillOpen:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 1
    claimed = store.claim("a", now=NOW, lease_s=LEASE_S)
    assert claimed is not None
    assert attempt(0) is False
    assert store.finish(claimed.id, "a", "failed", error="broke", now=NOW) is True
    assert attempt(0) is True


def test_another_team_sees_and_changes_nothing(store: Backfills) -> None:
    made = ask(store)
    assert store.get(TEAM + 1, made.id) is None
    assert store.cancel(TEAM + 1, made.id, actor="key:2", now=NOW) is None
    assert store.page(TEAM + 1, made.evaluation_id, limit=10, offset=0) == ([], 0)
