"""Reports reach each target once, whichever process ends and whatever a receiver does."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from processor.metrics import AgeGauge
from reports.evaluation_reports.deliver import UNKNOWN, Deliverer
from reports.evaluation_reports.delivery.http import HttpSender
from reports.evaluation_reports.delivery.outcome import ReportMessage
from reports.evaluation_reports.generate import Generator
from reports.evaluation_reports.targets import DeliveryTarget
from storage.sql.evaluation_report_runs import ReportRuns
from storage.sql.evaluation_reports import EvaluationReports
from storage.sql.evaluations import Evaluations
from tests.integration.report_rig import START, TEAM, Rig
from tests.services.waiting import PATIENCE_S, until


class Killed(BaseException):
    """The process is gone at this point."""


STEPS: dict[str, tuple[type, str, str]] = {
    "after it opened the run": (ReportRuns, "open_due", "after"),
    "after it claimed the run": (ReportRuns, "claim", "after"),
    "before it stored the report": (ReportRuns, "store_content", "before"),
    "after it stored the report": (ReportRuns, "store_content", "after"),
    "before it noted the event": (ReportRuns, "note_emitted", "before"),
    "after it noted the event": (ReportRuns, "note_emitted", "after"),
    "before it began a delivery": (ReportRuns, "begin_delivery", "before"),
    "after it began a delivery": (ReportRuns, "begin_delivery", "after"),
    "before it noted a delivery": (ReportRuns, "end_delivery", "before"),
    "after it noted a delivery": (ReportRuns, "end_delivery", "after"),
    "before it finished": (ReportRuns, "finish", "before"),
    "after it finished": (ReportRuns, "finish", "after"),
}


def dying(method: Callable[..., Any], when: str, deaths: list[str], name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        if when == "after":
            result = method(*arguments, **options)
            if result is None:
                return result
        deaths.append(name)
        raise Killed(name)

    return call


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", ["webhook", "email"])
def test_a_report_whose_process_dies_is_delivered_once_by_another(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """A message that had left is sent again under the same key or id, by which its receiver knows it."""
    report = rig.report(rig.hook() if kind == "webhook" else rig.mail())
    rig.clock.advance(hours=1)
    owner, method, when = STEPS[name]
    deaths: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, dying(getattr(owner, method), when, deaths, name))
        with pytest.raises(Killed):
            rig.runner().turn()
    assert deaths
    rig.clock.advance(seconds=61)  # the lease is over
    rig.runner().turn()
    rig.runner().turn()
    (run,) = rig.runs(report)
    assert run.status == "delivered"
    messages = rig.receiver.keys if kind == "webhook" else rig.mailbox.ids
    assert len(set(messages)) == 1
    had_left = name == "before it noted a delivery"
    assert len(messages) == (2 if had_left else 1)
    assert len({orjson.loads(event)["uuid"] for event in rig.events}) == 1


def test_figures_that_end_their_process_each_time_are_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    deaths: list[str] = []
    monkeypatch.setattr(Generator, "content", dying(Generator.content, "before", deaths, "figures"))
    for _ in range(4):
        with pytest.raises(Killed):
            rig.runner().turn()
        rig.clock.advance(seconds=61)
    rig.runner().turn()
    (run,) = rig.runs(report)
    assert run.content is not None
    assert (len(deaths), run.status, run.content["metrics_unavailable"]) == (4, "delivered", True)


def test_a_message_that_ends_its_process_each_time_is_given_up_after_a_day(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    with monkeypatch.context() as patch:
        patch.setattr(HttpSender, "webhook", dying(HttpSender.webhook, "before", [], "message"))
        for _ in range(3):
            with pytest.raises(Killed):
                rig.runner().turn()
            rig.clock.advance(hours=9)
    rig.runner().turn()
    run = rig.runs(report)[-1]
    (delivery,) = rig.deliveries(run)
    assert (run.status, delivery.state) == ("failed", "failed")
    assert delivery.error.startswith("given up")


def test_slack_is_not_sent_a_message_again_whose_outcome_is_unknown_and_the_run_says_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = rig.report(rig.slack(), rig.hook())
    rig.clock.advance(hours=1)
    with monkeypatch.context() as patch:
        patch.setattr(ReportRuns, "end_delivery", dying(ReportRuns.end_delivery, "before", [], "x"))
        with pytest.raises(Killed):
            rig.runner().turn()
    rig.clock.advance(seconds=61)
    rig.runner().turn()
    (run,) = rig.runs(report)
    slack, hook = rig.deliveries(run)
    assert (run.status, slack.state, slack.error, hook.state) == ("partial_failure", "failed", UNKNOWN, "delivered")
    assert len(rig.receiver.requests) == 2


def test_the_age_of_the_oldest_run_grows_while_a_receiver_answers_slowly(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AgeGauge, "clock", lambda: rig.clock.now.timestamp())
    ages: list[float] = []

    def answer(_: object) -> int:
        rig.clock.advance(seconds=30)
        ages.append(rig.metrics.age_s("gavel_reports_overdue_seconds"))
        return 200

    rig.receiver.answer = answer
    rig.report(rig.hook())
    rig.clock.advance(hours=1)
    rig.runner().turn()
    assert ages == [30.0]
    assert rig.metrics.age_s("gavel_reports_overdue_seconds") == 0.0


def test_a_process_that_was_too_slow_changes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    report = rig.report(rig.hook(), rig.hook("/second"))
    rig.clock.advance(hours=1)
    first = rig.runner()
    send = HttpSender.webhook

    def slow(*arguments: Any) -> Any:
        outcome = send(*arguments)
        if len(rig.receiver.requests) == 1:
            rig.clock.advance(seconds=61)
            rig.runner().turn()
        return outcome

    monkeypatch.setattr(HttpSender, "webhook", slow)
    first._deliverer._senders = {**first._deliverer._senders, "webhook": lambda t, m: slow(_sender(rig), t, m)}
    first.turn()
    (run,) = rig.runs(report)
    assert run.status == "delivered"
    assert sorted(set(rig.receiver.keys)) == [f"{run.id}:0", f"{run.id}:1"]
    assert rig.receiver.keys.count(f"{run.id}:1") == 1


def _sender(rig: Rig) -> HttpSender:
    return HttpSender(allowed=("127.0.0.1",), timeout_s=PATIENCE_S, now_s=time.time)


def hang(_: object) -> int:
    time.sleep(4)
    return 0


@pytest.mark.parametrize(
    ("answer", "state", "error"),
    [
        (lambda _: 500, "waiting", "the receiver answered 500"),
        (lambda _: 429, "waiting", "the receiver answered 429"),
        (lambda _: 404, "failed", "the receiver answered 404"),
        (lambda _: 302, "failed", "redirects are not followed"),
        (lambda handler: handler.connection.close() or 0, "waiting", "did not answer in time, or broke the connection"),
        (hang, "waiting", "did not answer in time, or broke the connection"),
    ],
    ids=["500", "429", "404", "redirect", "broken", "hangs"],
)
def test_a_receiver_that_does_not_take_it(rig: Rig, answer: Any, state: str, error: str) -> None:
    report = rig.report(rig.hook())
    rig.receiver.answer = answer
    rig.clock.advance(hours=1)
    limit_s = 1.0 if answer is hang else rig.settings.reports.delivery_timeout_s
    limits = rig.settings.reports.model_copy(update={"delivery_timeout_s": limit_s})
    rig.runner(settings=rig.settings.model_copy(update={"reports": limits})).turn()
    until(lambda: rig.receiver.requests, "the request of a sender that does not wait any more")
    (run,) = rig.runs(report)
    (delivery,) = rig.deliveries(run)
    assert (delivery.state, len(rig.receiver.requests)) == (state, 1)
    assert error in delivery.error
    assert run.status == ("failed" if state == "failed" else "generated")
    if state == "failed":
        return
    rig.receiver.answer = lambda _: 200
    rig.runner().turn()
    assert len(rig.receiver.requests) == 1, "it was tried again without a wait"
    rig.clock.advance(minutes=5)
    rig.runner().turn()
    assert rig.runs(report)[0].status == "delivered"
    assert len(set(rig.receiver.keys)) == 1


def test_what_cannot_be_delivered_for_a_day_is_given_up_and_visible(rig: Rig) -> None:
    report = rig.report(rig.hook())
    rig.receiver.answer = lambda _: 503
    rig.clock.advance(hours=1)
    runner = rig.runner()
    for _ in range(60):
        runner.turn()
        if rig.runs(report)[-1].finished_at is not None:
            break
        rig.clock.advance(minutes=61)
    run = rig.runs(report)[-1]
    (delivery,) = rig.deliveries(run)
    assert (run.status, delivery.error) == ("failed", "given up: the receiver answered 503")
    assert 20 <= delivery.attempts <= 40
    assert rig.clock.now - START < timedelta(hours=27)
    counted = rig.metrics.registry.get_sample_value
    assert counted("gavel_reports_runs_total", {"status": "failed"}) == 1.0
    assert counted("gavel_reports_deliveries_total", {"kind": "webhook", "outcome": "failed"}) == 1.0


def test_a_webhook_that_resolves_to_a_private_address_is_not_called(rig: Rig) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    closed = rig.settings.model_copy(update={"api": rig.settings.api.model_copy(update={"allowed_webhook_hosts": ()})})
    rig.runner(settings=closed).turn()
    (run,) = rig.runs(report)
    (delivery,) = rig.deliveries(run)
    assert (run.status, rig.receiver.requests) == ("failed", [])
    assert "is not a public address" in delivery.error


def test_a_webhook_whose_name_leads_to_a_private_address_is_not_called_although_it_did_not_before(rig: Rig) -> None:
    """The address is checked when it is connected to: a name may lead elsewhere since the target was written."""
    sender = HttpSender(allowed=(), timeout_s=PATIENCE_S, now_s=time.time, resolve=lambda *_: ["127.0.0.1"])
    target = DeliveryTarget("webhook", f"http://hooks.example.com:{rig.receiver.port}/hook", "", SecretStr("key"))
    outcome = sender.webhook(target, ReportMessage("i", "t", "", "", {}))
    assert (outcome.ending, rig.receiver.requests) == ("failed", [])
    assert "is not a public address" in outcome.error


def test_a_million_results_with_one_reasoning_are_one_kind_of_failure(rig: Rig) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    rig.results(1_000_000, 400_000)
    rig.runner().turn()
    (run,) = rig.runs(report)
    assert run.content is not None
    assert run.content["figures"]["counts"] | {"scored": 0} == {
        "results": 1_000_000, "pass": 400_000, "fail": 600_000, "scored": 0, "not_applicable": 0, "skipped": 0,
    }  # fmt: skip
    assert [each["count"] for each in run.content["examples"]["typical"]] == [200]
    assert len(rig.receiver.requests[0][1]) < 100_000


def test_a_mail_server_that_refuses_for_good_or_for_now(rig: Rig) -> None:
    report = rig.report(rig.mail())
    rig.mailbox.refusal = "450 later"
    rig.clock.advance(hours=1)
    rig.runner().turn()
    (run,) = rig.runs(report)
    assert rig.deliveries(run)[0].error == "the mail server refused the recipient (450)"
    rig.mailbox.refusal = "550 nobody"
    rig.clock.advance(minutes=2)
    rig.runner().turn()
    (run,) = rig.runs(report)
    assert (run.status, rig.deliveries(run)[0].error) == ("failed", "the mail server refused the recipient (550)")
    assert rig.mailbox.mails == []


def test_a_mail_server_that_is_down_gets_the_report_when_it_is_back(rig: Rig) -> None:
    report = rig.report(rig.mail())
    rig.clock.advance(hours=1)
    port = rig.mailbox.port
    away = rig.settings.reports.smtp.model_copy(update={"port": 1})
    reports = rig.settings.reports.model_copy(update={"smtp": away})
    rig.runner(settings=rig.settings.model_copy(update={"reports": reports})).turn()
    assert rig.runs(report)[0].status == "generated"
    rig.clock.advance(minutes=2)
    assert rig.mailbox.port == port
    rig.runner().turn()
    assert (rig.runs(report)[0].status, len(rig.mailbox.mails)) == ("delivered", 1)


def test_without_a_mail_server_the_run_says_which_setting_is_missing(rig: Rig) -> None:
    report = rig.report(rig.mail())
    rig.clock.advance(hours=1)
    none = rig.settings.reports.smtp.model_copy(update={"host": None})
    reports = rig.settings.reports.model_copy(update={"smtp": none})
    rig.runner(settings=rig.settings.model_copy(update={"reports": reports})).turn()
    (run,) = rig.runs(report)
    assert run.status == "failed"
    assert "reports.smtp.host is not set" in rig.deliveries(run)[0].error


@pytest.mark.parametrize("gone", ["evaluation", "report", "switched off"])
def test_what_was_deleted_between_due_and_delivery_is_not_delivered(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    report = rig.report(rig.hook())
    rig.clock.advance(hours=1)
    with monkeypatch.context() as patch:
        patch.setattr(Deliverer, "deliver", dying(Deliverer.deliver, "before", [], "x"))
        with pytest.raises(Killed):
            rig.runner().turn()
    if gone == "evaluation":
        evaluations = Evaluations(rig.database)
        evaluations.update(
            TEAM,
            rig.evaluation_id,
            lambda found: found.model_copy(update={"deleted": True}),
            actor="key:1",
            now=rig.clock.now,
        )
    else:
        change = {"deleted": True} if gone == "report" else {"enabled": False}
        EvaluationReports(rig.database).update(TEAM, report.id, change, actor="key:1", now=rig.clock.now)
    rig.clock.advance(seconds=61)
    rig.runner().turn()
    (run,) = rig.runs(report)
    assert (run.status, rig.receiver.requests) == ("failed", [])
    assert gone in run.error
