"""An evaluation that Gavel itself had switched off judges the events that it missed, without being asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.definitions import Evaluation, EvaluationDraft, StatusReason, parse_draft, patch_draft
from examples.stand_in.client import StandInServer
from processor.events.identity import result_uuid, run_key, url_uuid
from storage.sql.backfills import Backfill, Backfills
from storage.sql.catch_ups import CatchUps
from storage.sql.engine import Database, open_database
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade
from storage.sql.provider_keys import NewKey, ProviderKeys
from tests.integration.pipeline import TEAM, Pipeline, generations, knows
from tests.services.waiting import until

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)
FERNET = Fernet.generate_key().decode()
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    dsn = f"sqlite:///{tmp_path}/gavel.db" if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")
    database = open_database(str(dsn))
    upgrade(database)
    yield database
    database.close()


def judge(database: Database) -> str:
    fields = {"name": "j", "enabled": True, "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "p"}}
    return Evaluations(database).create(TEAM, parse_draft(fields), actor="t", now=NOW - HOUR).id


def off(database: Database, evaluation: str, at: datetime, reason: StatusReason = "provider_key_invalid") -> None:
    Evaluations(database).set_status(
        TEAM, evaluation, "error", actor="gavel", now=at, reason=reason, detail="HTTP 401", only_from=("active",)
    )


def on(database: Database, evaluation: str, at: datetime) -> None:
    Evaluations(database).set_status(TEAM, evaluation, "active", actor="gavel", now=at, only_from=("error",))


def asked(database: Database, evaluation: str) -> list[Backfill]:
    return Backfills(database).page(TEAM, evaluation, limit=10, offset=0)[0]


def end(database: Database, evaluation: str, state: Literal["completed", "failed"] = "completed") -> None:
    repository = Backfills(database)
    claimed = repository.claim("runner", now=NOW, lease_s=60)
    assert claimed is not None
    assert claimed.evaluation_id == evaluation
    assert repository.finish(claimed.id, "runner", state, now=NOW)


def test_an_absence_becomes_one_backfill_whoever_looks_how_often(database: Database) -> None:
    evaluation = judge(database)
    runners = [CatchUps(database), CatchUps(database)]
    off(database, evaluation, NOW)
    assert [runner.ask(NOW + 1 * MINUTE) for runner in runners] == [0, 0], "it is off still"
    on(database, evaluation, NOW + 2 * MINUTE)
    assert runners[0].ask(NOW + 2 * MINUTE + SECOND) == 0, "others may not know yet"
    later = NOW + 3 * MINUTE
    assert [runner.ask(later) for runner in runners] == [1, 0]
    (backfill,) = asked(database, evaluation)
    assert (backfill.window_start, backfill.window_end) == (NOW, NOW + 2 * MINUTE)
    assert (backfill.created_by, backfill.rerun_existing) == ("gavel", False)
    end(database, evaluation)
    restarted = CatchUps(database)
    assert [runner.ask(later + HOUR) for runner in (*runners, restarted)] == [0, 0, 0]
    assert len(asked(database, evaluation)) == 1


def test_a_process_that_was_not_there_finds_the_absence(database: Database) -> None:
    evaluation = judge(database)
    off(database, evaluation, NOW)
    on(database, evaluation, NOW + MINUTE)
    assert CatchUps(database).ask(NOW + 20 * HOUR) == 1


def test_each_absence_is_caught_up_with_one_after_the_other(database: Database) -> None:
    evaluation = judge(database)
    runner = CatchUps(database)
    for minutes in (0, 10):
        off(database, evaluation, NOW + minutes * MINUTE)
        on(database, evaluation, NOW + (minutes + 2) * MINUTE)
    assert runner.ask(NOW + 20 * MINUTE) == 1, "one backfill of an evaluation at a time"
    assert runner.ask(NOW + 21 * MINUTE) == 0
    end(database, evaluation)
    assert runner.ask(NOW + 22 * MINUTE) == 1
    assert [backfill.window_start for backfill in asked(database, evaluation)] == [NOW + 10 * MINUTE, NOW]


def test_a_person_who_mends_it_has_it_caught_up_too(database: Database) -> None:
    evaluation = judge(database)
    off(database, evaluation, NOW, "model_not_found")

    def mend(current: Evaluation) -> EvaluationDraft:
        return patch_draft(current.draft(), {"enabled": True})

    Evaluations(database).update(TEAM, evaluation, mend, actor="ann", now=NOW + MINUTE)
    assert CatchUps(database).ask(NOW + HOUR) == 1


def test_what_a_person_or_its_own_code_switched_off_is_not_caught_up(database: Database) -> None:
    paused, broken = judge(database), judge(database)

    def enable(current: Evaluation, *, on: bool) -> EvaluationDraft:
        return patch_draft(current.draft(), {"enabled": on})

    repository = Evaluations(database)
    repository.update(TEAM, paused, lambda current: enable(current, on=False), actor="ann", now=NOW)
    repository.update(TEAM, paused, lambda current: enable(current, on=True), actor="ann", now=NOW + MINUTE)
    off(database, broken, NOW, "hog_error")
    on(database, broken, NOW + MINUTE)
    assert CatchUps(database).ask(NOW + HOUR) == 0


def test_a_day_is_the_longest(database: Database) -> None:
    long, old = judge(database), judge(database)
    off(database, old, NOW - 100 * HOUR)
    on(database, old, NOW - 30 * HOUR)
    off(database, long, NOW - 80 * HOUR)
    on(database, long, NOW)
    assert CatchUps(database).ask(NOW + MINUTE) == 1
    assert asked(database, old) == []
    (backfill,) = asked(database, long)
    assert backfill.window_start == NOW - 24 * HOUR


def test_one_that_is_off_again_waits_for_its_return(database: Database) -> None:
    evaluation = judge(database)
    runner = CatchUps(database)
    off(database, evaluation, NOW)
    on(database, evaluation, NOW + MINUTE)
    off(database, evaluation, NOW + MINUTE + SECOND)
    assert runner.ask(NOW + 5 * MINUTE) == 0
    on(database, evaluation, NOW + 6 * MINUTE)
    assert runner.ask(NOW + 7 * MINUTE) == 1
    (backfill,) = asked(database, evaluation)
    end(database, evaluation)
    assert runner.ask(NOW + 8 * MINUTE) == 1
    windows = {(each.window_start, each.window_end) for each in asked(database, evaluation)}
    assert windows == {(NOW, NOW + MINUTE), (NOW + MINUTE + SECOND, NOW + 6 * MINUTE)}
    assert backfill.window_start == NOW


def test_a_revoked_key_costs_no_verdict(kafka: str, tmp_path: Path, stand_in: StandInServer) -> None:
    """Events of another day: those that come in before, while and after the key works are all judged, once each."""
    settings: dict[str, Any] = {
        "secret_keys": [FERNET],
        "judge": {
            "commit_interval_s": 0.1,
            "allowed_hosts": ["127.0.0.1"],
            "breaker_probe_s": 0.3,
            "park_initial_s": 1.0,
            "park_max_s": 4.0,
        },
    }
    pipeline = Pipeline(kafka, tmp_path, **settings)
    keys = ProviderKeys.of(pipeline.settings, pipeline.database)
    now = datetime.now(UTC)
    keys.create(
        TEAM,
        NewKey(
            provider="custom", name="k", api_key=SecretStr("sk-good-0123456789"), base_url=stand_in.base_url, state="ok"
        ),
        set_as_active=True,
        actor="t",
        now=now,
    )
    evaluation = pipeline.evaluate(
        evaluation_type="llm_judge",
        evaluation_config={"prompt": "Polite."},
        model_configuration={"provider": "custom", "model": "m1"},
    )
    events = generations()[:60]
    wanted = Counter(result_uuid(run_key("llm_judge", evaluation, json.loads(each)["uuid"])) for each in events)

    def status() -> str:
        return pipeline.evaluations.get(TEAM, evaluation).status

    def known() -> bool:
        return knows(runtime, pipeline.evaluations.get(TEAM, evaluation))

    def consumed() -> float:
        topic = pipeline.settings.kafka.topics.events
        return runtime._metrics.total("gavel_records_consumed", role="matcher", topic=topic)

    with pipeline.running(("matcher", "judge", "sink")) as runtime:
        pipeline.produce(events[:20])
        until(lambda: len(pipeline.stored()) == 20, lambda: str(len(pipeline.stored())))
        stand_in.script({"action": "unauthorized"})
        pipeline.produce(events[20:25])
        until(lambda: status() == "error", status)
        until(known, status)
        pipeline.produce(events[25:50])
        until(lambda: consumed() == 50, lambda: str(consumed()))
        stand_in.reset()
        until(lambda: status() == "active", status)
        until(known, status)
        pipeline.produce(events[50:])
        pipeline.await_stored(wanted)
        until(
            lambda: [each.state for each in asked(pipeline.database, evaluation)] == ["completed"],
            lambda: str(asked(pipeline.database, evaluation)),
        )
    assert pipeline.results() == wanted, "each result is in Kafka once"
    turned_away = [run_key("llm_judge", evaluation, json.loads(each)["uuid"]) for each in events[20:25]]
    reasons = ("unauthorized", "provider_key_invalid")  # the first run has met the refusal, the others wait behind it
    parked = {url_uuid(f"gavel://decision/{key}/parked/{reason}"): key for key in turned_away for reason in reasons}
    decisions = pipeline.decisions()
    assert decisions.keys() <= parked.keys(), "only the runs that the key turned away are noted as parked"
    noted = Counter(parked[each] for each in decisions.elements())
    assert noted, "no decision was noted"
    assert max(noted.values()) == 1, "a run is noted as parked once"
    (backfill,) = asked(pipeline.database, evaluation)
    assert backfill.progress.evaluated >= 25
