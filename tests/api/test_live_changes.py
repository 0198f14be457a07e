"""A change over the API decides about the next event within two seconds, with no restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from conditions import EventRow
from storage.snapshot import SnapshotPoller
from storage.sql.changes import read_changes
from tests.api.conftest import Api


@pytest.fixture
def poller(api: Api) -> Iterator[SnapshotPoller]:
    """A matcher holds its definitions in this, at its default pace."""
    found = SnapshotPoller(partial(read_changes, api.services.database))
    found.start()
    yield found
    found.stop()


def _runs(poller: SnapshotPoller, api: Api) -> bool:
    snapshot = poller.current
    team = snapshot.teams.get(api.team) if snapshot else None
    row = EventRow(uuid="e", team_id=api.team, event="$ai_generation", properties="{}")
    return bool(team and team.matcher.match(row).matched)


def _within_two_seconds(holds: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + 2.0
    while time.monotonic() < give_up:
        if holds():
            return True
        time.sleep(0.02)
    return False


def test_saving_enabling_and_disabling_act_within_two_seconds(api: Api, poller: SnapshotPoller) -> None:
    made = api.hog(enabled=True)
    assert _within_two_seconds(lambda: _runs(poller, api))
    api.ok("PATCH", f"evaluations/{made['id']}/", json={"enabled": False})
    assert _within_two_seconds(lambda: not _runs(poller, api))
    api.ok("PATCH", f"evaluations/{made['id']}/", json={"enabled": True})
    assert _within_two_seconds(lambda: _runs(poller, api))
    api.ok("PATCH", f"evaluations/{made['id']}/", json={"deleted": True})
    assert _within_two_seconds(lambda: not _runs(poller, api))
