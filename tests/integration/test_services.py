"""The servers under the tests are real, do what their classes say, and never outlive whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.cimpl import NewTopic

from tests.services.cache import CHECKOUT
from tests.services.kafka import KafkaServer, kafka_jars
from tests.services.ports import accepts
from tests.services.postgres import fresh_database
from tests.services.process import ServiceError
from tests.services.shared import ended_servers, shared_server
from tests.services.topics import make_topics
from tests.services.waiting import PATIENCE_S, until


def make_topic(bootstrap: str) -> str:
    name = f"services-{uuid.uuid4().hex}"
    make_topics(bootstrap, NewTopic(name, 1, 1))
    return name


def write(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 12_000_000})
    producer.produce(topic, value)
    assert producer.flush(PATIENCE_S) == 0


def read(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 12_000_000,
        }
    )
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, timeout=PATIENCE_S)
        assert [message.error() for message in messages] == [None] * count
        return [message.value() for message in messages]
    finally:
        consumer.close()


def test_kafka_takes_and_gives_back_a_record_of_ten_megabytes(kafka: str) -> None:
    topic = make_topic(kafka)
    write(kafka, topic, b"x" * 10_000_000)
    assert read(kafka, topic, 1) == [b"x" * 10_000_000]


def test_kafka_commits_a_transaction_with_its_offsets(kafka: str) -> None:
    """The transaction coordinator works with one broker: exactly-once tests depend on it."""
    topic = make_topic(kafka)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(topic, b"in a transaction")
    producer.commit_transaction(PATIENCE_S)
    assert read(kafka, topic, 1) == [b"in a transaction"]


def test_a_broker_keeps_its_data_and_its_port_over_a_kill(own_kafka: KafkaServer) -> None:
    topic = make_topic(own_kafka.bootstrap_servers)
    write(own_kafka.bootstrap_servers, topic, b"before")
    address = own_kafka.bootstrap_servers
    own_kafka.kill()
    own_kafka.start()
    assert own_kafka.bootstrap_servers == address
    assert read(address, topic, 1) == [b"before"]


def test_every_postgres_dsn_is_an_empty_database(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_a_server_ends_with_the_process_that_started_it_even_if_that_is_killed() -> None:
    code = (
        "import sys, time; from tests.services.postgres import PostgresServer; s = PostgresServer(); s.start();"
        "print(s._process.pid, s.folder, flush=True); time.sleep(100)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    with owner:
        pid, folder = owner.stdout.readline().split()
        os.kill(int(pid), 0)
        owner.kill()
    until(lambda: not Path(folder).exists(), f"the end of {folder}, which the warden of {pid} removes last")
    assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


def takes_connections(dsn: str) -> bool:
    try:
        psycopg.connect(dsn.replace("+psycopg", ""), connect_timeout=10).close()
    except psycopg.OperationalError:
        return False
    return True


def port_of(dsn: str) -> int:
    return int(dsn.rpartition(":")[2].partition("/")[0])


def wait_until_closed(port: int) -> None:
    until(lambda: not accepts(port), "the end of a server that nobody needs")


def test_those_who_run_at_once_share_one_server_which_stops_after_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAVEL_CACHE", str(tmp_path))
    with shared_server("postgres") as first:
        with shared_server("postgres") as second:
            assert second == first
        assert accepts(port_of(first))
    wait_until_closed(port_of(first))
    with shared_server("postgres") as again:
        assert accepts(port_of(again))
    wait_until_closed(port_of(again))


def test_a_shared_server_stops_when_the_only_one_who_needs_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAVEL_CACHE", str(tmp_path))
    code = (
        "import time; from tests.services.shared import shared_server\n"
        "with shared_server('postgres') as dsn: print(dsn, flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        dsn = holder.stdout.readline()
        assert accepts(port_of(dsn))
        holder.kill()
    wait_until_closed(port_of(dsn))


def test_a_shared_server_that_ended_by_itself_is_started_again_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAVEL_CACHE", str(tmp_path))
    with shared_server("postgres") as dsn, fresh_database(dsn) as database:
        port = port_of(dsn)
        listening = [each for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == port]
        (server,) = {each.pid for each in listening if each.pid and each.status == psutil.CONN_LISTEN}
        os.kill(server, signal.SIGKILL)
        until(lambda: ended_servers() and takes_connections(database), "the server again, with its data")
        (told,) = ended_servers()
    assert told.startswith("The shared postgres ended by itself (")
    assert "exit code -9. The end of " in told


def test_a_server_that_cannot_be_had_fails_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAVEL_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match=r"apt-get install maven.*GAVEL_TEST_KAFKA"):
        kafka_jars()
    with pytest.raises(ServiceError, match=r"could not start:(.|\n)*apt-get install openjdk"), shared_server("kafka"):
        pass
