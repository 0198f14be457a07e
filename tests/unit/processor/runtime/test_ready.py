"""The probe tells that a role has no partitions, and a broker without KIP-848 is joined the classic way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from prometheus_client import CollectorRegistry

from config.settings import load_settings
from processor.kafka import EmbeddedBroker, KafkaClients
from processor.metrics import Metrics
from processor.runtime import process, vitals
from processor.runtime.process import Runtime
from processor.runtime.vitals import SINK_BLOCKED
from processor.stream import stage
from processor.stream.limits import GroupProtocolUnsupported, StageLimits
from processor.stream.stage import Stage
from storage.heartbeat import HeartbeatWriter
from storage.sql.heartbeats import Heartbeats

PARTITIONS = [TopicPartition("events", 0), TopicPartition("events", 1)]


class Anything:
    """Takes every call."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_, **__: None


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stage that has subscribed; `member.now_s` is the clock."""
    clock = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(stage, "monotonic", lambda: clock.now_s)
    nothing: Any = Anything()
    made: Any = Stage(
        "matcher", ["events"], nothing, nothing, nothing, StageLimits(rejoin_s=60.0), Metrics(CollectorRegistry())
    )
    made.subscribed, made._joining_s, made.clock = True, clock.now_s, clock
    return made


def test_a_role_is_ready_while_it_has_partitions(member: Any) -> None:
    assert member.waits_for_partitions, "it has joined and was given none yet"
    member._on_assign(None, PARTITIONS)
    assert (member.partitions, member.waits_for_partitions) == (2, False)
    member._on_lost(None, PARTITIONS)
    member.clock.now_s += 10_000
    assert (member.partitions, member.waits_for_partitions) == (0, True), "for as long as it takes"
    member._on_assign(None, PARTITIONS)
    assert not member.waits_for_partitions


def test_a_spare_process_is_ready_after_the_time_of_a_rebalance(member: Any) -> None:
    """There may be more processes than partitions; a rollout must not wait for one that will have none."""
    member.clock.now_s += 59
    assert member.waits_for_partitions
    member.clock.now_s += 2
    assert not member.waits_for_partitions


def test_a_role_that_gave_its_partitions_to_others_is_ready(member: Any) -> None:
    member._on_assign(None, PARTITIONS)
    member._release([("events", 0), ("events", 1)], "revoked")
    assert (member.partitions, member.waits_for_partitions) == (0, False)


@pytest.mark.parametrize(
    "how", ["Broker: API version not supported", "Local: Required feature not supported by broker"]
)
def test_a_broker_without_kip_848_is_told_from_other_fatal_errors(member: Any, how: str) -> None:
    error = KafkaError(KafkaError._FATAL, f"Fatal error: {how}: ConsumerGroupHeartbeat fatal error: {how}")
    with pytest.raises(GroupProtocolUnsupported, match="group_protocol"):
        member._intake._on_message_error(error)


class Unsupported(Anything):
    """A stage on a broker that has only classic groups."""

    def run(self) -> None:
        raise GroupProtocolUnsupported("not supported")


@pytest.mark.parametrize(("protocol", "falls_back"), [("auto", True), ("consumer", False)])
def test_a_role_begins_again_with_classic_groups_if_the_settings_allow_it(
    protocol: str, falls_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(
        environ={"GAVEL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "GAVEL_KAFKA__GROUP_PROTOCOL": protocol}
    )
    made, nothing = [], Anything()
    database: Any = nothing
    runtime = Runtime(settings, ["sink"], database, Metrics(CollectorRegistry()))
    assert runtime.clients.group_protocol == "consumer"
    monkeypatch.setitem(process.BUILDERS, "sink", lambda _: made.append(runtime.clients.group_protocol) or nothing)
    runtime._run_stage("sink", Unsupported())
    assert made == (["classic"] if falls_back else [])
    assert bool(runtime.errors()) is not falls_back


def test_a_role_whose_thread_waits_in_a_commit_is_not_ready(member: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client reports nothing meanwhile, so the figures of its connections are old."""
    settings = load_settings(environ={"GAVEL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    database: Any = Anything()
    runtime = Runtime(settings, ["sink"], database, Metrics(CollectorRegistry()))
    member.heartbeat_s = 1000.0
    runtime._stages["sink"] = member
    for module in (process, vitals):
        monkeypatch.setattr(module, "monotonic", lambda: member.clock.now_s)
    told = "Kafka, of which no broker is connected or answers: sink"
    loaded: Any = SimpleNamespace(current=SimpleNamespace(revision=1))
    runtime._snapshots = loaded
    assert runtime._ready()[1].get("waiting_for") != told
    member.clock.now_s += 16.0
    ready, details = runtime._ready()
    assert (ready, details["waiting_for"]) == (False, told)
    state, reason = vitals._state(member, loaded, Metrics(CollectorRegistry()))
    assert (state, "no broker of Kafka is connected or answers" in reason) == ("waiting", True)


def test_a_role_that_polls_and_whose_commit_has_no_answer_is_not_ready(
    member: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitals, "monotonic", lambda: member.clock.now_s)
    member._pending, member._last_commit_s = Anything(), member.clock.now_s
    member.clock.now_s += 16.0
    member.heartbeat_s = member.clock.now_s
    metrics = Metrics(CollectorRegistry())
    assert vitals.kafka_away(member, metrics)
    member._pending = None
    assert not vitals.kafka_away(member, metrics)


@pytest.fixture
def working(member: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The process of a sink that does its work; `working.ahead_s` says how far its clock is ahead of the store's."""
    settings = load_settings(environ={"GAVEL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    database: Any = Anything()
    runtime: Any = Runtime(settings, ["sink"], database, Metrics(CollectorRegistry()))
    runtime.ahead_s = 0.1
    monkeypatch.setattr(Heartbeats, "write", lambda *_, **__: runtime.ahead_s)
    for module in (process, vitals):
        monkeypatch.setattr(module, "monotonic", lambda: member.clock.now_s)
    member._on_assign(None, PARTITIONS)
    member.heartbeat_s = member.clock.now_s
    runtime._stages["sink"], runtime._snapshots = member, SimpleNamespace(current=SimpleNamespace(revision=1))
    runtime._heartbeat = HeartbeatWriter(database, {})
    return runtime


def test_a_role_that_works_names_no_trouble(working: Any) -> None:
    working._heartbeat.beat()
    ready, details = working._ready()
    assert ready
    assert not {"waiting_for", "clock", "blocked"} & details.keys()


def test_a_sink_that_clickhouse_blocks_says_so_and_stays_ready(working: Any) -> None:
    """Another process would be blocked too, so a restart would not help."""
    working._metrics.set("gavel_sink_blocked", 1)
    ready, details = working._ready()
    assert (ready, details["blocked"]) == (True, SINK_BLOCKED)
    working._metrics.set("gavel_sink_blocked", 0)
    assert "blocked" not in working._ready()[1]


def test_a_clock_that_differs_from_the_stores_is_named_until_it_is_right(working: Any) -> None:
    working.ahead_s = 7200.0
    working._heartbeat.beat()
    ready, details = working._ready()
    assert (ready, details["clock"]) == (True, "its clock is 7200 s ahead of the store's")
    working.ahead_s = 0.1
    working._heartbeat.beat()
    assert "clock" not in working._ready()[1]


def test_a_clock_that_jumped_is_named(working: Any) -> None:
    host = SimpleNamespace(now=datetime(2026, 3, 1, tzinfo=UTC))
    database: Any = Anything()
    working._heartbeat = HeartbeatWriter(database, {}, clock=lambda: host.now)
    host.now += timedelta(hours=2)
    working._heartbeat.beat()
    ready, details = working._ready()
    assert (ready, details["clock"]) == (True, "its clock jumped 7200 s forward within the last hour")


def test_the_embedded_broker_has_classic_groups() -> None:
    settings = load_settings(environ={})
    broker: EmbeddedBroker = Anything()
    assert KafkaClients(settings, broker).group_protocol == "classic"
