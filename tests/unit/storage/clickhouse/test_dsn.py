from __future__ import annotations

import pytest

from storage.clickhouse.dsn import EmbeddedDsn, ServerDsn, parse_dsn
from storage.clickhouse.errors import BadDsn


@pytest.mark.parametrize(
    ("dsn", "path", "database"),
    [
        ("chdb:///var/lib/gavel", "/var/lib/gavel", "default"),
        ("chdb://.gavel/clickhouse", ".gavel/clickhouse", "default"),
        ("chdb://data", "data", "default"),
        ("chdb:///with%20space/x?database=gavel", "/with space/x", "gavel"),
        ("CHDB:///x", "/x", "default"),
    ],
)
def test_an_embedded_directory_may_be_absolute_or_relative(dsn: str, path: str, database: str) -> None:
    assert parse_dsn(dsn) == EmbeddedDsn(path, database)


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("http://localhost", ("localhost", 8123, False, "default", "", "")),
        ("https://u:p%40w%2F@ch.example:443/gavel", ("ch.example", 443, True, "gavel", "u", "p@w/")),
        ("clickhouse://u@ch.example/gavel", ("ch.example", 8123, False, "gavel", "u", "")),
        ("clickhouse://ch.example/gavel?secure=true", ("ch.example", 8443, True, "gavel", "", "")),
        ("clickhouses://[::1]/gavel", ("::1", 8443, True, "gavel", "", "")),
    ],
)
def test_a_server_is_read_from_its_url(dsn: str, expected: tuple[object, ...]) -> None:
    found = parse_dsn(dsn)
    assert isinstance(found, ServerDsn)
    assert (found.host, found.port, found.secure, found.database, found.username, found.password) == expected


def test_options_of_the_transport_are_typed() -> None:
    found = parse_dsn("https://h/d?connect_timeout=3&verify=false&ca_cert=%2Fca.pem")
    assert isinstance(found, ServerDsn)
    assert found.options == {"connect_timeout": 3, "verify": False, "ca_cert": "/ca.pem"}


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("", "scheme"),
        ("postgres://h/d", "scheme"),
        ("localhost:8123", "scheme"),
        ("chdb://", "directory"),
        ("chdb:///", "directory"),
        ("chdb:///x?databse=g", "'databse'"),
        ("http://", "host"),
        ("http://user:s3cret@host:port/db", "port"),
        ("http://user:s3cret@host:99999/db", "port"),
        ("http://user:s3cret@h/db?timeout=3", "'timeout'"),
        ("http://user:s3cret@h/db?connect_timeout=soon", "connect_timeout"),
        ("http://user:s3cret@h/db?connect_timeout=0", "connect_timeout"),
        ("http://user:s3cret@h/db?verify=perhaps", "verify"),
        ("http://user:s3cret@h/a%60b", "database"),
        ("http://user:s3cret@h/a;drop", "database"),
    ],
)
def test_what_names_nothing_is_refused_with_the_part_and_without_the_password(dsn: str, says: str) -> None:
    with pytest.raises(BadDsn) as error:
        parse_dsn(dsn)
    assert says in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_dsn_for_people_has_no_password() -> None:
    found = parse_dsn("https://u:s3cret@h:1/d")
    assert found.redacted == "https://u:***@h:1/d"
    assert "s3cret" not in repr(found)
