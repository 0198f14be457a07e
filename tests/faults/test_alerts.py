"""Every alert fires in a real Prometheus by its fault and ends after the repair, and every panel has data there.

One deployment of real processes under load is scraped every second. The rules are those that are shipped, sixty times
as fast (`tests.faults.quick_rules`). One fault is not whole: that a judge moved is written into the store, because
anchors need a dozen runs to see it (`tests.faults.judging_faults`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from config.files import read_definitions
from evaluators.llm_judge.budget import Amount
from examples.stand_in.client import StandInServer
from processor.exit_codes import EXIT_STALLED
from storage.apply import apply_definitions
from storage.clickhouse import connect
from storage.sql.budgets import Budgets, evaluation_scope
from storage.sql.evaluations import Evaluations
from storage.sql.revision import bump
from tests.faults.judging_faults import break_clustering, deceive_a_judge, shift_the_pass_rate, watch_with_anchors
from tests.faults.panels import promql_queries, sql_queries
from tests.faults.pipeline import TEAM, Pipeline, pipeline
from tests.faults.quick_rules import alerts
from tests.faults.watched import SETTINGS, Watched, send_fresh
from tests.services.kafka import KafkaServer
from tests.services.postgres import fresh_database
from tests.services.tcp_proxy import TcpProxy
from tests.services.topic_settings import set_topic
from tests.services.waiting import PATIENCE_S

LOADED = {"GavelBehind", "GavelSinkBehind", "GavelLagGrows", "GavelFrontierStalled"}
"""Alerts on seconds behind, which are so few here that a busy machine fires them; at rest nothing is behind."""
_UNFIT_HOG = """
name: does not fit its inputs
enabled: true
evaluation_type: hog
evaluation_config: {source: "return 1 / length('') = 1"}
"""
_BROKEN_HOG = """
name: always fails
enabled: true
evaluation_type: hog
evaluation_config: {source: "throw Error('a fault')"}
"""
_SMALL_BUDGET = """
name: nearly out of money
enabled: true
evaluation_type: llm_judge
evaluation_config: {prompt: "Is it polite?"}
output_type: boolean
budget: {period: month, tokens: 100}
"""
_HEALTHY_FOR_S = 6.0


@pytest.fixture(scope="module")
def played(
    postgres_server: str, stand_in_server: StandInServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """The scene after all of its faults and repairs."""
    folder = tmp_path_factory.mktemp("watched")
    stand_in_server.reset()
    with fresh_database(postgres_server) as dsn, TcpProxy() as broker:
        address, _, database = dsn.rpartition("/")
        head, _, port = address.rpartition(":")
        with (
            TcpProxy(int(port)) as store,
            KafkaServer(advertised_port=broker.port) as kafka,
            pipeline(
                kafka.bootstrap_servers, stand_in_server.base_url, SETTINGS, store_dsn=f"{head}:{store.port}/{database}"
            ) as gavel,
        ):
            broker.forward_to(kafka.proxied_port)
            with closing(Watched(gavel, store=store, broker=broker, folder=folder)) as scene:
                play(scene, stand_in_server)
                yield scene


def play(scene: Watched, provider: StandInServer) -> None:
    healthy(scene)
    wrong_definitions(scene, provider)
    faults_of_the_stream(scene, provider)
    servers_away(scene)
    processes_away(scene)
    scene.ends(scene.fired)


def healthy(scene: Watched) -> None:
    """Everything is judged and stored, nothing is behind although transactions leave markers, and nothing fires."""
    for _ in range(20):
        send_fresh(scene.gavel)
    scene.watch()
    scene.gavel.wait(lambda: scene.prometheus.query("sum(gavel_sink_rows_total) > 40"), "rows")
    at_rest = "max(gavel_lag_seconds) == 0 and max(gavel_consumer_lag) == 0 and min(up) == 1"
    scene.gavel.wait(lambda: scene.prometheus.query(at_rest), "nothing is behind")
    scene.begin()
    scene.quiet(_HEALTHY_FOR_S, apart_from=LOADED)


def wrong_definitions(scene: Watched, provider: StandInServer) -> None:
    """Wrong definitions, verdicts and anchors, a budget that is nearly used up, a receiver of reports that refuses."""
    gavel = scene.gavel
    apply(gavel, scene.folder / "definitions", _UNFIT_HOG, _BROKEN_HOG, _SMALL_BUDGET)
    spend(gavel)
    provider.script({"action": "refuse_json_schema"})  # no alert, but a panel shows it
    sound = change_conditions(gavel, '[{"id": 5}]')
    scene.load.age = timedelta(minutes=20)  # it takes a while until late results are a share of an hour's
    scene.reports.refuse()
    scene.fires("GavelReportNotDelivered")
    scene.reports.hang()
    shift_the_pass_rate(gavel)
    deceive_a_judge(gavel)
    watch_with_anchors(gavel)
    break_clustering(gavel)
    scene.fires(
        "GavelEvaluatorErrors", "GavelEvaluationSwitchedOff", "GavelBudgetNearlySpent", "GavelDefinitionsBroken",
        "GavelPassRateShifted", "GavelCanarySucceeded", "GavelJudgeMoved", "GavelAnchorsOverdue",
        "GavelClusteringFailing",
    )  # fmt: skip
    watch_with_anchors(gavel, enabled=False)
    change_conditions(gavel, sound)
    mended = (
        _UNFIT_HOG.replace("''", "'a'"),
        _BROKEN_HOG.replace("true", "false"),
        _SMALL_BUDGET.replace("100", "1000000000"),
    )
    apply(gavel, scene.folder / "mended", *mended)


def faults_of_the_stream(scene: Watched, provider: StandInServer) -> None:
    """ClickHouse, the provider's key, odd events, poison, a thread that hangs, and a full disk, all at once."""
    gavel, load = scene.gavel, scene.load
    gavel.clickhouse.kill()
    provider.reset()
    provider.script({"action": "unauthorized"})
    gavel.arm("matcher", "hang")
    scene.disk.fill()
    load.poisons, load.future = True, True
    scene.fires(
        "GavelClickHouseTakesNothing", "GavelSinkBehind", "GavelLagGrows", "GavelFrontierStalled", "GavelKeyInvalid",
        "GavelEvaluationSwitchedOff", "GavelProviderFailing", "GavelBreakerOpen", "GavelParkedTooOld", "GavelBehind",
        "GavelLatencyBudgetBurnsFast", "GavelLatencyBudgetBurnsSlowly", "GavelDeadLetters", "GavelDeadLetterRatio",
        "GavelEventsFromTheFuture", "GavelDiskFilling", "GavelStalled",
        "GavelReportOverdue", "GavelReportDeliveryFailing",
    )  # fmt: skip
    gavel.wait(
        lambda: any(each.code == EXIT_STALLED and each.why.startswith("replaced") for each in gavel.exits()),
        "the stack of `doomed.hang` in the log of a process that the watchdog ended",
    )
    gavel.clickhouse.start()
    provider.reset()
    gavel.disarm()
    scene.disk.empty()
    scene.reports.take()
    load.age, load.poisons, load.future = timedelta(), False, False


def servers_away(scene: Watched) -> None:
    """The store is gone, the front door's broker is silent, and the broker refuses all results for their size."""
    scene.store.refuse()
    scene.broker.stall()
    set_topic(scene.gavel.kafka, scene.gavel.topics.results, "max.message.bytes", 100)
    scene.fires(
        "GavelApiFails", "GavelDefinitionsOld", "GavelFrontDoorFails", "GavelFrontDoorNotReady", "GavelFrontDoorSlow",
        "GavelTransactionsAborted",
    )  # fmt: skip
    set_topic(scene.gavel.kafka, scene.gavel.topics.results, "max.message.bytes", 16_777_216)
    scene.store.resume()
    scene.broker.resume()


def processes_away(scene: Watched) -> None:
    """A role that nobody runs and whose records are removed, reports with a wrong broker, processes that are killed."""
    gavel = scene.gavel
    for name in ("matcher", "matcher-2", "reports"):
        gavel.remove(name)
    for process in gavel.processes.values():
        process.kill()
    scene.start("reports", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9")  # nobody listens there
    scene.fires("GavelDown", "GavelRoleMissing")
    ends = [TopicPartition(gavel.topics.events, number, -1) for number in range(4)]
    admin = AdminClient({"bootstrap.servers": gavel.kafka})
    for future in admin.delete_records(ends).values():
        future.result(PATIENCE_S)
    scene.start("matcher", "matcher-2")
    scene.fires("GavelRangeLost", "GavelRestarting", "GavelWindowsRestarting")
    gavel.stop("reports")
    scene.start("reports")


def change_conditions(gavel: Pipeline, conditions: str) -> str:
    """Write the conditions of an evaluation into the store, past the checks of every front; return those before."""
    where = "WHERE name = 'Code fences are closed'"
    with gavel.database.write() as connection:
        before = connection.execute(sa.text(f"SELECT conditions FROM evaluations {where}")).scalar_one()
        change = sa.text(f"UPDATE evaluations SET conditions = :new, revision = :revision {where}")
        connection.execute(change, {"new": conditions, "revision": bump(connection, TEAM)})
    return before if isinstance(before, str) else json.dumps(before)


def apply(gavel: Pipeline, folder: Path, *documents: str) -> None:
    folder.mkdir()
    for number, text in enumerate(documents):
        (folder / f"{number}.yaml").write_text(text)
    wanted, problems = read_definitions([folder])
    assert not problems, problems
    apply_definitions(gavel.database, TEAM, wanted, actor="faults", now=datetime.now(UTC))


def spend(gavel: Pipeline) -> None:
    """Use most of the small budget up, as earlier runs would have."""
    (found,) = [each for each in Evaluations(gavel.database).each(TEAM) if each.budget is not None]
    assert found.budget is not None
    scope = evaluation_scope(str(found.id), found.budget)
    budgets, now = Budgets(gavel.database), datetime.now(UTC)
    budgets.settle(budgets.reserve([scope], Amount(95, 0), now), Amount(95, 0))


@pytest.mark.timeout(1200)
def test_every_alert_fires_by_its_fault_and_ends_after_the_repair(played: Watched) -> None:
    assert played.fired == alerts()
    assert played.ended == played.fired


def test_every_panel_of_prometheus_has_data(played: Watched) -> None:
    now_s = time.time()
    empty = [each for each in promql_queries() if not played.prometheus.data(each[1], played.began_s, now_s)]
    assert not empty, "\n".join(f"{title}: {expression}" for title, expression in empty)


def test_every_panel_of_clickhouse_has_data(played: Watched) -> None:
    evaluations = [str(each.id) for each in Evaluations(played.gavel.database).each(TEAM)]
    with closing(connect(played.gavel.clickhouse.dsn, request_timeout_s=PATIENCE_S)) as client:
        empty = [title for title, query in sql_queries(TEAM, evaluations) if not client.query(query).result_rows]
    assert empty == []
