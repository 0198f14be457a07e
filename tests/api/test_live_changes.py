"""A change over the API decides about the next event once a process has looked at the store, with no restart."""

from __future__ import annotations

from functools import partial

from conditions import EventRow
from config.settings import Settings
from storage.snapshot import SnapshotPoller
from storage.sql.changes import read_changes
from tests.api.conftest import Api


def _runs(poller: SnapshotPoller, api: Api) -> bool:
    """Return whether the evaluations of the team run on an event, after one look at the store."""
    assert poller.poll()
    snapshot = poller.current
    team = snapshot.teams.get(api.team) if snapshot else None
    row = EventRow(uuid="e", team_id=api.team, event="$ai_generation", properties="{}")
    return bool(team and team.matcher.match(row).matched)


def test_saving_enabling_and_disabling_act_with_the_next_look(api: Api) -> None:
    poller = SnapshotPoller(partial(read_changes, api.services.database))
    made = api.hog(enabled=True)
    assert _runs(poller, api)
    api.ok("PATCH", f"evaluations/{made['id']}/", json={"enabled": False})
    assert not _runs(poller, api)
    api.ok("PATCH", f"evaluations/{made['id']}/", json={"enabled": True})
    assert _runs(poller, api)
    api.ok("PATCH", f"evaluations/{made['id']}/", json={"deleted": True})
    assert not _runs(poller, api)


def test_a_process_looks_often_enough_for_an_edit_to_act_within_two_seconds() -> None:
    assert Settings().store.poll_interval_s <= 1.0
