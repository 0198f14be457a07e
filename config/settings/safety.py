"""Combinations of settings that would lose, repeat or expose something: refused, with the reason."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

if TYPE_CHECKING:
    from config.settings.root import Settings

ROLES = ("matcher", "judge", "sink", "reports")
"""Roles that `gavel run` starts together unless `--role` names some."""

_CLICKHOUSE_SCHEMES = ("chdb://", "http://", "https://", "clickhouse://", "clickhouses://")
_BROKER_TRANSACTION_LIMIT_S = 900.0
"""`transaction.max.timeout.ms` of a broker that was left as it comes."""


def is_fernet_key(text: str) -> bool:
    """Whether `text` is 32 bytes in URL-safe base64."""
    try:
        return len(base64.urlsafe_b64decode(text.encode("ascii"))) == 32
    except (binascii.Error, UnicodeEncodeError):
        return False


def find_unsafe(settings: Settings) -> str | None:
    """Return the first problem as `setting: what is wrong; what to do`, or None."""
    for check in (_store, _clickhouse, _timeouts, _security, _files, _embedded_broker, _watchdog, _bounds, _ports):
        for problem in check(settings):
            return problem
    return None


def refuse_workers(settings: Settings, role: str) -> str | None:
    """Return why several processes of a role cannot run on these settings, or None: embedded parts belong to one."""
    if settings.kafka.is_embedded:
        return (
            "kafka.bootstrap_servers: 'embedded' is a broker inside one process, so --workers would make several that "
            "do not see each other; leave --workers out, or set GAVEL_KAFKA__BOOTSTRAP_SERVERS to a real broker"
        )
    if role != "ingest" and settings.clickhouse.dsn.get_secret_value().startswith("chdb://"):
        return (
            "clickhouse.dsn: chdb locks its folder for one process, so --workers needs a server; leave --workers out, "
            "or set GAVEL_CLICKHOUSE__DSN, such as http://user:password@host:8123/gavel"
        )
    return None


def refuse_roles(settings: Settings, roles: Collection[str]) -> str | None:
    """Return why a process may not run just `roles`, or None.

    Embedded parts belong to one process, so roles that run apart could not see each other's work.
    """
    if set(roles) >= set(ROLES):
        return None
    chosen = ", ".join(sorted(roles))
    if settings.kafka.is_embedded:
        return (
            f"kafka.bootstrap_servers: 'embedded' is a broker inside one process, so {chosen} alone would wait for "
            "events for ever; leave --role out, or set GAVEL_KAFKA__BOOTSTRAP_SERVERS to a real broker"
        )
    own = [role for role in ("sink", "reports") if role in roles]
    if own and settings.clickhouse.dsn.get_secret_value().startswith("chdb://"):
        return (
            f"clickhouse.dsn: chdb locks its folder for one process, so with the {own[0]} in its own process nothing "
            "else could read the results; leave --role out, or set GAVEL_CLICKHOUSE__DSN to a server, such as "
            "http://user:password@host:8123/gavel"
        )
    return None


def cautions(settings: Settings, roles: Collection[str] = ROLES) -> list[str]:
    """Return settings that are allowed but worth a warning, as `setting: reason; remedy`."""
    found: list[str] = []
    kafka = settings.kafka
    if kafka.security_protocol == "SASL_PLAINTEXT" and kafka.sasl_mechanism == "PLAIN":
        found.append("kafka.security_protocol: SASL_PLAINTEXT sends the password unencrypted; use SASL_SSL")
    if kafka.is_embedded:
        found.append("kafka.bootstrap_servers: the embedded broker keeps nothing; set a real broker for production")
    if settings.store.dsn.get_secret_value().startswith("sqlite") and not set(roles) >= set(ROLES):
        found.append(
            "store.dsn: processes share an SQLite file only on one machine's own disk; use PostgreSQL across machines"
        )
    if settings.delivery == "at_least_once":
        found.append("delivery: at_least_once may write a result twice under one id; readers must take distinct ids")
    if not settings.secret_keys:
        found.append("secret_keys: without a key no provider key can be stored; make one with `gavel keys new-secret`")
    return found


def _store(settings: Settings) -> Iterator[str]:
    try:
        url = make_url(settings.store.dsn.get_secret_value())
    except ArgumentError:
        yield "store.dsn: is not a URL; write sqlite:///path or postgresql://user:password@host:5432/database"
        return
    dialect = url.get_backend_name()
    if dialect in ("postgres", "postgresql"):
        if not url.database:
            yield "store.dsn: names no database; add it at the end, as in postgresql://user:password@host:5432/gavel"
    elif dialect != "sqlite":
        yield f"store.dsn: {dialect} is not supported; use sqlite:///path or postgresql://user:password@host:5432/name"
    elif not url.database or url.database == ":memory:" or "mode=memory" in url.database:
        yield "store.dsn: an SQLite store in memory is lost at exit and each connection has its own; name a file"


def _clickhouse(settings: Settings) -> Iterator[str]:
    dsn = settings.clickhouse.dsn.get_secret_value()
    if not dsn.startswith(_CLICKHOUSE_SCHEMES):
        yield "clickhouse.dsn: has no known scheme; write chdb:///absolute/path or http://user:password@host:8123/name"
    elif dsn.startswith("chdb://") and not dsn.startswith("chdb:///"):
        if dsn.split("?")[0].removeprefix("chdb://").split("/")[0] == "memory":
            yield "clickhouse.dsn: chdb://memory loses every result at exit; write chdb:///absolute/path"
        else:
            yield f"clickhouse.dsn: the path after chdb:// must be absolute; write chdb://{Path.cwd()}/..."


def _timeouts(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    if settings.delivery == "exactly_once":
        if kafka.message_timeout_s >= kafka.transaction_timeout_s:
            yield (
                f"kafka.message_timeout_s: {kafka.message_timeout_s:g} is not below kafka.transaction_timeout_s "
                f"({kafka.transaction_timeout_s:g}), so a broker would end a transaction whose records may come yet; "
                "lower the one or raise the other"
            )
        if kafka.transaction_timeout_s > _BROKER_TRANSACTION_LIMIT_S:
            yield (
                f"kafka.transaction_timeout_s: {kafka.transaction_timeout_s:g} is above the brokers' limit of "
                f"{_BROKER_TRANSACTION_LIMIT_S:g} (transaction.max.timeout.ms); lower it"
            )
        for name in ("matcher", "judge"):
            interval_s = getattr(settings, name).commit_interval_s
            if interval_s >= kafka.transaction_timeout_s:
                yield (
                    f"{name}.commit_interval_s: {interval_s:g} is not below kafka.transaction_timeout_s "
                    f"({kafka.transaction_timeout_s:g}); lower it"
                )
    if kafka.session_timeout_s > kafka.max_poll_interval_s:
        yield (
            f"kafka.session_timeout_s: {kafka.session_timeout_s:g} is above kafka.max_poll_interval_s "
            f"({kafka.max_poll_interval_s:g}), which librdkafka refuses; lower it"
        )
    judge = settings.judge
    if judge.call_deadline_s > judge.run_deadline_s:
        yield (
            f"judge.call_deadline_s: {judge.call_deadline_s:g} is above judge.run_deadline_s "
            f"({judge.run_deadline_s:g}), so a call could outlive its run; lower it"
        )
    if judge.read_timeout_s > judge.call_deadline_s:
        yield (
            f"judge.read_timeout_s: {judge.read_timeout_s:g} is above judge.call_deadline_s "
            f"({judge.call_deadline_s:g}) and never applies; lower it"
        )


def _security(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    sasl = kafka.security_protocol.startswith("SASL_")
    if sasl and kafka.sasl_mechanism is None:
        yield f"kafka.sasl_mechanism: {kafka.security_protocol} needs one; set PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    if not sasl and (kafka.sasl_mechanism or kafka.sasl_username or kafka.sasl_password):
        yield (
            f"kafka.security_protocol: {kafka.security_protocol} ignores the SASL settings that are given, so the "
            "connection would be anonymous; set SASL_SSL, or leave them out"
        )
    if kafka.sasl_mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        for name in ("sasl_username", "sasl_password"):
            if not getattr(kafka, name):
                yield f"kafka.{name}: {kafka.sasl_mechanism} needs it; set GAVEL_KAFKA__{name.upper()}"
    if not kafka.security_protocol.endswith("SSL"):
        for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location", "ssl_key_password"):
            if getattr(kafka, name):
                yield (
                    f"kafka.security_protocol: {kafka.security_protocol} does not use TLS but kafka.{name} is set; "
                    f"set {'SASL_SSL' if sasl else 'SSL'}, or leave it out"
                )
    if (kafka.ssl_certificate_location is None) != (kafka.ssl_key_location is None):
        yield "kafka.ssl_certificate_location: a certificate needs its key and a key its certificate; set both or none"


def _files(settings: Settings) -> Iterator[str]:
    for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
        path: Path | None = getattr(settings.kafka, name)
        if path is not None and not path.exists():
            yield f"kafka.{name}: {path} does not exist; mount the file or correct the path"


def _embedded_broker(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    if not kafka.bootstrap_servers.strip():
        yield "kafka.bootstrap_servers: is empty; write host:port,host:port, or embedded"
    elif "://" in kafka.bootstrap_servers:
        yield "kafka.bootstrap_servers: is a URL; write host:port,host:port, the protocol as kafka.security_protocol"
    elif kafka.is_embedded and kafka.security_protocol != "PLAINTEXT":
        yield (
            f"kafka.security_protocol: the embedded broker does not speak {kafka.security_protocol}; "
            "set kafka.bootstrap_servers to the broker that does"
        )


def _watchdog(settings: Settings) -> Iterator[str]:
    slowest: dict[str, float] = {
        "judge.run_deadline_s": settings.judge.run_deadline_s,
        "judge.hog_limit_s": settings.judge.hog_limit_s,
        "kafka.transaction_timeout_s": settings.kafka.transaction_timeout_s,
        "clickhouse.request_timeout_s": settings.clickhouse.request_timeout_s,
    }
    name = max(slowest, key=slowest.__getitem__)
    if settings.watchdog.stall_s <= slowest[name]:
        yield (
            f"watchdog.stall_s: {settings.watchdog.stall_s:g} is not above {name} ({slowest[name]:g}), "
            "so work that is only slow would be killed, again and again; raise it"
        )


def _bounds(settings: Settings) -> Iterator[str]:
    for name in ("matcher", "judge", "sink"):
        limit = getattr(settings, name).max_in_flight_bytes
        if limit < settings.kafka.max_message_bytes:
            yield (
                f"{name}.max_in_flight_bytes: {limit} is below kafka.max_message_bytes "
                f"({settings.kafka.max_message_bytes}), so one large record would stop the role; raise it"
            )
    judge = settings.judge
    pairs: tuple[tuple[str, float, str, float], ...] = (
        (
            "matcher.batch_size",
            settings.matcher.batch_size,
            "matcher.max_in_flight_records",
            settings.matcher.max_in_flight_records,
        ),
        ("judge.concurrency", judge.concurrency, "judge.max_in_flight_records", judge.max_in_flight_records),
        (
            "sink.batch_rows",
            settings.sink.batch_rows,
            "sink.max_in_flight_records",
            settings.sink.max_in_flight_records,
        ),
        ("judge.retry_initial_s", judge.retry_initial_s, "judge.retry_max_s", judge.retry_max_s),
        ("judge.park_initial_s", judge.park_initial_s, "judge.park_max_s", judge.park_max_s),
        ("judge.park_max_s", judge.park_max_s, "judge.park_limit_s", judge.park_limit_s),
        ("sink.retry_initial_s", settings.sink.retry_initial_s, "sink.retry_max_s", settings.sink.retry_max_s),
    )
    for low, low_value, high, high_value in pairs:
        if low_value > high_value:
            yield f"{low}: {low_value:g} is above {high} ({high_value:g}) and never applies; lower it or raise that"


def _ports(settings: Settings) -> Iterator[str]:
    taken: dict[tuple[str, int], str] = {}
    for name in ("http", "api", "ingest"):
        section = getattr(settings, name)
        other = taken.setdefault((section.host, section.port), name)
        if section.port and other != name:
            yield f"{name}.port: {section.port} is {other}.port too; give each server a port of its own"
