"""`llm_analytics/evaluation_reports`: the rules that the reference does not show, and what a stranger may send."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.secrets import SecretBox
from reports.evaluation_reports.targets import open_target
from storage.sql.audit import audit_log, read_audit
from storage.sql.evaluation_report_runs import ReportRuns, evaluation_report_runs
from storage.sql.evaluation_reports import evaluation_reports
from storage.sql.rotation import reseal_all
from tests.api.conftest import Api
from tests.services.claims import claim_only
from tests.unit.reports.evaluation_reports.sample import content

PATH = "llm_analytics/evaluation_reports/"
DAILY = {"frequency": "scheduled", "rrule": "FREQ=DAILY", "starts_at": "2020-01-01T09:00:00Z"}
SLACK = "https://hooks.slack.com/services/T000/B000/not-a-real-secret"


@pytest.fixture
def evaluation(api: Api) -> str:
    return str(api.hog()["id"])


@pytest.fixture(autouse=True)
def no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of this file's tests resolve to a public address without a name server."""
    monkeypatch.setattr("config.outbound.addresses.socket.getaddrinfo", lookup)


def lookup(host: str, port: int, **_: Any) -> list[Any]:
    address = {"inner.example.com": "10.0.0.1"}.get(host, host if host[0].isdigit() or ":" in host else "93.184.215.14")
    return [(2, 1, 6, "", (address, port))]


def make(api: Api, evaluation: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.ok("POST", PATH, 201, json={"evaluation": evaluation, **fields})
    return made


def test_a_report_has_the_defaults_of_the_reference(api: Api, evaluation: str) -> None:
    made = make(api, evaluation)
    assert made | {"id": 0, "created_at": 0, "created_by": 0} == {
        "id": 0, "evaluation": evaluation, "frequency": "every_n", "rrule": "", "starts_at": None,
        "timezone_name": "UTC", "next_delivery_date": None, "delivery_targets": [], "max_sample_size": 200,
        "enabled": True, "deleted": False, "last_delivered_at": None, "report_prompt_guidance": "",
        "trigger_threshold": 100, "cooldown_minutes": 60, "daily_run_cap": 10, "created_by": 0, "created_at": 0,
    }  # fmt: skip
    assert isinstance(made["created_by"], int)


def test_a_second_post_changes_the_report_of_the_evaluation(api: Api, evaluation: str) -> None:
    made = make(api, evaluation, trigger_threshold=500)
    again = api.ok("POST", PATH, 200, json={"evaluation": evaluation, "daily_run_cap": 3})
    assert (again["id"], again["trigger_threshold"], again["daily_run_cap"]) == (made["id"], 500, 3)
    assert api.ok("GET", PATH)["count"] == 1


def test_a_deleted_report_is_gone_and_makes_room_for_another(api: Api, evaluation: str) -> None:
    made = make(api, evaluation)
    assert api.ok("PATCH", f"{PATH}{made['id']}/", json={"deleted": True})["deleted"] is True
    assert api.ok("GET", PATH)["results"] == []
    for path in ("", "runs/"):
        api.error("GET", f"{PATH}{made['id']}/{path}", 404)
    api.error("POST", f"{PATH}{made['id']}/generate/", 404)
    other = make(api, evaluation)
    assert other["id"] != made["id"]
    refused = api.error("PATCH", f"{PATH}{made['id']}/", json={"deleted": False})
    assert refused["attr"] == "deleted"
    api.ok("PATCH", f"{PATH}{other['id']}/", json={"deleted": True})
    assert api.ok("PATCH", f"{PATH}{made['id']}/", json={"deleted": False})["deleted"] is False


def test_delete_is_not_allowed_and_put_replaces(api: Api, evaluation: str) -> None:
    made = make(api, evaluation, trigger_threshold=500)
    assert "deleted" in api.error("DELETE", f"{PATH}{made['id']}/", 405)["detail"]
    assert api.ok("PUT", f"{PATH}{made['id']}/", json={"evaluation": evaluation})["trigger_threshold"] == 100
    assert api.error("PUT", f"{PATH}{made['id']}/", json={"evaluation": str(uuid4())})["attr"] == "evaluation"


def test_another_teams_report_and_evaluation_do_not_exist(api: Api, evaluation: str) -> None:
    made = make(api, evaluation)
    stranger = api.as_key(api.key("*", team=api.team + 500_000))
    base = f"/api/projects/{api.team + 500_000}/{PATH}"
    for method, path in (("GET", ""), ("PATCH", ""), ("GET", "runs/"), ("POST", "generate/")):
        assert stranger.request(method, f"{base}{made['id']}/{path}", json={}).status_code == 404, (method, path)
    refused = stranger.post(base, json={"evaluation": evaluation})
    assert (refused.status_code, refused.json()["attr"]) == (400, "evaluation")


def test_a_scheduled_report_has_its_next_date_and_loses_it_with_its_schedule(api: Api, evaluation: str) -> None:
    made = make(api, evaluation, **DAILY, timezone_name="Europe/Berlin")
    due = datetime.fromisoformat(made["next_delivery_date"])
    assert datetime.now(UTC) < due
    weekly = api.ok("PATCH", f"{PATH}{made['id']}/", json={"rrule": "FREQ=WEEKLY;BYDAY=MO"})
    assert datetime.fromisoformat(weekly["next_delivery_date"]).weekday() == 0
    assert api.ok("PATCH", f"{PATH}{made['id']}/", json={"frequency": "every_n"})["next_delivery_date"] is None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"frequency": "hourly"}, "frequency"),
    ({"frequency": "scheduled"}, "rrule"),
    ({**DAILY, "starts_at": None}, "starts_at"),
    ({**DAILY, "rrule": "FREQ=SECONDLY"}, "rrule"),
    ({**DAILY, "rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "rrule"),
    ({**DAILY, "rrule": "x" * 201}, "rrule"),
    ({"rrule": "nonsense"}, "rrule"),
    ({**DAILY, "timezone_name": "Mars/Olympus"}, "timezone_name"),
    ({"timezone_name": "../../etc/passwd"}, "timezone_name"),
    ({**DAILY, "starts_at": "2020-01-01T09:00:00"}, "starts_at"),
    ({"trigger_threshold": 10}, "trigger_threshold"),
    ({"trigger_threshold": 10_001}, "trigger_threshold"),
    ({"cooldown_minutes": 59}, "cooldown_minutes"),
    ({"cooldown_minutes": 1_441}, "cooldown_minutes"),
    ({"daily_run_cap": 0}, "daily_run_cap"),
    ({"daily_run_cap": 25}, "daily_run_cap"),
    ({"max_sample_size": -2147483648}, "max_sample_size"),
    ({"report_prompt_guidance": "x" * 4_001}, "report_prompt_guidance"),
    ({"delivery_targets": [{"type": "email", "value": "a@example.com"}] * 21}, "delivery_targets"),
    ({"delivery_targets": [{"type": "pigeon", "value": "coo"}]}, "delivery_targets__0"),
    ({"delivery_targets": [{"value": "a@example.com"}]}, "delivery_targets__0"),
    ({"delivery_targets": ["a@example.com"]}, "delivery_targets__0"),
    ({"delivery_targets": [{"type": "email", "value": "a@example.com\nBcc: b@x.org"}]}, "value"),
    ({"delivery_targets": [{"type": "email", "value": "A <a@example.com>"}]}, "value"),
    ({"delivery_targets": [{"type": "email", "value": "a@localhost"}]}, "value"),
    ({"delivery_targets": [{"type": "slack", "webhook_url": "https://10.0.0.1/x"}]}, "webhook_url"),
    ({"delivery_targets": [{"type": "slack", "webhook_url": "https://hooks.slack.com/****1a"}]}, "webhook_url"),
    ({"delivery_targets": [{"type": "webhook", "url": "http://169.254.169.254/"}]}, "url"),
    ({"delivery_targets": [{"type": "webhook", "url": "https://inner.example.com/"}]}, "url"),
    ({"delivery_targets": [{"type": "webhook", "url": "file:///etc/passwd"}]}, "url"),
    ({"delivery_targets": [{"type": "webhook", "url": "https://u:p@example.com/"}]}, "url"),
]  # fmt: skip


def test_what_cannot_be_is_refused_on_its_field(api: Api, evaluation: str) -> None:
    """One test for all, because each of them is one request and a team for each would take longer."""
    wrong = []
    for fields, attr in REFUSED:
        response = api.call("POST", PATH, json={"evaluation": evaluation, **fields})
        if response.status_code != 400 or not (response.json()["attr"] or "").endswith(attr):
            wrong.append((fields, attr, response.text))
    assert wrong == []
    assert api.ok("GET", PATH)["count"] == 0


def test_secrets_of_targets_are_never_shown_and_stay_when_they_come_back_masked(api: Api, evaluation: str) -> None:
    targets = [{"type": "slack", "webhook_url": SLACK}, {"type": "webhook", "url": "https://example.com/hook"}]
    made = make(api, evaluation, delivery_targets=targets)
    slack, webhook = made["delivery_targets"]
    assert slack["webhook_url"].startswith("https://hooks.slack.com/****")
    assert webhook == {"type": "webhook", "url": "https://example.com/hook", "secret": "****"}
    before = stored(api, made["id"])
    more = [webhook, slack, {"type": "email", "value": "a@b.org"}]
    api.ok("PATCH", f"{PATH}{made['id']}/", json={"delivery_targets": more})
    assert stored(api, made["id"]) == [before[1], before[0], more[2]]
    own = [{"type": "webhook", "url": "https://example.com/hook", "secret": "a-key-of-my-own-17"}]
    shown = api.ok("PATCH", f"{PATH}{made['id']}/", json={"delivery_targets": own})["delivery_targets"]
    assert shown == [webhook]
    assert stored(api, made["id"])[0]["sealed"] != before[1]["sealed"]
    with api.services.database.read() as connection:
        audited = str(connection.execute(sa.select(audit_log)).all())
    assert "a-key-of-my-own-17" not in audited
    assert "not-a-real-secret" not in audited


def stored(api: Api, report_id: str) -> list[dict[str, Any]]:
    query = sa.select(evaluation_reports.c.delivery_targets).where(evaluation_reports.c.id == report_id)
    with api.services.database.read() as connection:
        found: list[dict[str, Any]] = connection.execute(query).scalar_one()
    return found


def test_a_rotation_encrypts_the_targets_of_reports_and_of_their_runs_anew(api: Api, evaluation: str) -> None:
    """A run that waits for its receiver must be delivered with the new key alone."""
    targets = [{"type": "slack", "webhook_url": SLACK}, {"type": "webhook", "url": "https://example.com/hook"}]
    made = make(api, evaluation, delivery_targets=[*targets, {"type": "email", "value": "a@b.org"}])
    database, old = api.services.database, api.services.settings.secret_keys
    lost_box = SecretBox([SecretStr(Fernet.generate_key().decode())])
    lost = make(api, str(api.hog()["id"]), delivery_targets=targets)
    with database.write() as connection:
        sealed = [{**each, "sealed": lost_box.seal(SecretStr("x"))} for each in stored(api, lost["id"])]
        mine = evaluation_reports.c.id == lost["id"]
        connection.execute(sa.update(evaluation_reports).where(mine).values(delivery_targets=sealed))
    run_id = with_deliveries(api, made["id"])
    new = SecretStr(Fernet.generate_key().decode())
    found = reseal_all(database, SecretBox([new, *old]))
    assert lost["id"] in found.undecipherable
    assert made["id"] not in found.undecipherable
    alone = SecretBox([new])
    delivered_to = [each.target for each in ReportRuns(database).deliveries([run_id])[run_id]]
    for kept in (stored(api, made["id"]), delivered_to):
        assert [open_target(each, alone).address for each in kept] == [SLACK, "https://example.com/hook", "a@b.org"]
    reseal_all(database, SecretBox([*old, new]))  # the other tests go on with the old key


def with_deliveries(api: Api, report_id: str) -> str:
    """Make a run of a report whose deliveries wait, and return its id."""
    run = api.ok("POST", f"{PATH}{report_id}/generate/", 202)
    return stored_content(api, run["id"], stored(api, report_id))


def stored_content(api: Api, run_id: str, targets: list[dict[str, Any]]) -> str:
    """Give a run a content, as the reports role does."""
    runs, now = ReportRuns(api.services.database), datetime.now(UTC)
    claimed = claim_only(lambda: runs.claim("me", now=now, lease_s=60), run_id)
    assert runs.store_content(claimed, "me", content(), targets, now=now)
    return run_id


def test_a_report_can_be_asked_for_and_the_open_run_is_the_answer_to_all_who_ask(api: Api, evaluation: str) -> None:
    made = make(api, evaluation)
    run = api.ok("POST", f"{PATH}{made['id']}/generate/", 202)
    assert (run["report"], run["trigger"], run["delivery_status"]) == (made["id"], "manual", "pending")
    assert api.ok("POST", f"{PATH}{made['id']}/generate/", 202)["id"] == run["id"]
    with api.services.database.read() as connection:
        entries = read_audit(connection, api.team, "evaluation_report", made["id"])
    assert [(each.action, each.changes) for each in entries[:-1]] == [("run", {"run": [None, run["id"]]})]
    assert entries[0].actor is not None
    page = api.ok("GET", f"{PATH}{made['id']}/runs/")
    assert (page["count"], page["results"]) == (1, [run])


def test_reading_takes_the_scope_to_read_and_writing_the_scope_to_write(api: Api, evaluation: str) -> None:
    made = make(api, evaluation)
    reader = api.as_key(api.key("llm_analytics:read"))
    url = f"/api/environments/{api.team}/{PATH}{made['id']}/"
    assert [reader.get(url + path).status_code for path in ("", "runs/")] == [200, 200]
    assert reader.post(f"{url}generate/").status_code == 403
    assert reader.delete(url).status_code == 403


def test_the_report_of_a_run_is_a_page_with_a_policy_of_its_own_or_markdown(api: Api, evaluation: str) -> None:
    made = make(api, evaluation)
    run = api.ok("POST", f"{PATH}{made['id']}/generate/", 202)
    path = f"{PATH}{made['id']}/runs/{run['id']}/page/"
    assert "not made yet" in api.error("GET", path, 404)["detail"]
    stored_content(api, run["id"], [])
    page = api.call("GET", path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "<h1>Answers the question" in page.text
    assert api.call("GET", f"{path}?format=markdown").text.startswith("# Answers the question")
    api.error("GET", f"{PATH}{made['id']}/runs/{uuid4()}/page/", 404)
    stranger = api.as_key(api.key("*", team=api.team + 600_000))
    assert stranger.get(f"/api/projects/{api.team + 600_000}/{path}").status_code == 404


def test_a_report_can_be_asked_for_only_so_often(api: Api, evaluation: str) -> None:
    made = make(api, evaluation)
    with api.services.database.write() as connection:
        for _ in range(24):
            now = datetime.now(UTC)
            connection.execute(
                sa.insert(evaluation_report_runs).values(
                    id=str(uuid4()), team_id=api.team, report_id=made["id"], evaluation_id=evaluation,
                    trigger="manual", slot=str(uuid4()), status="delivered", period_start=now, period_end=now,
                    not_before=now, created_at=now, finished_at=now,
                )
            )  # fmt: skip
    refused = api.call("POST", f"{PATH}{made['id']}/generate/")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 80_000
