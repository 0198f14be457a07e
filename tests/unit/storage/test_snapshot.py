"""The snapshot: compiled once, kept through failures, replaced as a whole."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from conditions import ConditionError, decode_row
from config.definitions import Evaluation, parse_draft
from storage import snapshot as snapshot_module
from storage.snapshot import BrokenEvaluation, Snapshot, SnapshotPoller, build_snapshot
from storage.sql.changes import Changes, TeamDefinitions
from storage.sql.engine import StoreSchemaError, StoreUnavailable
from storage.sql.revision import Revision
from tests.services.waiting import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROW = decode_row(b'{"uuid":"u","event":"$ai_generation","properties":"{}","team_id":1,"distinct_id":"d"}')


def evaluation(number: int, *, source: str | None = None, **fields: Any) -> Evaluation:
    raw: dict[str, Any] = {"name": f"n{number}", "enabled": True, **fields}
    raw |= (
        {"evaluation_type": "llm_judge", "evaluation_config": {"prompt": "p"}}
        if source is None
        else {"evaluation_type": "hog", "evaluation_config": {"source": "return true"}}
    )
    draft = parse_draft(raw)
    values: dict[str, Any] = {name: getattr(draft, name) for name in type(draft).model_fields}
    if source is not None:
        values["evaluation_config"] = type(draft.evaluation_config).model_construct(source=source)
    return Evaluation.model_construct(
        **values,
        id=f"018f4b1e-7c3a-7000-8000-{number:012d}",
        team_id=1,
        version=1,
        revision=1,
        fingerprint="f",
        status="active" if draft.enabled else "error",
        created_at=NOW,
        updated_at=NOW,
    )


def changes(
    number: int,
    teams: dict[int, list[Evaluation]],
    *,
    complete: bool = False,
    unreadable: dict[str, str] | None = None,
    deleted: Iterable[int] = (),
) -> Changes:
    gone = frozenset(evaluation(each).id for each in deleted)
    found = {team: TeamDefinitions(tuple(each), unreadable or {}, gone) for team, each in teams.items()}
    return Changes(Revision("s", number), found, complete)


def matched(snapshot: Snapshot, team_id: int = 1) -> list[str]:
    team = snapshot.teams[team_id]
    return [team.evaluations[index].definition.name for index, _ in team.matcher.match(ROW).matched]


def test_only_teams_that_changed_are_compiled_again() -> None:
    first = build_snapshot(None, changes(1, {1: [evaluation(1)], 2: [evaluation(2)]}, complete=True))
    second = build_snapshot(first, changes(2, {2: [evaluation(3)]}, deleted=[2]))
    assert second.teams[1] is first.teams[1]
    assert matched(second, 2) == ["n3"]
    assert (second.revision, first.revision) == (2, 1)
    assert matched(first, 2) == ["n2"]


def test_one_edit_in_a_team_of_thousands_compiles_one_evaluation_and_one_matcher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The work of an edit must not grow with the team: all others are the very same objects, Hog included."""
    many = [evaluation(n, source="return true") for n in range(3000)]
    first = build_snapshot(None, changes(1, {1: many}, complete=True))
    compiled: list[str] = []
    matchers: list[int] = []
    real_hog, real_matcher = snapshot_module.HogEvaluator, snapshot_module.compile_matcher

    def count_hog(source: str, **options: Any) -> Any:
        compiled.append(source)
        return real_hog(source, **options)

    def count_matchers(targets: Any, **options: Any) -> Any:
        matchers.append(len(targets))
        return real_matcher(targets, **options)

    monkeypatch.setattr(snapshot_module, "HogEvaluator", count_hog)
    monkeypatch.setattr(snapshot_module, "compile_matcher", count_matchers)
    second = build_snapshot(first, changes(2, {1: [evaluation(1500, source="return false", name="edited")]}))
    assert (compiled, matchers) == (["return false"], [3000])
    before, after = first.teams[1].evaluations, second.teams[1].evaluations
    assert [n for n in range(3000) if after[n] is not before[n]] == [1500]
    assert [n for n in range(3000) if after[n].hog is not before[n].hog] == [1500]
    assert len(matched(second)) == 3000
    assert matched(second)[1500] == "edited"


def test_targets_stay_in_the_order_of_creation_whatever_is_edited_first() -> None:
    first = build_snapshot(None, changes(1, {1: [evaluation(2), evaluation(4)]}, complete=True))
    second = build_snapshot(first, changes(2, {1: [evaluation(1), evaluation(3)]}))
    assert matched(second) == ["n1", "n2", "n3", "n4"]


def test_what_is_deleted_disabled_or_enabled_again_is_so_after_the_next_change() -> None:
    snapshot = build_snapshot(None, changes(1, {1: [evaluation(1), evaluation(2), evaluation(3)]}, complete=True))
    snapshot = build_snapshot(snapshot, changes(2, {1: [evaluation(2, enabled=False)]}, deleted=[1]))
    assert matched(snapshot) == ["n3"]
    assert [each.definition.name for each in snapshot.teams[1].evaluations] == ["n2", "n3"]
    assert snapshot.teams[1].enabled == 1
    snapshot = build_snapshot(snapshot, changes(3, {1: [evaluation(1), evaluation(2)]}))
    assert matched(snapshot) == ["n1", "n2", "n3"]


def test_a_change_of_a_team_that_touches_no_evaluation_keeps_its_objects() -> None:
    """A new provider key counts as a change of the team."""
    first = build_snapshot(None, changes(1, {1: [evaluation(1)]}, complete=True))
    second = build_snapshot(first, changes(2, {1: []}))
    assert second.teams[1] is first.teams[1]
    assert second.revision == 2


def test_an_evaluation_that_breaks_leaves_the_matcher_and_is_back_when_it_is_repaired() -> None:
    first = build_snapshot(None, changes(1, {1: [evaluation(1), evaluation(2, source="return true")]}, complete=True))
    broken = build_snapshot(first, changes(2, {1: [evaluation(2, source="let a := (")]}))
    assert matched(broken) == ["n1"]
    assert [each.evaluation_id for each in broken.broken] == [evaluation(2).id]
    other = build_snapshot(broken, changes(3, {1: [evaluation(3)]}))
    assert other.broken == broken.broken, "an edit elsewhere repairs nothing"
    repaired = build_snapshot(other, changes(4, {1: [evaluation(2, source="return true")]}))
    assert matched(repaired) == ["n1", "n2", "n3"]
    assert repaired.broken == ()


def test_a_row_that_becomes_unreadable_is_no_longer_run() -> None:
    first = build_snapshot(None, changes(1, {1: [evaluation(1), evaluation(2)]}, complete=True))
    second = build_snapshot(first, changes(2, {1: []}, unreadable={evaluation(2).id: "spoilt"}))
    assert matched(second) == ["n1"]
    assert second.broken == (BrokenEvaluation(1, evaluation(2).id, "spoilt"),)


def test_a_team_whose_last_evaluation_cannot_be_run_is_there_again_when_it_can() -> None:
    bad = build_snapshot(None, changes(1, {1: [evaluation(1, source="(")]}, complete=True))
    assert 1 not in bad.teams
    good = build_snapshot(bad, changes(2, {1: [evaluation(1, source="return true")]}))
    assert (matched(good), good.broken) == (["n1"], ())


def test_a_team_without_evaluations_leaves_the_snapshot_and_a_complete_load_replaces_all() -> None:
    first = build_snapshot(None, changes(1, {1: [evaluation(1)], 2: [evaluation(2)]}, complete=True))
    assert set(build_snapshot(first, changes(2, {1: []}, deleted=[1])).teams) == {2}
    replaced = build_snapshot(first, changes(2, {1: [evaluation(3)]}, complete=True))
    assert set(replaced.teams) == {1}
    assert matched(replaced) == ["n3"]


def test_evaluations_that_are_not_enabled_are_there_but_match_nothing() -> None:
    """A parked task or a manual run needs their definition."""
    team = build_snapshot(
        None,
        changes(1, {1: [evaluation(1, enabled=False), evaluation(2), evaluation(3, conditions=[])]}, complete=True),
    )
    assert matched(team) == ["n2"]
    assert team.teams[1].enabled == 2
    found = team.find(1, evaluation(1).id)
    assert found is not None
    assert found.definition.status == "error"
    assert team.find(1, "none") is None
    assert team.find(5, evaluation(1).id) is None


def test_an_evaluation_that_does_not_compile_is_reported_and_stops_no_other() -> None:
    bad = evaluation(2, source="let a := (")
    with capture_logs() as logs:
        poller = SnapshotPoller(lambda _: changes(1, {1: [evaluation(1), bad, evaluation(3)]}, complete=True))
        assert poller.poll()
    current = poller.current
    assert current is not None
    assert matched(current) == ["n1", "n3"]
    assert [(each.team_id, each.evaluation_id) for each in current.broken] == [(1, bad.id)]
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["evaluation_not_runnable"]


def test_an_evaluation_whose_matcher_cannot_be_made_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    real, bad = snapshot_module.compile_matcher, evaluation(2)

    def failing(targets: Any, **options: Any) -> Any:
        if any(target.id == bad.id for target in targets):
            raise ConditionError("conditions[0]", "cannot be compiled")
        return real(targets, **options)

    monkeypatch.setattr(snapshot_module, "compile_matcher", failing)
    found = build_snapshot(None, changes(1, {1: [evaluation(1), bad]}, complete=True))
    assert matched(found) == ["n1"]
    assert found.broken == (BrokenEvaluation(1, bad.id, "conditions[0]: cannot be compiled"),)


def test_what_the_store_could_not_read_is_reported_until_it_is_repaired() -> None:
    spoilt = evaluation(9).id
    first = build_snapshot(None, changes(1, {1: [evaluation(1)]}, complete=True, unreadable={spoilt: "spoilt"}))
    assert first.broken == (BrokenEvaluation(1, spoilt, "spoilt"),)
    untouched = build_snapshot(first, changes(2, {1: [evaluation(1)], 2: [evaluation(2)]}))
    assert untouched.broken == first.broken
    assert build_snapshot(untouched, changes(3, {1: [evaluation(9)]})).broken == ()
    assert build_snapshot(untouched, changes(3, {1: []}, deleted=[9])).broken == ()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreSchemaError("not set up")])
def test_before_the_first_load_there_is_no_snapshot_at_all(error: Exception) -> None:
    def load(_: Revision | None) -> Changes | None:
        raise error

    poller = SnapshotPoller(load)
    assert not poller.poll()
    assert poller.current is None
    assert poller.age_s == float("inf")
    assert (poller.failures, poller.last_error) == (1, str(error))


def test_a_store_that_disappears_leaves_the_last_snapshot_and_comes_back_under_the_poller() -> None:
    answers: list[Any] = [changes(1, {1: [evaluation(1)]}, complete=True)]
    lock = threading.Lock()

    def load(since: Revision | None) -> Changes | None:
        with lock:
            answer = answers[0]
        if isinstance(answer, Exception):
            raise answer
        return None if answer is None or since == answer.revision else answer

    def now_answers(answer: Any) -> None:
        with lock:
            answers[0] = answer

    poller = SnapshotPoller(load, 0.01)
    with capture_logs() as logs:
        poller.start()
        until(lambda: poller.current is not None)
        first = poller.current
        now_answers(StoreUnavailable("away"))
        until(lambda: poller.failures > 3)
        assert poller.current is first
        age = poller.age_s
        until(lambda: poller.age_s > age)
        now_answers(changes(2, {1: [evaluation(2)]}, deleted=[1]))
        until(lambda: poller.current is not first)
        poller.stop()
    assert poller.current is not None
    assert matched(poller.current) == ["n2"]
    assert poller.last_error is None
    events = [log["event"] for log in logs]
    assert events.count("snapshot_load_failed") == 1, "one line per outage, not one per second"
    assert events.count("snapshot_load_recovered") == 1


def test_age_is_that_of_the_last_confirmation_also_when_nothing_changed() -> None:
    answers = [changes(1, {}, complete=True), None]
    poller = SnapshotPoller(lambda _: answers.pop(0))
    assert poller.poll()
    assert poller._confirmed_at is not None
    poller._confirmed_at -= 3600
    assert poller.age_s > 3600
    assert poller.poll()
    assert poller.age_s < 3600


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_ends_the_process_rather_than_leave_it_with_a_snapshot_that_goes_stale() -> None:
    answers: list[Any] = [changes(1, {1: [evaluation(1)]}, complete=True)]

    def load(_: Revision | None) -> Changes | None:
        return answers.pop()  # the second time, an IndexError of ours

    poller = SnapshotPoller(load, 0.01)
    poller.start()

    def raised() -> bool:
        try:
            _ = poller.current
        except RuntimeError as error:
            return isinstance(error.__cause__, IndexError)
        return False

    until(raised)
    poller.stop()


def test_stop_ends_the_thread_at_once_and_start_twice_is_refused() -> None:
    poller = SnapshotPoller(lambda _: None, 3600)  # a stop that waited for the next look would take an hour
    poller.start()
    with pytest.raises(RuntimeError, match="once"):
        poller.start()
    poller.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "gavel-snapshot" and thread.is_alive()]


def test_on_change_sees_each_snapshot_before_it_is_current() -> None:
    seen: list[tuple[int, bool]] = []
    poller: SnapshotPoller = SnapshotPoller(
        lambda since: changes(1, {}, complete=True) if since is None else None,
        on_change=lambda new: seen.append((new.revision, poller.current is new)),
    )
    poller.poll()
    poller.poll()
    assert seen == [(1, False)]
