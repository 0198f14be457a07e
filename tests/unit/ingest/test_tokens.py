from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.tokens import TokenPoller, refuse_token
from storage.sql.engine import StoreUnavailable, open_database
from storage.sql.migrations import upgrade
from storage.sql.project_tokens import ActiveTokens, ProjectTokens
from storage.sql.revision import Revision
from tests.services.waiting import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_new_and_a_revoked_token_take_effect_with_the_next_poll(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(database)
    tokens = ProjectTokens(database)
    poller = TokenPoller(tokens.active)
    assert not poller.ready
    assert poller.poll()
    assert poller.ready
    made, text = tokens.create(team_id=3, now=NOW)
    assert poller.find(text) is None
    poller.poll()
    found = poller.find(text)
    assert found is not None
    assert found.team_id == 3
    tokens.revoke(made.id, now=NOW)
    poller.poll()
    assert poller.find(text) is None


def test_a_store_that_is_down_leaves_the_last_good_tokens(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(database)
    tokens = ProjectTokens(database)
    _, text = tokens.create(team_id=3, now=NOW)
    down = False

    def load(since: Revision | None) -> ActiveTokens | None:
        if down:
            raise StoreUnavailable("it does not answer")
        return tokens.active(since)

    poller = TokenPoller(load)
    poller.poll()
    down = True
    assert not poller.poll()
    assert poller.find(text) is not None
    assert poller.ready


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("phx_" + "a" * 40, "personal"),
        ("gvl_" + "a" * 40, "personal"),
        ("", "1 to 64"),
        ("a" * 65, "1 to 64"),
        ("gvt_é", "ASCII"),
        ("gvt_\0", "ASCII"),
    ],
)
def test_what_cannot_be_a_project_token_is_refused_without_a_look_up(token: str, why: str) -> None:
    reason = refuse_token(token)
    assert reason is not None
    assert why in reason


def test_a_project_token_of_either_kind_may_be_looked_up() -> None:
    assert refuse_token("gvt_" + "a" * 43) is None
    assert refuse_token("phc_" + "a" * 43) is None


def test_the_thread_sees_new_and_revoked_tokens_however_seldom_the_store_is_asked(tmp_path: Path) -> None:
    """Two seconds are promised, so the interval is a second at the most."""
    database = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(database)
    tokens = ProjectTokens(database)
    poller = TokenPoller(tokens.active, interval_s=3_600)
    poller.start()
    try:
        made, text = tokens.create(team_id=3, now=NOW)
        until(lambda: poller.find(text) is not None)
        tokens.revoke(made.id, now=NOW)
        until(lambda: poller.find(text) is None)
    finally:
        poller.stop()
