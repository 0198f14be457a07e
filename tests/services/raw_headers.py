"""Records whose headers no Python client would write: librdkafka itself produces them."""

from __future__ import annotations

import ctypes

import confluent_kafka.cimpl

_TOPIC, _VALUE, _MSGFLAGS, _HEADERS, _END = 1, 4, 7, 10, 0
_COPY = 2
_PRODUCER = 0


def produce_with_header(bootstrap_servers: str, topic: str, value: bytes, name: bytes, content: bytes) -> None:
    """Produce one record with one header of any name, and wait until the broker has it."""
    kafka = ctypes.CDLL(confluent_kafka.cimpl.__file__)
    for function in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(kafka, function).restype = ctypes.c_void_p
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(kafka.rd_kafka_conf_new())
    assert kafka.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap_servers.encode(), error, 512) == 0, error.value
    client = ctypes.c_void_p(kafka.rd_kafka_new(_PRODUCER, conf, error, ctypes.c_size_t(512)))
    assert client.value, error.value
    headers = ctypes.c_void_p(kafka.rd_kafka_headers_new(ctypes.c_size_t(1)))
    length = ctypes.c_ssize_t
    assert kafka.rd_kafka_header_add(headers, name, length(len(name)), content, length(len(content))) == 0
    flags = (_VALUE, value, ctypes.c_size_t(len(value)), _MSGFLAGS, _COPY, _HEADERS, headers, _END)
    assert kafka.rd_kafka_producev(client, _TOPIC, topic.encode(), *flags) == 0
    assert kafka.rd_kafka_flush(client, 30_000) == 0
    kafka.rd_kafka_destroy(client)
