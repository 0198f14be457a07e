"""Each report is made once, when it is due by its schedule or count, and says so if figures are missing."""

from __future__ import annotations

import hashlib
import hmac
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from processor.metrics import AgeGauge
from reports.evaluation_reports.page.html import render_html
from reports.events import NotSent
from storage.sql.engine import StoreUnavailable
from storage.sql.evaluation_report_runs import ReportRuns
from storage.sql.evaluation_reports import EvaluationReports
from tests.integration.report_rig import START, TEAM, Rig


def test_a_scheduled_report_is_made_once_and_reaches_every_target(rig: Rig) -> None:
    report = rig.report(rig.mail(), rig.slack(), rig.hook())
    runner = rig.runner()
    runner.turn()
    assert rig.runs(report) == []
    rig.clock.advance(hours=1)
    rig.results(200, 150)
    runner.turn()
    runner.turn()
    (run,) = rig.runs(report)
    assert (run.status, run.trigger, run.error) == ("delivered", "scheduled", "")
    assert (run.period_start, run.period_end) == (START + timedelta(hours=-23), START + timedelta(hours=1))
    assert run.content is not None
    assert run.content["figures"]["versions"][0]["rate"]["value"] == 0.75
    assert [each.state for each in rig.deliveries(run)] == ["delivered"] * 3
    assert (len(rig.mailbox.mails), len(rig.receiver.requests)) == (1, 2)
    after = EvaluationReports(rig.database).get(TEAM, report.id)
    assert after is not None
    assert (after.last_delivered_at, after.covered_until) == (rig.clock.now, run.period_end)
    assert after.next_delivery_date == START + timedelta(days=1, hours=1)
    (event,) = map(orjson.loads, rig.events)
    assert event["event"] == "$ai_evaluation_report"
    assert orjson.loads(event["properties"])["$ai_report_metrics"]["counts"]["results"] == 200


def test_a_webhook_is_signed_and_a_mail_has_text_and_page(rig: Rig) -> None:
    rig.report(rig.hook(), rig.mail())
    rig.clock.advance(hours=1)
    rig.results(100, 90)
    rig.runner().turn()
    ((headers, body),) = rig.receiver.requests
    signed = f"{headers['X-Gavel-Timestamp']}.".encode() + body
    expected = hmac.new(b"the-key-of-this-test", signed, hashlib.sha256).hexdigest()
    assert headers["X-Gavel-Signature"] == f"v1={expected}"
    assert abs(int(headers["X-Gavel-Timestamp"]) - time.time()) < 600
    assert orjson.loads(body)["content"]["figures"]["counts"]["pass"] == 90
    (mail,) = rig.mailbox.mails
    assert [part.get_content_type() for part in mail.walk()][1:] == ["text/plain", "text/html"]
    assert "90.0" in str(mail["Subject"].encode()) or "=?" in mail["Subject"]


def test_of_several_processes_each_report_is_delivered_once(rig: Rig) -> None:
    reports = [rig.report(rig.hook(f"/{place}"), rig.mail()) for place in range(6)]
    rig.clock.advance(hours=1)
    runners = [rig.runner() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda runner: [runner.turn() for _ in range(2)], runners))
    assert [len(rig.runs(report)) for report in reports] == [1] * 6
    assert sorted(rig.receiver.keys) == sorted(set(rig.receiver.keys))
    assert (len(rig.receiver.keys), len(rig.mailbox.ids), len(set(rig.mailbox.ids))) == (6, 6, 6)


def test_figures_that_cannot_be_read_are_said_to_be_missing_and_are_never_zeros(rig: Rig, tmp_path: Path) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    dead = rig.settings.clickhouse.model_copy(update={"dsn": type(rig.settings.clickhouse.dsn)("http://127.0.0.1:1/x")})
    settings = rig.settings.model_copy(update={"clickhouse": dead})
    for _ in range(4):
        rig.runner(settings=settings).turn()
        rig.clock.advance(minutes=10)
    (run,) = rig.runs(report)
    assert run.content is not None
    assert (run.status, run.content["metrics_unavailable"], run.content["figures"]) == ("delivered", True, None)
    assert "not available" in run.content["title"]
    assert "0 results" not in render_html(run.content)


def test_clickhouse_that_comes_back_gives_a_report_with_figures(rig: Rig) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    rig.results(100, 50)
    dead = rig.settings.clickhouse.model_copy(update={"dsn": type(rig.settings.clickhouse.dsn)("http://127.0.0.1:1/x")})
    rig.runner(settings=rig.settings.model_copy(update={"clickhouse": dead})).turn()
    assert rig.runs(report)[0].status == "pending"
    rig.clock.advance(minutes=1)
    rig.runner().turn()
    (run,) = rig.runs(report)
    assert run.content is not None
    assert (run.status, run.content["metrics_unavailable"]) == ("delivered", False)


def test_a_store_that_is_away_for_a_moment_does_not_make_a_message_leave_twice(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    monkeypatch.setattr("reports.evaluation_reports.deliver._NOTE_WAIT_S", 0.01)
    end, failures = ReportRuns.end_delivery, iter(range(5))

    def away(*arguments: Any, **options: Any) -> Any:
        if next(failures, None) is not None:
            raise StoreUnavailable("away")
        return end(*arguments, **options)

    monkeypatch.setattr(ReportRuns, "end_delivery", away)
    rig.runner().turn()
    assert (rig.runs(report)[0].status, len(rig.receiver.requests)) == ("delivered", 1)


def test_a_report_is_delivered_although_kafka_does_not_take_its_event(rig: Rig) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)

    def refuse(_event: bytes, _key: str) -> None:
        raise NotSent("Kafka is away")

    runner = rig.runner(send=refuse)
    for _ in range(6):  # the event is tried again for a quarter of an hour; the message leaves once
        runner.turn()
        assert len(rig.receiver.requests) == 1
        rig.clock.advance(minutes=10)
    assert rig.runs(report)[-1].status == "delivered"
    assert rig.metrics.registry.get_sample_value("gavel_reports_events_not_sent_total") == 6.0


def test_an_event_that_kafka_did_not_take_is_written_when_it_is_back(rig: Rig) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    answers = iter([NotSent("Kafka is away")])
    sent: list[str] = []

    def send(_event: Any, key: str) -> None:
        for error in answers:
            raise error
        sent.append(key)

    runner = rig.runner(send=send)
    runner.turn()
    runner.turn()
    assert (rig.runs(report)[0].status, sent) == ("generated", [])
    rig.clock.advance(minutes=1)
    runner.turn()
    runner.turn()
    assert rig.runs(report)[0].status == "delivered"
    assert (len(sent), len(rig.receiver.requests)) == (1, 1)


def test_a_report_by_count_comes_after_enough_results_and_not_before_its_cooldown(rig: Rig) -> None:
    report = rig.report(rig.hook(), frequency="every_n", trigger_threshold=100)
    runner = rig.runner()
    rig.clock.advance(hours=1)
    rig.results(99, 50)
    rig.results(500, 0, skipped="true", result="NULL", skip_reason="'x'")
    runner.turn()
    assert rig.runs(report) == []
    rig.clock.advance(seconds=1)
    rig.results(1, 1)
    runner.turn()
    (first,) = rig.runs(report)
    assert (first.trigger, first.status) == ("every_n", "delivered")
    rig.clock.advance(minutes=59)
    rig.results(300, 300, at=rig.clock.now + timedelta(minutes=1))
    runner.turn()
    assert len(rig.runs(report)) == 1, "the cooldown is not over"
    rig.clock.advance(minutes=1)
    runner.turn()
    second, _ = rig.runs(report)
    assert (second.period_start, second.content["figures"]["counts"]["results"]) == (first.period_end, 300)


def test_a_report_by_count_stops_at_the_cap_of_the_day(rig: Rig) -> None:
    report = rig.report(frequency="every_n", trigger_threshold=100, daily_run_cap=2)
    runner = rig.runner()
    for _ in range(4):
        rig.clock.advance(minutes=61)
        rig.results(150, 50)
        runner.turn()
    assert len(rig.runs(report)) == 2
    rig.clock.now = START + timedelta(days=1)  # midnight has passed
    runner.turn()
    assert len(rig.runs(report)) == 3


def test_reports_that_were_due_while_nothing_ran_become_one_that_covers_all_of_it(rig: Rig) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    rig.runner().turn()
    rig.clock.advance(days=4)
    rig.runner().turn()
    late, first = rig.runs(report)
    assert (late.period_start, late.period_end) == (first.period_end, START + timedelta(days=4, hours=1))
    assert len(rig.receiver.requests) == 2


def test_a_report_without_targets_is_made_and_can_be_read(rig: Rig) -> None:
    report = rig.report()
    rig.clock.advance(hours=1)
    rig.runner().turn()
    (run,) = rig.runs(report)
    assert (run.status, run.finished_at) == ("generated", rig.clock.now)


def test_a_report_whose_schedule_cannot_be_read_holds_up_no_other_and_shows_as_overdue(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zone may vanish with an update of the system's zones; the reports of other teams go on."""
    monkeypatch.setattr(AgeGauge, "clock", lambda: rig.clock.now.timestamp())
    broken = rig.report(timezone_name="Mars/Olympus", next_delivery_date=START + timedelta(minutes=30))
    counted = rig.report(frequency="every_n", timezone_name="Mars/Olympus")
    good = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    runner = rig.runner()
    runner.look()
    assert [len(rig.runs(each)) for each in (broken, counted, good)] == [0, 0, 1]
    assert rig.runs(good)[0].status == "delivered"
    assert runner.state().ready
    assert rig.metrics.age_s("gavel_reports_overdue_seconds") == 1_800


def test_reports_count_as_overdue_while_the_store_is_away(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgeGauge, "clock", lambda: rig.clock.now.timestamp())
    runner = rig.runner()
    runner.look()
    assert rig.metrics.age_s("gavel_reports_overdue_seconds") == 0

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("away")

    rig.clock.advance(minutes=40)
    with monkeypatch.context() as patch:
        patch.setattr(EvaluationReports, "due", away)
        runner.look()
    assert rig.metrics.age_s("gavel_reports_overdue_seconds") == 2_400
    assert "wait for the store" in runner.state().reason
    runner.look()
    assert (runner.state().ready, rig.metrics.age_s("gavel_reports_overdue_seconds")) == (True, 0)
