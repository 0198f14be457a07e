"""Outages of ClickHouse, of the store of definitions, and of the provider (docs/delivery.md)."""

from __future__ import annotations

import time

import pytest

from examples.stand_in.client import StandInServer
from tests.faults.pipeline import Pipeline, pipeline
from tests.services.tcp_proxy import TcpProxy

NONSENSE = ("malformed", "html", "not_json", "empty_body", "no_choices", "truncated", "cut_body")


@pytest.mark.parametrize("code", [252, 241], ids=["too many parts", "memory limit"])
def test_clickhouse_refuses(gavel: Pipeline, code: int) -> None:
    gavel.clickhouse.fail(refuse_code=code, refuse_times=4)
    gavel.send(80, over_s=1.0)
    gavel.check()


def test_clickhouse_accepts_and_its_answer_is_lost(gavel: Pipeline) -> None:
    """Cut connections after the rows were stored: they are inserted again, and readers see them once."""
    gavel.clickhouse.fail(cut_times=3)
    gavel.send(80, over_s=1.0)
    gavel.check()


def test_clickhouse_times_out_and_stores_the_rows_all_the_same(gavel: Pipeline) -> None:
    """Answers come after the sink's time limit, while the insert goes on: two copies are on their way at a time."""
    gavel.clickhouse.fail(slow_s=6.0)
    gavel.send(80, over_s=1.0)
    gavel.wait(lambda: gavel.logged("sink", "clickhouse_blocked"), "the time limit passes")
    gavel.clickhouse.fail()
    gavel.check()


def test_clickhouse_is_down_and_evaluation_goes_on(gavel: Pipeline) -> None:
    gavel.clickhouse.kill()
    gavel.send(80, over_s=1.0)

    def in_kafka() -> bool:
        gavel.results.read()
        return gavel.expected <= gavel.results.ids.keys()

    gavel.wait(in_kafka, "all results are in Kafka while ClickHouse is down")
    gavel.clickhouse.start()
    gavel.check()
    assert not any(each.name == "sink" for each in gavel.exits()), "the sink waits; it does not end"


def test_the_provider_refuses_hangs_cuts_and_talks_nonsense(gavel: Pipeline, stand_in_server: StandInServer) -> None:
    """One verdict or skip for each run, whatever the provider does meanwhile."""
    stand_in_server.script(
        {"action": {"do": "rate_limited", "retry_after": "1"}, "times": 2},
        {"action": "normal", "times": 2},
        {"action": "hang", "times": 2},
        {"action": "cut", "times": 2},
        *({"action": action, "times": 1} for action in NONSENSE),
        {"action": "server_error"},  # until it is well again: the breaker opens, and runs are parked
    )
    gavel.send(160, over_s=2.0)
    gavel.wait(lambda: stand_in_server.stats()["statuses"].get("500", 0) >= 6, "an outage")
    stand_in_server.reset()
    gavel.check()


@pytest.fixture
def store_proxy(postgres_dsn: str) -> tuple[TcpProxy, str]:
    address, _, database = postgres_dsn.rpartition("/")
    head, _, port = address.rpartition(":")
    proxy = TcpProxy(int(port))
    return proxy, f"{head}:{proxy.port}/{database}"


def test_the_store_is_down_at_the_start_and_later(
    kafka: str, stand_in_server: StandInServer, store_proxy: tuple[TcpProxy, str]
) -> None:
    """Without definitions nothing is consumed: a failed load is not "no evaluations". With them, Hog goes on."""
    proxy, dsn = store_proxy
    with proxy, pipeline(kafka, stand_in_server.base_url, store_dsn=dsn) as gavel:
        proxy.refuse()
        gavel.start()
        gavel.send(60)
        time.sleep(8.0)
        assert not gavel.logged("matcher", "partitions_assigned"), "it consumed without definitions"
        assert not gavel.logged("judge", "partitions_assigned"), "it consumed without definitions"
        proxy.resume()
        gavel.check()
        proxy.refuse()
        hog_only = [each for each in gavel.evaluations if each.evaluation_type == "hog"]
        before = gavel.results.ids.total()
        gavel.send(60)

        def most_are_there() -> bool:
            gavel.results.read()
            return gavel.results.ids.total() - before >= 20 * len(hog_only)

        gavel.wait(most_are_there, "Hog verdicts go on while the store is down")
        proxy.resume()
        gavel.check()
