"""Evaluation reports with processes killed at each step and everything around them away: deliveries are counted.

Exactly once is impossible where a process dies between the send and the note of it. Then a webhook and a mail come
twice under one key, by which the receiver knows the repetition, and a Slack message, which has no key, does not come
again and its delivery says so.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from reports.evaluation_reports.deliver import UNKNOWN
from tests.faults.report_role import ReportRole, report_role
from tests.services.kafka import KafkaServer
from tests.services.postgres import fresh_database


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="module")
def role(broker: KafkaServer, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportRole]:
    with (
        fresh_database(postgres_server) as dsn,
        report_role(broker.bootstrap_servers, dsn, tmp_path_factory.mktemp("reports")) as made,
    ):
        yield made


@pytest.fixture(autouse=True)
def receivers_that_have_nothing(role: ReportRole) -> None:
    role.receiver.requests.clear()
    role.receiver.paths.clear()
    role.mailbox.mails.clear()
    role.receiver.answer = lambda _: 200


BEFORE_ANYTHING_LEFT = ("after_claim", "after_generation", "before_send")
"""Steps at which a death costs nothing: the receivers get the report once."""


def test_a_run_whose_processes_are_killed_at_every_step(role: ReportRole) -> None:
    deaths = len(role.deaths())
    role.arm(BEFORE_ANYTHING_LEFT[0])
    report = role.due(role.hook(), role.mail(), role.slack(), results=200)
    # Each step is taken by whoever took the run over. `after_send` for the second time is that of the next target,
    # because the message before it is sent again first.
    for step, times in (*((name, 1) for name in BEFORE_ANYTHING_LEFT[1:]), ("after_send", 1), ("after_send", 2)):
        deaths += 1
        role.await_death(deaths)
        assert role.requests("/hook") == [] or step == "after_send"
        role.arm(step, times)
        role.end_leases()
    role.await_death(deaths + 1)
    role.arm("after_send", 2)
    role.end_leases()
    role.await_death(deaths + 2)
    role.end_leases()
    run = role.finished(report)
    assert role.deaths() == [-9] * len(role.deaths())
    assert run.content is not None
    assert run.content["figures"]["counts"]["results"] == 200

    hooks, slacks = role.requests("/hook"), role.requests("/hook/slack")
    assert [headers["Idempotency-Key"] for headers, _ in hooks] == [f"{run.id}:0"] * 2
    assert len({body for _, body in hooks}) == 1, "a repetition is the same message"
    for headers, body in hooks:
        signed = f"{headers['X-Gavel-Timestamp']}.".encode() + body
        expected = hmac.new(b"the-key-of-this-test", signed, hashlib.sha256).hexdigest()
        assert headers["X-Gavel-Signature"] == f"v1={expected}"
    assert role.mailbox.ids == [f"<{run.id}.1@example.com>"] * 2
    assert len(slacks) == 1, "Slack would show a repetition, so there is none"

    hook, mail, slack = role.deliveries(report)
    assert (run.status, hook.state, mail.state) == ("partial_failure", "delivered", "delivered")
    assert (slack.state, slack.error, slack.attempts) == ("failed", UNKNOWN, 1)
    assert len(set(role.events(report))) == 1
    unknown = role.metric("gavel_reports_deliveries_total", kind="slack", outcome="unknown")
    assert sum(unknown) == 1, "what could not be delivered is in a metric, which GavelReportNotDelivered watches"


def test_a_slack_message_that_may_have_left_is_visible_although_it_never_came(role: ReportRole) -> None:
    deaths = len(role.deaths())
    role.arm("before_send")
    report = role.due(role.slack())
    role.await_death(deaths + 1)
    role.end_leases()
    assert role.finished(report).status == "failed"
    (slack,) = role.deliveries(report)
    assert (slack.error, role.receiver.requests) == (UNKNOWN, [])


def test_a_mail_server_that_is_down_gets_the_report_once_when_it_is_back(role: ReportRole) -> None:
    role.mailbox.close()
    report = role.due(role.mail(), role.hook())

    def told() -> bool:
        return any("mail server does not answer" in each.error for each in role.deliveries(report))

    role.wait(told, "the delivery says that the mail server is away")
    assert sum(role.metric("gavel_reports_deliveries_total", kind="email", outcome="retry")) >= 1
    role.mailbox.open_again()
    assert role.finished(report).status == "delivered"
    assert (len(role.mailbox.mails), len(role.receiver.requests)) == (1, 1)


def test_clickhouse_is_down_and_the_report_waits_for_its_figures(role: ReportRole) -> None:
    report = role.due(role.hook(), results=100)
    first = role.finished(report)
    assert first.content is not None
    assert first.content["figures"]["counts"]["results"] == 100
    role.clickhouse.kill()
    report = role.due(role.hook())
    role.wait(lambda: (run := role.run(report)) is not None and run.attempts, "the figures were asked for")
    waiting = role.run(report)
    assert waiting is not None
    assert (waiting.status, waiting.content) == ("pending", None)
    assert "figures are not available" in waiting.error
    role.clickhouse.start()
    run = role.finished(report)
    assert run.content is not None
    assert (run.status, run.content["metrics_unavailable"]) == ("delivered", False)
    assert len(role.receiver.requests) == 2


def test_the_store_is_down_and_every_report_that_was_due_comes_once(role: ReportRole) -> None:
    role.wait(lambda: all(role.ready(each) for each in role.processes), "both processes are ready")
    role.store.refuse()
    reports = [role.due(role.hook()) for _ in range(3)]
    role.wait(lambda: not any(role.ready(each) for each in role.processes), "the probes say that the store is away")
    role.wait(
        lambda: min(role.metric("gavel_reports_overdue_seconds"), default=0) > 0.5,
        "the metric that GavelReportOverdue watches grows",
    )
    assert role.receiver.requests == []
    role.store.resume()
    runs = [role.finished(report) for report in reports]
    assert [run.status for run in runs] == ["delivered"] * 3
    assert sorted(role.receiver.keys) == sorted(f"{run.id}:0" for run in runs)
    role.wait(lambda: max(role.metric("gavel_reports_overdue_seconds")) == 0, "nothing is overdue any more")


def test_the_store_goes_away_between_the_send_and_its_note(role: ReportRole) -> None:
    """The process keeps the outcome until the store is back, so the message does not leave again."""

    def answer(_: BaseHTTPRequestHandler) -> int:
        role.store.refuse()
        threading.Timer(2.0, role.store.resume).start()
        return 200

    role.receiver.answer = answer
    report = role.due(role.hook())
    assert role.finished(report).status == "delivered"
    assert len(role.receiver.requests) == 1


def test_the_broker_is_restarted_and_the_report_and_its_event_come_once(role: ReportRole, broker: KafkaServer) -> None:
    restart = threading.Thread(target=broker.restart)
    restart.start()
    reports = [role.due(role.hook()) for _ in range(3)]
    runs = [role.finished(report) for report in reports]
    restart.join()
    assert [run.status for run in runs] == ["delivered"] * 3
    assert sorted(role.receiver.keys) == sorted(f"{run.id}:0" for run in runs)
    for report in reports:
        role.wait(lambda each=report: role.events(each), "the event is in the results topic")
        assert len(set(role.events(report))) == 1
