"""The broker goes away and comes back, the network breaks (delivery.md, item 2)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.pipeline import Pipeline, pipeline
from tests.services.kafka import KafkaServer
from tests.services.tcp_proxy import TcpProxy
from tests.stand_in.client import StandInServer

OUTAGE_S = 16.0
"""Longer than `kafka.message_timeout_s` (12 s here) and than the group's session (6 s), so that all that a minute
would let run out under the defaults (30 s, 45 s) runs out; the soak has outages of all lengths."""


@pytest.fixture(scope="module")
def network() -> Iterator[TcpProxy]:
    with TcpProxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def broker(network: TcpProxy) -> Iterator[KafkaServer]:
    with KafkaServer(advertised_port=network.port) as server:
        network.forward_to(server.proxied_port)
        yield server


@pytest.fixture(scope="module")
def gavel(broker: KafkaServer, network: TcpProxy, stand_in_server: StandInServer) -> Iterator[Pipeline]:
    with pipeline(broker.bootstrap_servers, stand_in_server.base_url, through=network.address) as made:
        made.start()
        made.send(20)
        made.check()
        yield made


def test_a_broker_dies_and_is_back_at_once_under_load(gavel: Pipeline, broker: KafkaServer) -> None:
    """Not by SIGTERM: a lone broker that ends in good order forgets commits (docs/delivery.md, "A lone broker")."""
    gavel.send(60, over_s=0.5)
    broker.kill()
    broker.start()
    gavel.send(60, over_s=0.5)
    gavel.check()


def test_a_broker_is_killed_under_load_and_stays_away(gavel: Pipeline, broker: KafkaServer) -> None:
    gavel.send(100, over_s=0.5)
    broker.kill()
    gavel.send(40)
    time.sleep(OUTAGE_S)
    broker.start()
    gavel.send(40)
    gavel.check(limit_s=120)


def test_connections_are_cut_and_stalled_under_load(gavel: Pipeline, network: TcpProxy) -> None:
    """Cut in the middle of transactions; then silent for longer than the group's session."""
    for _ in range(6):
        gavel.send(25, over_s=0.4)
        network.cut()
    network.stall()
    time.sleep(8.0)
    network.resume()
    gavel.send(20)
    gavel.check()


def test_a_broker_hangs_with_its_connections_open(gavel: Pipeline, broker: KafkaServer) -> None:
    gavel.send(60, over_s=0.5)
    broker.freeze()
    time.sleep(7.0)
    broker.thaw()
    gavel.send(20)
    gavel.check()
