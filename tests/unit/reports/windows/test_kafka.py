"""The driver logs in as the settings of `kafka` say, refuses what it cannot do, and does not flood the log."""

from __future__ import annotations

import logging

import aiokafka  # noqa: F401  # its loggers exist
import faust
import pytest

from config.settings.kafka import Kafka
from reports.windows.kafka import UnsupportedKafka, broker_options, quieten

SASL = {"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password": "hunter2"}


def test_brokers_and_credentials_are_those_of_the_settings() -> None:
    plain = broker_options(Kafka(bootstrap_servers="a:1, b:2"), "a:1, b:2")
    assert [str(broker) for broker in plain["broker"]] == ["aiokafka://a:1", "aiokafka://b:2"]
    assert "broker_credentials" not in plain
    scram = broker_options(Kafka(**SASL, sasl_mechanism="SCRAM-SHA-512"), "a:1")["broker_credentials"]
    assert isinstance(scram, faust.SASLCredentials)
    assert (scram.username, scram.password, scram.mechanism.value) == ("u", "hunter2", "SCRAM-SHA-512")
    assert scram.protocol.value == "SASL_SSL"
    assert "hunter2" not in repr(scram)
    tls = broker_options(Kafka(security_protocol="SSL"), "a:1")["broker_credentials"]
    assert isinstance(tls, faust.SSLCredentials)
    assert tls.context.check_hostname


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "GSSAPI"])
def test_a_login_that_the_driver_cannot_do_is_refused_with_the_remedy(mechanism: str) -> None:
    with pytest.raises(UnsupportedKafka, match=r"set windows\.source to clickhouse"):
        broker_options(Kafka(security_protocol="SASL_SSL", sasl_mechanism=mechanism), "a:1")


def test_the_driver_says_the_same_thing_once(caplog: pytest.LogCaptureFixture) -> None:
    quieten()
    logger = logging.getLogger("aiokafka.conn")
    logger.addHandler(caplog.handler)
    for _ in range(50):
        logger.error("Unable connect to node with id 1: refused")
    logger.error("something else")
    assert sorted({record.message for record in caplog.records}) == [
        "Unable connect to node with id 1: refused",
        "something else",
    ]
    assert len([record for record in caplog.records if "refused" in record.message]) <= 2
