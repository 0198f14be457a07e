"""Drift anchors over the API, with the keeper that the matcher's process runs, on both stores and ClickHouse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from api.app import create_app
from api.services.resources import Services
from cli.main import build_app
from config.settings import load_settings
from evaluators.injection.attacks import ATTACKS
from evaluators.injection.canaries import MAX_TWINS, PLACES
from examples.stand_in.client import StandInServer
from processor.kafka import EmbeddedBroker, KafkaClients
from processor.measurements.anchors import AnchorKeeper
from processor.metrics import Metrics
from quality.drift import Detector
from storage.sql.anchors import Anchors
from storage.sql.datasets import Datasets
from storage.sql.golden_sets import golden_items
from storage.sql.measurements import MeasurementRuns, Standing
from storage.sql.served_models import Served, ServedModels
from storage.sql.shifts import Shifts, StoredShift
from tests.api.conftest import Api, enter
from tests.api.test_canaries import JUDGE
from tests.api.test_comparisons import measured
from tests.api.test_evaluations import provider_key
from tests.services.claims import claim_only

ITEMS = 30
NO_TIME = timedelta()


class Clock:
    """The time of the application and the keeper, which the test moves."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


class Rig:
    """An evaluation with anchors, and a keeper that the test lets look."""

    def __init__(self, api: Api, clock: Clock, keeper: AnchorKeeper, metrics: Metrics) -> None:
        self.api, self.clock, self.keeper, self.metrics = api, clock, keeper, metrics
        self.evaluation = api.hog(enabled=True)
        self.golden, self.version = golden_set(api, self.evaluation, ITEMS)
        self.path = f"evaluations/{self.evaluation['id']}/trust/anchors/"
        self.body = {"golden_set": self.golden, "golden_set_version": self.version}

    @property
    def now(self) -> datetime:
        return self.clock.now

    def later(self, by: timedelta) -> None:
        self.clock.now += by

    def put(self, **fields: Any) -> Any:
        return self.api.ok("PUT", self.path, json=self.body | fields)

    def shown(self) -> Any:
        return self.api.ok("GET", self.path)

    def look(self) -> None:
        self.keeper.look(self.now)

    def run(self, flips: int = 0, *, state: Any = "completed", skipped: int = 0, forward: timedelta = NO_TIME) -> Any:
        """Let the keeper begin the run that is due, judge it with some flips, and let the keeper count it."""
        self.look()
        running = self.shown()["running"]
        assert running is not None, "no run has begun"
        finish(self.api, self.evaluation, running, self.now, flips, state=state, skipped=skipped)
        self.look()
        self.later(forward)
        return self.shown()

    def answers(self, fingerprint: str) -> None:
        """Let the judge note a reply's name."""
        served = Served(self.evaluation["id"], "openai/m", "m-dated", fingerprint)
        ServedModels(self.api.services.database).note([served], now=self.now)

    def shift(self) -> None:
        """Let the live windows signal a shift."""
        base = Anchors(self.api.services.database).baseline(self.evaluation["id"])
        assert base is not None
        found = StoredShift(
            id=f"shift-{self.now.timestamp()}", team_id=self.api.team, evaluation_id=self.evaluation["id"],
            evaluation_version=base.version, fingerprint=base.fingerprint, direction="down", window_start=self.now,
            passed_before=900, decided_before=1000, passed_after=300, decided_after=500, statistic=1e6,
        )  # fmt: skip
        Shifts(self.api.services.database).add([found])


def golden_set(api: Api, evaluation: dict[str, Any], items: int, *, expected: bool = True) -> tuple[str, int]:
    """A frozen golden set of dataset items, which all expect this verdict."""
    dataset = api.ok("POST", "datasets/", 201, json={"name": "anchors"})
    store, now = Datasets(api.services.database), api.services.now()
    for n in range(items):
        item = {"dataset": dataset["id"], "input": f"question {n}", "output": "o", "metadata": {"expected": expected}}
        store.create_item(api.team, item, actor="test", now=now + timedelta(microseconds=n))
    body = {"evaluation": evaluation["id"], "name": "g", "labels": False, "datasets": [dataset["id"]]}
    golden = api.ok("POST", "golden_sets/", 201, json=body)
    return golden["id"], api.ok("POST", f"golden_sets/{golden['id']}/freeze/", 201)["version"]


def finish(
    api: Api, evaluation: dict[str, Any], run_id: str, now: datetime, flips: int, *, state: Any = "completed",
    skipped: int = 0,
) -> None:  # fmt: skip
    """Judge a run, as judge, sink and runner do it."""
    store = MeasurementRuns(api.services.database)
    items = [each.item for each in store.items(run_id)]
    verdicts: dict[str, Any] = {item: n >= flips for n, item in enumerate(items)}
    verdicts |= dict.fromkeys(items[len(items) - skipped :], None)
    measured(api, evaluation, {"id": run_id, "kind": "anchors"}, verdicts, evaluation_version=evaluation["version"])
    claim_only(lambda: store.claim("test", now=now, lease_s=600), run_id)
    store.report(run_id, "test", Standing(len(items), 0, len(items), skipped, 0.3), now=now, lease_s=600)
    store.finish(run_id, "test", state, error="" if state == "completed" else "nothing came back", now=now)


@pytest.fixture(scope="module")
def clocked(shared_app: tuple[FastAPI, Services]) -> tuple[FastAPI, Services, Clock]:
    """The application of this file, whose clock can be moved: making one takes a while."""
    clock = Clock()
    services = replace(shared_app[1], now=clock)
    return create_app(services), services, clock


@pytest.fixture
def rig(clocked: tuple[FastAPI, Services, Clock], clickhouse_dsn: str) -> Iterator[Rig]:
    app, services, clock = clocked
    clock.now = datetime.now(UTC)
    settings = load_settings(environ={}, overrides={"clickhouse": {"dsn": clickhouse_dsn}})
    clients = KafkaClients(settings, EmbeddedBroker())
    metrics = Metrics(CollectorRegistry())
    keeper = AnchorKeeper(settings, services.database, clients, metrics)
    yield Rig(enter(app, services, clickhouse_dsn), clock, keeper, metrics)
    clients.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The signals that the keeper emits."""
    found: list[dict[str, Any]] = []

    class Sender:
        def __init__(self, _config: Any) -> None:
            pass

        def produce(self, topic: str, *, value: bytes, on_delivery: Callable[..., None], **_: Any) -> None:
            outer = json.loads(value)
            found.append({"topic": topic, **outer, "properties": json.loads(outer["properties"])})
            on_delivery(None, None)

        def __len__(self) -> int:
            return 0

    monkeypatch.setattr("processor.measurements.anchors.Producer", Sender)
    return found


def watching(rig: Rig) -> None:
    """Set the anchors up and complete their baseline."""
    rig.put()
    for _ in range(5):
        assert rig.shown()["drift"]["answer"] == "collecting"
        rig.run(forward=timedelta(seconds=1))
    rig.later(timedelta(hours=25))


def test_five_runs_give_the_reference_and_then_the_schedule_holds(rig: Rig, sent: list[Any]) -> None:
    watching(rig)
    shown = rig.shown()
    assert (shown["drift"]["answer"], shown["drift"]["null_rate"], shown["drift"]["runs"]) == ("steady", 0.02, 0)
    assert shown["baselines"][0]["state"] == "watching"
    assert shown["drift"]["agreement_before"] == {"agreed": ITEMS, "labelled": ITEMS}
    after = rig.run(forward=timedelta(hours=1))
    expected = Detector(0.02).after(0, ITEMS)
    assert after["drift"]["statistic"] == pytest.approx(expected.statistic)
    assert (after["drift"]["runs"], after["drift"]["flips"]) == (1, 0)
    rig.look()
    assert rig.shown()["running"] is None, "the next run is due in a day"
    assert sent == []


def test_a_defect_delays_the_anchors_that_it_concerns_and_the_keeper_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def broken(_database: Any, schedule: Any, *_: Any, **__: Any) -> None:
        tries.append(schedule.evaluation_id)
        raise ValueError("a defect")

    rig.put()
    with monkeypatch.context() as patch:
        patch.setattr("processor.measurements.anchors.begin_run", broken)
        rig.look()
        rig.look()
    assert tries.count(rig.evaluation["id"]) == 1, "not again for an hour"
    rig.later(timedelta(hours=1))
    rig.look()
    assert rig.shown()["running"] is not None


def test_a_judge_that_drifts_raises_one_alarm_that_stands_until_it_is_acknowledged(rig: Rig, sent: list[Any]) -> None:
    watching(rig)
    rig.run(forward=timedelta(hours=25))
    good = rig.shown()["runs"][0]["begun_at"]
    state, runs = Detector(0.02).after(0, ITEMS), 0
    while rig.shown()["drift"]["answer"] != "judge_moved":
        state, runs = state.after(9, ITEMS), runs + 1
        found = rig.run(9, forward=timedelta(hours=25))
        assert found["drift"]["statistic"] == pytest.approx(state.statistic)
        assert runs < 3, "a drift to 30 % is seen at once"
    drift = rig.shown()["drift"]
    assert (drift["to_fail"], drift["to_pass"], drift["moved_since"]) == (9, 0, good)
    assert drift["agreement_now"] == {"agreed": ITEMS - 9, "labelled": ITEMS}
    assert rig.metrics.total("gavel_drift_alarms") == 1
    rig.keeper.show(Anchors(rig.api.services.database).every())
    assert rig.metrics.value("gavel_drift_evaluations", state="judge_moved") == 1
    for _ in range(3):
        assert rig.run(0, forward=timedelta(hours=25))["drift"]["answer"] == "judge_moved", "it stands"
    [signal] = sent
    assert (signal["event"], signal["topic"]) == ("$ai_evaluation_drift", "gavel_results")
    assert signal["properties"]["$ai_drift_answer"] == "judge_moved"
    trust = rig.api.ok("GET", f"evaluations/{rig.evaluation['id']}/trust/")
    assert trust["drift"]["answer"] == "judge_moved"
    cost = rig.api.ok("POST", f"{rig.path}acknowledge/", json={"dry_run": True})
    assert cost["calls"] == 5 * ITEMS
    taken = rig.api.ok("POST", f"{rig.path}acknowledge/", json={})
    assert [each["state"] for each in taken["baselines"]] == ["collecting", "closed"]
    assert (taken["drift"]["answer"], taken["baselines"][1]["alarm_at"] is None) == ("collecting", False)


def test_a_shift_of_the_product_is_told_from_one_of_the_judge(rig: Rig, sent: list[Any]) -> None:
    watching(rig)
    rig.run(forward=timedelta(hours=1))
    rig.shift()
    rig.later(timedelta(seconds=5))
    assert rig.shown()["drift"]["answer"] == "undecided", "no run since the shift"
    rig.look()
    assert rig.shown()["running"] is not None, "the anchors run at once"
    finish(rig.api, rig.evaluation, rig.shown()["running"], rig.now, 0)
    rig.look()
    assert rig.shown()["drift"]["answer"] == "product_moved"
    rig.look()
    [signal] = sent
    assert signal["properties"]["$ai_drift_answer"] == "product_moved"
    assert signal["properties"]["$ai_drift_shift_id"] == rig.shown()["drift"]["shift"]["id"]


def test_another_served_model_brings_a_run_forward_and_names_that_alternate_do_not_bring_a_storm(
    rig: Rig, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    watching(rig)
    rig.run(forward=timedelta(minutes=5))
    rig.answers("fp-1")
    rig.look()
    assert rig.shown()["running"] is None, "the first name is not a change"
    rig.answers("fp-2")
    rig.later(timedelta(seconds=1))
    assert rig.run(forward=timedelta(minutes=5))["drift"]["runs"] == 2, "the anchors ran at once"
    for n in range(6):
        rig.answers(f"fp-{1 + n % 2}")
        rig.look()
        assert rig.shown()["running"] is None, "both names are known"
        rig.later(timedelta(minutes=5))
    for n in range(3, 6):
        rig.answers(f"fp-{n}")
        rig.look()
        assert rig.shown()["running"] is None, "no more than one in six hours"
        rig.later(timedelta(hours=1))
    rig.later(timedelta(hours=3))
    assert rig.run(forward=timedelta(minutes=5))["drift"]["runs"] == 3, "the change is not forgotten"
    rig.look()
    assert rig.shown()["running"] is None, "one run saw all three"
    newest, *_ = rig.shown()["served"]
    assert (newest["model"], newest["system_fingerprint"]) == ("openai/m", "fp-5")
    monkeypatch.setenv("GAVEL_STORE__DSN", rig.api.services.database.engine.url.render_as_string(hide_password=False))
    words = ["trust", "anchors", rig.evaluation["id"], "--team", str(rig.api.team)]
    assert "openai/m answers as m-dated, fp-5" in CliRunner().invoke(build_app(), words).output
    assert sent == []


def test_a_change_of_the_served_model_waits_with_anchors_that_cannot_run(rig: Rig, sent: list[Any]) -> None:
    watching(rig)
    rig.run(forward=timedelta(minutes=5))
    rig.answers("fp-1")
    rig.answers("fp-2")
    rig.api.ok("PATCH", f"evaluations/{rig.evaluation['id']}/", json={"enabled": False})
    rig.look()
    first = rig.shown()["next_at"]
    rig.later(timedelta(minutes=5))
    rig.look()
    assert (rig.shown()["running"], rig.shown()["next_at"]) == (None, first), "it is not tried again every second"


def test_a_run_whose_provider_is_down_is_incomplete_and_not_a_flip(rig: Rig, sent: list[Any]) -> None:
    watching(rig)
    before = rig.run()["drift"]["statistic"]
    rig.later(timedelta(hours=25))
    down = rig.run(30, state="incomplete")
    assert down["drift"]["statistic"] == before
    assert (down["runs"][0]["counted"], down["runs"][0]["flips"]) == (False, None)
    assert "nothing came back" in down["runs"][0]["reason"]
    rig.later(timedelta(minutes=61))
    skipped = rig.run(0, skipped=20)
    assert skipped["drift"]["statistic"] == before
    assert "only 10 of 30 anchors were judged" in skipped["runs"][0]["reason"]
    assert sent == []


def test_another_version_takes_a_baseline_of_its_own(rig: Rig, sent: list[Any]) -> None:
    watching(rig)
    changed = {"evaluation_config": {"source": "return false"}}
    rig.evaluation = rig.api.ok("PATCH", f"evaluations/{rig.evaluation['id']}/", json=changed)
    found = rig.run()
    assert [(each["version"], each["state"]) for each in found["baselines"]] == [(2, "collecting"), (1, "closed")]
    trust = rig.api.ok("GET", f"evaluations/{rig.evaluation['id']}/trust/?version=1")
    assert trust["drift"] is None, "figures of two versions are never mixed"


def test_a_run_is_counted_once_by_any_number_of_keepers(rig: Rig, sent: list[Any]) -> None:
    watching(rig)
    rig.look()
    rig.look()
    finish(rig.api, rig.evaluation, rig.shown()["running"], rig.now, 0)
    schedules: Callable[[], list[Any]] = Anchors(rig.api.services.database).every
    stale = schedules()
    rig.look()
    for schedule in stale:
        if schedule.evaluation_id == rig.evaluation["id"]:
            rig.keeper._count_if_ended(schedule, schedule.run_id, rig.now)
    assert rig.shown()["drift"]["runs"] == 1


def test_erased_items_leave_the_anchors_and_too_few_stop_them(rig: Rig, sent: list[Any]) -> None:
    watching(rig)

    erase(rig, 5)
    assert rig.run()["drift"]["anchors"] == ITEMS - 5
    erase(rig, 11)
    rig.later(timedelta(hours=25))
    rig.look()
    shown = rig.shown()
    assert shown["running"] is None
    assert "has 19 items" in shown["problem"]


def erase(rig: Rig, items: int) -> None:
    """Take the first items out of the version, as the erasure of a person does."""
    column = golden_items.c
    with rig.api.services.database.write() as connection:
        connection.execute(sa.delete(golden_items).where(column.golden_set_id == rig.golden, column.position < items))


def test_what_cannot_be_set_up_is_refused_and_a_dry_run_changes_nothing(rig: Rig) -> None:
    assert rig.api.call("GET", rig.path).status_code == 404
    assert rig.api.ok("PUT", rig.path, json=rig.body | {"dry_run": True})["calls"] == 5 * ITEMS
    assert rig.api.call("GET", rig.path).status_code == 404
    assert rig.api.error("PUT", rig.path, json=rig.body | {"golden_set_version": 9})["attr"] == "golden_set_version"
    assert rig.api.error("PUT", rig.path, json=rig.body | {"size": 19})["attr"] == "size"
    few, version = golden_set(rig.api, rig.evaluation, 3)
    refused = rig.api.error("PUT", rig.path, json={"golden_set": few, "golden_set_version": version})
    assert refused["code"] == "too_few"
    runs = f"evaluations/{rig.evaluation['id']}/trust/runs/"
    for asked in ({"kind": "anchors"}, {"kind": "anchors", "dry_run": True}):
        assert rig.api.error("POST", runs, json=asked)["code"] == "no_anchors"
    assert "PUT trust/anchors/" in rig.api.error("POST", f"{rig.path}acknowledge/", 404)["detail"]
    rig.put(enabled=False)
    assert rig.api.ok("POST", runs, 202, json={"kind": "anchors", "dry_run": True})["calls"] == ITEMS
    begun = rig.api.ok("POST", runs, 202, json={"kind": "anchors"})
    assert (begun["kind"], begun["total"]) == ("anchors", ITEMS)
    assert rig.api.error("POST", runs, 409, json={"kind": "anchors"})["code"] == "already_running"


def test_canaries_go_with_the_anchors_of_a_judge_once_a_day(rig: Rig, sent: list[Any], stand_in: StandInServer) -> None:
    api = rig.api
    provider_key(api, stand_in, set_as_active=True)
    model = {"provider": "custom", "model": "m"}
    rig.evaluation = api.ok("POST", "evaluations/", 201, json=JUDGE | {"enabled": True, "model_configuration": model})
    rig.path = f"evaluations/{rig.evaluation['id']}/trust/anchors/"
    golden, version = golden_set(api, rig.evaluation, ITEMS, expected=False)
    rig.body = {"golden_set": golden, "golden_set_version": version}
    attacks = len(ATTACKS) * len(PLACES) + MAX_TWINS
    assert rig.put(dry_run=True)["calls"] == 5 * ITEMS + attacks
    assert rig.put(dry_run=True, canaries=False)["calls"] == 5 * ITEMS
    rig.put()

    def canaries() -> list[int]:
        runs, _ = MeasurementRuns(api.services.database).page(
            api.team, rig.evaluation["id"], ("canaries",), limit=10, offset=0
        )
        return [run.total for run in runs]

    rig.run(forward=timedelta(hours=1))
    rig.run(forward=timedelta(hours=1))
    assert canaries() == [attacks], "the second run of the anchors is on the same day"
    rig.later(timedelta(hours=22))
    rig.run()
    assert canaries() == [attacks, attacks]
    rig.put(canaries=False)
    rig.later(timedelta(hours=25))
    rig.run()
    assert len(canaries()) == 2, "the schedule wants no canaries any more"
    assert rig.shown()["canaries"] is False


def test_anchors_of_an_evaluation_that_is_switched_off_wait_and_are_not_overdue(rig: Rig, sent: list[Any]) -> None:
    rig.later(-timedelta(days=3))
    watching(rig)
    mine = [each for each in Anchors(rig.api.services.database).every() if each.team_id == rig.api.team]
    rig.keeper.show(mine)
    assert rig.metrics.age_s("gavel_anchor_age_seconds") > 86_400
    rig.api.ok("PATCH", f"evaluations/{rig.evaluation['id']}/", json={"enabled": False})
    rig.look()
    assert rig.shown()["running"] is None
    assert rig.shown()["problem"] == "The evaluation is not enabled, so its anchors wait."
    rig.keeper.show(mine)
    assert rig.metrics.age_s("gavel_anchor_age_seconds") == 0


def test_the_command_shows_the_anchors(rig: Rig, sent: list[Any]) -> None:
    watching(rig)
    rig.run(2)
    store = rig.api.services.database.engine.url.render_as_string(hide_password=False)
    environ = {"GAVEL_STORE__DSN": store, "GAVEL_CLICKHOUSE__DSN": rig.api.clickhouse_dsn}
    command = ["trust", "anchors", rig.evaluation["id"], "--team", str(rig.api.team)]
    done = CliRunner().invoke(build_app(), command, env=environ)
    assert done.exit_code == 0, done.output
    assert "2 of 30 flipped" in done.output
    assert "drift: steady" in done.output
