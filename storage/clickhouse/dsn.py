"""Where ClickHouse is: `chdb://…` in this process, or a server by HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from storage.clickhouse.errors import BadDsn

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_SCHEMES = {"http": False, "https": True, "clickhouse": False, "clickhouses": True}
_NUMBERS = ("connect_timeout", "send_receive_timeout")
_TEXTS = ("ca_cert", "client_cert", "client_cert_key", "server_host_name", "compress")
_FLAGS = ("secure", "verify")
_FORMS = "chdb:///absolute/path, chdb://relative/path, http(s)://user:password@host:8123/database or clickhouse://…"


@dataclass(frozen=True, slots=True)
class EmbeddedDsn:
    """A directory that chdb opens in this process.

    Attributes:
        path: as given; relative to the working directory.
    """

    path: str
    database: str = "default"

    @property
    def redacted(self) -> str:
        """The DSN for people; it has no secrets."""
        return f"chdb://{self.path}"


@dataclass(frozen=True, slots=True)
class ServerDsn:
    """A ClickHouse server's HTTP interface.

    Attributes:
        options: of the transport: timeouts in seconds, certificates.
    """

    host: str
    port: int
    secure: bool
    database: str
    username: str
    password: str = field(repr=False)
    options: dict[str, str | int | bool] = field(default_factory=dict)

    @property
    def redacted(self) -> str:
        """The DSN for people, without the password."""
        who = f"{self.username}:***@" if self.password else f"{self.username}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{who}{host}:{self.port}/{self.database}"


def parse_dsn(dsn: str) -> EmbeddedDsn | ServerDsn:
    """Return what `dsn` names.

    Raises:
        BadDsn: it names nothing that Gavel knows; the message never repeats a password.
    """
    scheme, separator, rest = dsn.strip().partition("://")
    scheme = scheme.lower()
    if not separator or (scheme != "chdb" and scheme not in _SCHEMES):
        raise BadDsn(f"clickhouse.dsn does not begin with a known scheme; give {_FORMS}")
    return _embedded(rest) if scheme == "chdb" else _server(scheme, rest)


def _embedded(rest: str) -> EmbeddedDsn:
    location, _, query = rest.partition("?")
    path = unquote(location)
    if not path.strip("/"):
        raise BadDsn("clickhouse.dsn: chdb:// needs a directory, such as chdb://.gavel/clickhouse")
    options = _query(query, allowed=("database",))
    return EmbeddedDsn(path=path, database=_identifier(options.get("database", "default")))


def _server(scheme: str, rest: str) -> ServerDsn:
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port
    except ValueError:
        # The standard library's message repeats the address with its password.
        raise BadDsn("clickhouse.dsn: the host or port cannot be read; special characters need %-encoding") from None
    if not parts.hostname:
        raise BadDsn(f"clickhouse.dsn names no host; give {_FORMS}")
    options = _query(parts.query, allowed=(*_NUMBERS, *_TEXTS, *_FLAGS))
    secure = _SCHEMES[scheme] or _flag("secure", options.pop("secure", "false"))
    return ServerDsn(
        host=parts.hostname,
        port=port or (8443 if secure else 8123),
        secure=secure,
        database=_identifier(unquote(parts.path.strip("/")) or "default"),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        options={name: _option(name, value) for name, value in options.items()},
    )


def _query(query: str, *, allowed: tuple[str, ...]) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - set(allowed))
    if unknown:
        raise BadDsn(f"clickhouse.dsn: unknown option {unknown[0]!r}; known here: {', '.join(sorted(allowed))}")
    return options


def _option(name: str, value: str) -> str | int | bool:
    if name in _FLAGS:
        return _flag(name, value)
    if name not in _NUMBERS:
        return value
    if not value.isdigit() or int(value) == 0:
        raise BadDsn(f"clickhouse.dsn: {name} must be a whole number of seconds above 0")
    return int(value)


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise BadDsn(f"clickhouse.dsn: {name} must be true or false")
    return value.lower() in ("true", "1")


def _identifier(name: str) -> str:
    if not _IDENTIFIER.match(name):
        raise BadDsn("clickhouse.dsn: the database name may hold letters, digits and _ only, and begins with no digit")
    return name


def embedded_directory(dsn: EmbeddedDsn) -> Path:
    """Return the absolute directory of an embedded DSN."""
    return Path(dsn.path).expanduser().resolve()
