"""The Faust application's way to Kafka: the settings of `kafka.*` for aiokafka, and committed records only."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types.transports import TransportT
from mode.threads import ServiceThread, WorkerThread
from yarl import URL

from config.log_repeats import FirstOfMany
from config.settings.kafka import Kafka

_COMMITTED = "read_committed"


class UnsupportedKafka(ValueError):
    """The Kafka settings ask for something that Faust's driver cannot do; the text says what to set instead."""


_DRIVERS = ("aiokafka", "faust", "mode")


def quieten() -> None:
    """Let the driver say the same thing once in 30 s: while a broker is away it does so fifty times a second.

    Each of its loggers gets the filter, because a filter of a parent does not hold for its children.
    """
    repeats = FirstOfMany()
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        if name.partition(".")[0] in _DRIVERS and not any(isinstance(each, FirstOfMany) for each in logger.filters):
            logger.setLevel(logging.WARNING)
            logger.addFilter(repeats)


class _DaemonWorker(WorkerThread):
    """A thread that does not keep a process alive whose main thread has ended."""

    def __init__(self, service: ServiceThread, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True


class CommittedConsumerThread(driver.AIOKafkaConsumerThread):
    """Reads committed records only.

    The driver does so only where Faust's own transactions are on. Results are written in transactions, so without
    this the windows would count those of an aborted one.
    """

    Worker = _DaemonWorker

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = _COMMITTED  # noqa: SLF001  # the driver has no option; it is read at the start
        return consumer


class CommittedConsumer(driver.Consumer):
    """The driver's consumer, on the thread above."""

    def _new_consumer_thread(self) -> CommittedConsumerThread:
        return CommittedConsumerThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """The driver's transport, with the consumer above."""

    Consumer = CommittedConsumer


class CommittedApp(faust.App):
    """A Faust application whose consumer reads committed records only."""

    def _new_transport(self) -> TransportT:
        return CommittedTransport(self.conf.broker_consumer, self)


def broker_options(kafka: Kafka, bootstrap_servers: str) -> dict[str, Any]:
    """Return the options of the application that name the brokers and how to log in.

    Raises:
        UnsupportedKafka: the driver cannot log in that way.
    """
    brokers = [URL(f"aiokafka://{address.strip()}") for address in bootstrap_servers.split(",") if address.strip()]
    options: dict[str, Any] = {"broker": brokers}
    if kafka.security_protocol == "PLAINTEXT":
        return options
    context = _tls(kafka) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol == "SSL":
        return options | {"broker_credentials": faust.SSLCredentials(context)}
    if kafka.sasl_mechanism in ("OAUTHBEARER", "GSSAPI"):
        raise UnsupportedKafka(
            f"kafka.sasl_mechanism: the live windows cannot log in by {kafka.sasl_mechanism}; use PLAIN or SCRAM, or "
            "set windows.source to clickhouse"
        )
    password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
    credentials = faust.SASLCredentials(
        username=kafka.sasl_username, password=password, ssl_context=context, mechanism=kafka.sasl_mechanism
    )
    return options | {"broker_credentials": credentials}


def _tls(kafka: Kafka) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(kafka.ssl_ca_location) if kafka.ssl_ca_location else None)
    if kafka.ssl_certificate_location is not None:
        password = kafka.ssl_key_password.get_secret_value() if kafka.ssl_key_password else None
        context.load_cert_chain(kafka.ssl_certificate_location, kafka.ssl_key_location, password)
    return context
