"""Changes that the console makes outside of the store's own objects are in the audit trail too."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import httpx2 as httpx

from api.schemas.labels import LabelCreate
from api.services import labels
from api.services.jobs import all_backfills, backfill_costs
from storage.sql.api_keys import ApiKeys
from storage.sql.audit import OPERATOR_TEAM, AuditEntry, read_team_audit
from storage.sql.backfills import Backfills
from storage.sql.measurements import MeasuredItem, MeasurementRuns, NewMeasurement
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.test_sign_in import SAME, enter
from tests.services.waiting import PATIENCE_S

LETTERS = "/console/operations/dead-letters/"


def newest(served: Served, team: int) -> AuditEntry:
    with served.services.database.read() as connection:
        return read_team_audit(connection, team, before=None, limit=1)[0]


def token(http: httpx.Client, path: str) -> str:
    return http.get(path).text.partition('name="token" value="')[2].partition('"')[0]


def test_a_redrive_and_a_purge_leave_an_entry_that_operators_read(served: Served) -> None:
    topics = served.services.settings.kafka.topics
    scenes.add_letters(served.bootstrap_servers, topics.dead_letters, topics.events)
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        enter(http, served.scene.operator)
        form = {"token": token(http, f"{LETTERS}list/"), "all": "on"}
        listed = http.get(f"{LETTERS}list/?reason=too_large").text
        chosen = listed.partition('name="id" value="')[2].partition('"')[0]
        sent = http.post(LETTERS, data={"token": form["token"], "id": chosen, "action": "redrive"}, headers=SAME)
        assert sent.status_code == 303
        redriven = newest(served, OPERATOR_TEAM)
        assert (redriven.object_type, redriven.action) == ("dead_letters", "redriven")
        assert redriven.changes == {
            "sent": [None, 1],
            "refused": [None, 0],
            "ids": [None, [chosen]],
        }
        assert redriven.actor is not None
        assert " console:" in redriven.actor
        scenes.add_letters(served.bootstrap_servers, topics.dead_letters, topics.events)
        count = http.get(f"{LETTERS}list/?reason=evaluator_bug").text.count('name="id"')
        chosen_all = {**form, "reason": "evaluator_bug"}
        dry = http.post(LETTERS, data={**chosen_all, "action": "dry"}, headers=SAME).text
        ends = dry.partition('name="ends" value="')[2].partition('"')[0]
        purge = {**chosen_all, "ends": ends, "count": str(count), "action": "purge"}
        assert http.post(LETTERS, data=purge, headers=SAME).status_code == 303
        assert newest(served, OPERATOR_TEAM).changes == {"purged": [None, count], "reason": [None, "evaluator_bug"]}
        page = http.get("/console/operations/audit/").text
    assert "dead letters purged" in page
    assert f"purged</code>: [None, {count}]" in page


def test_what_a_reader_starts_leaves_an_entry(served: Served) -> None:
    """A run of clusters and the judging of one generation are each asked for with a key and a session."""
    team, scene = f"/console/{TEAM}", served.scene
    job = scene.clusters.partition("/")[0]
    judged = scene.evaluations[1].id
    started = (
        (f"{team}/generations/{scene.events[-1]}/judge/", {"evaluation": judged}, "evaluation_run", "created", judged),
        (f"{team}/clusters/", {"job": job}, "clustering_job", "run", job),
    )
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        enter(http, scene.secret)
        form = {"token": token(http, f"{team}/evaluations/")}
        for path, fields, kind, action, identity in started:
            answer = http.post(path, data={**form, **fields}, headers=SAME)
            assert answer.status_code == 303, (path, answer.text)
            entry = newest(served, TEAM)
            assert (entry.object_type, entry.action, entry.object_id) == (kind, action, identity)
            assert entry.actor is not None
            assert " console:" in entry.actor


def test_labels_are_in_the_trail_and_can_be_left_out(served: Served) -> None:
    evaluation, path = served.own_evaluation("Labelled"), f"/console/{TEAM}/audit/"
    key, _ = ApiKeys(served.services.database).create(
        team_id=TEAM, label="Lea", scopes=["*"], now=served.services.now()
    )
    given = LabelCreate(
        evaluation=UUID(evaluation.id), target_event_id="e", verdict={"result": False}, comment="quite-beside-the-point"
    )
    labels.add(served.services, key, [given, given], source="console")
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        enter(http, served.scene.secret)
        shown, without = (http.get(path + query).text for query in ("", "?labels=no"))
    assert f'labels added<span class="sub"><a href="/console/{TEAM}/evaluations/{evaluation.id}/' in shown
    assert "count</code>: [None, 2]" in shown
    assert "beside-it" not in shown
    assert "?labels=no" in shown
    assert "labels added" not in without
    assert "evaluation created" in without


def test_a_measurement_is_cancelled_on_the_page_of_jobs(served: Served) -> None:
    scene, path = served.scene, f"/console/{TEAM}/jobs/"
    now = served.services.now()
    item = MeasuredItem(f"event:{scene.events[-1]}", scene.events[-1])
    new = NewMeasurement(
        team_id=TEAM, evaluation_id=scene.evaluations[1].id, kind="measure", versions=(1,), repeats=1, params={},
        items=[item],
    )  # fmt: skip
    made = MeasurementRuns(served.services.database).create(new, actor="key:1", now=now)
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        enter(http, scene.secret)
        form = {"token": token(http, path), "id": made.id, "evaluation": made.evaluation_id}
        assert f'value="{made.id}"' in http.get(path).text
        assert http.post(path, data={**form, "action": "cancel-measurement"}, headers=SAME).status_code == 303
        assert f'value="{made.id}"' not in http.get(path).text
    assert newest(served, TEAM).action == "cancelled"


def test_backfills_show_what_they_cost(served: Served) -> None:
    """The results of a backfill carry its id; those of others, and those without a price, do not count."""
    evaluation, now = served.own_evaluation("Backfilled"), served.services.now()
    backfill = Backfills(served.services.database).create(
        team_id=TEAM, evaluation_id=evaluation.id, evaluation_version=1, window_start=now - timedelta(days=2),
        window_end=now, rerun_existing=False, actor="key:1", now=now,
    )  # fmt: skip
    [job] = [each for each in all_backfills(served.services, TEAM) if each.backfill.id == backfill.id]
    rows = [
        {
            "uuid": str(uuid4()), "team_id": TEAM, "evaluation_id": backfill.evaluation_id, "trigger": trigger,
            "backfill_id": identity, "target_event_id": str(uuid4()), "cost_usd": cost,
            "timestamp": backfill.window_end - timedelta(hours=1), "result_type": "boolean", "result": True,
        }
        for trigger, identity, cost in (
            ("backfill", backfill.id, 0.5), ("backfill", backfill.id, 1.25), ("backfill", backfill.id, None),
            ("backfill", "another", 7.0), ("live", "", 9.0),
        )
    ]  # fmt: skip
    scenes.insert(served.clickhouse_dsn, "evaluation_results", rows)
    assert backfill_costs(served.services, TEAM, [job])[backfill.id] == 1.75
    assert backfill_costs(served.services, TEAM, []) == {}
