"""The proxy forwards faithfully, and breaks connections in exactly the way it is told to."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from examples.stand_in.client import StandInServer
from tests.services.kafka import KafkaServer
from tests.services.tcp_proxy import TcpProxy
from tests.services.topics import make_topics
from tests.services.waiting import PATIENCE_S, until


@pytest.fixture
def echo(tcp_proxy: TcpProxy) -> Iterator[TcpProxy]:
    """A proxy in front of an echo server."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while chunk := connection.recv(65536):
                    connection.sendall(chunk)
            except OSError:
                return  # cut, as the test wants it

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed at the end of the test
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    tcp_proxy.forward_to(listener.getsockname()[1])
    yield tcp_proxy
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S)


def send_all(connection: socket.socket, content: bytes) -> None:
    connection.sendall(content)
    connection.shutdown(socket.SHUT_WR)


def read_exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = connection.recv(65536)
        assert chunk, f"ended after {len(received)} bytes"
        received += chunk
    return received


def test_bytes_pass_unchanged_in_both_directions_and_the_end_is_passed_on(echo: TcpProxy) -> None:
    sent = bytes(range(256)) * 20_000
    with connect(echo) as connection:
        writer = threading.Thread(target=send_all, args=(connection, sent))
        writer.start()
        assert read_exactly(connection, len(sent)) == sent
        assert connection.recv(1) == b""
        writer.join()


def test_a_cut_resets_open_connections_and_lets_new_ones_in(echo: TcpProxy) -> None:
    with connect(echo) as before:
        before.sendall(b"x")
        assert before.recv(1) == b"x"
        echo.cut()
        with pytest.raises(ConnectionResetError):
            before.recv(1)
    with connect(echo) as after:
        after.sendall(b"y")
        assert after.recv(1) == b"y"


def test_a_stall_moves_nothing_and_loses_nothing(echo: TcpProxy) -> None:
    with connect(echo) as connection:
        echo.stall()
        connection.sendall(b"held")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(4)
        echo.resume()
        connection.settimeout(PATIENCE_S)
        assert read_exactly(connection, 4) == b"held"


def test_refusing_is_seen_as_refused_until_it_resumes(echo: TcpProxy) -> None:
    echo.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(echo)
    echo.resume()
    with connect(echo) as connection:
        connection.sendall(b"z")
        assert connection.recv(1) == b"z"


def test_a_target_that_is_not_there_resets_the_client(tcp_proxy: TcpProxy) -> None:
    with pytest.raises(ConnectionResetError), connect(tcp_proxy) as connection:
        connection.recv(1)


def test_a_cut_in_front_of_a_provider_is_a_connection_error_of_its_client(
    tcp_proxy: TcpProxy, stand_in: StandInServer
) -> None:
    tcp_proxy.forward_to(int(stand_in.url.rpartition(":")[2]))
    stand_in.script({"action": "hang", "times": 1})
    with openai.OpenAI(base_url=f"{tcp_proxy.url}/v1", api_key="k", max_retries=0, timeout=PATIENCE_S) as client:

        def cut() -> None:
            until(lambda: stand_in.stats()["in_flight"], "a request in flight")
            tcp_proxy.cut()

        cutter = threading.Thread(target=cut)
        cutter.start()
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        cutter.join()
        assert client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}]).choices


def test_all_traffic_of_a_kafka_client_goes_through_the_proxy(tcp_proxy: TcpProxy) -> None:
    """Not only its bootstrap: while the proxy refuses, a client that knows the broker cannot deliver."""
    with KafkaServer(advertised_port=tcp_proxy.port) as broker:
        tcp_proxy.forward_to(broker.proxied_port)
        topic = f"proxied-{uuid.uuid4().hex}"
        make_topics(tcp_proxy.address, NewTopic(topic, 1, 1))
        producer = Producer({"bootstrap.servers": tcp_proxy.address, "reconnect.backoff.max.ms": 200, "log_level": 0})
        delivered: list[object] = []
        producer.produce(topic, b"1", on_delivery=lambda error, _: delivered.append(error))
        producer.flush(PATIENCE_S)
        tcp_proxy.refuse()
        producer.produce(topic, b"2", on_delivery=lambda error, _: delivered.append(error))
        assert producer.flush(1.5) == 1
        with pytest.raises(KafkaException):
            AdminClient({"bootstrap.servers": tcp_proxy.address, "log_level": 0}).list_topics(timeout=1)
        tcp_proxy.resume()
        assert producer.flush(PATIENCE_S) == 0
        assert delivered == [None, None]


def test_a_broker_and_its_data_are_gone_after_close() -> None:
    with KafkaServer() as broker:
        folder, pid = broker.folder, broker.pid
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()
