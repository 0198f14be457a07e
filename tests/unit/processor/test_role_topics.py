"""Which topics a role reads and writes is decided in one place, which its subscription, rights and lag follow."""

from __future__ import annotations

from unittest.mock import ANY

import pytest

from cli import kafka_view
from config.settings import Settings
from processor.kafka_access import rights_needed
from processor.role_topics import topics_read, topics_written

ROLES = ("matcher", "judge", "sink")


def settings(*, archive: bool = True) -> Settings:
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "u"}
    kafka = {"bootstrap_servers": "kafka:9092", "sasl_password": "p", **login}
    clickhouse = {"dsn": "http://clickhouse/gavel", "archive_events": archive}
    return Settings.model_validate({"kafka": kafka, "clickhouse": clickhouse})


@pytest.mark.parametrize("archive", [True, False])
def test_the_sink_reads_events_only_to_archive_them(archive: bool) -> None:
    given = settings(archive=archive)
    assert (given.kafka.topics.events in topics_read(given, "sink")) is archive
    assert given.kafka.topics.measurements in topics_read(given, "sink")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_needs_the_rights_to_what_it_reads_and_writes(role: str) -> None:
    given = settings()
    needed = rights_needed(given, [role])
    assert {name for name, rights in needed.items() if "READ" in rights} == set(topics_read(given, role))
    assert {name for name, rights in needed.items() if "WRITE" in rights} == set(topics_written(given, role))


def test_a_topic_that_a_role_reads_is_written_by_a_role_or_from_outside() -> None:
    given = settings()
    read = {name for role in ROLES for name in topics_read(given, role)}
    written = {name for role in ROLES for name in topics_written(given, role)}
    assert read - written == {given.kafka.topics.events}
    assert written - read == {given.kafka.topics.dead_letters}


def test_the_lag_of_a_role_is_of_all_that_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    given, asked = settings(), {}

    class Admin:
        admin = ANY

        def list_topics(self, _timeout_s: float) -> object:
            return type("Cluster", (), {"topics": {}, "brokers": {}})

    def lag(_admin: object, group: str, names: list[str], _ends: object) -> dict[str, int]:
        asked[group] = list(names)
        return {}

    monkeypatch.setattr(kafka_view, "_lag", lag)
    monkeypatch.setattr(kafka_view, "_groups", lambda *_: {})
    monkeypatch.setattr("processor.kafka_access.forbidden_topics", lambda *_: [])
    monkeypatch.setattr("processor.topic_settings.refused_for_replicas", lambda *_: [])
    kafka_view.view(Admin(), given)  # type: ignore[arg-type]
    assert asked == {given.kafka.group(role): topics_read(given, role) for role in ROLES}
