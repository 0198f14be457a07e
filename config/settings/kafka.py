"""Settings of the Kafka connection, and the librdkafka options that they become."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from config.settings.section import Count, OptionMap, Seconds, SettingsSection

EMBEDDED = "embedded"
"""`bootstrap_servers` that asks for librdkafka's in-process broker."""

Option = bool | int | float | SecretStr | str

_SECRET_OPTION = re.compile(r"password|secret|token|\.pem$|sasl\.oauthbearer\.config|jaas", re.IGNORECASE)

_OWNED_OPTIONS = {
    "bootstrap.servers": "set kafka.bootstrap_servers",
    "metadata.broker.list": "set kafka.bootstrap_servers",
    "security.protocol": "set kafka.security_protocol",
    "sasl.mechanism": "set kafka.sasl_mechanism",
    "sasl.mechanisms": "set kafka.sasl_mechanism",
    "sasl.username": "set kafka.sasl_username",
    "sasl.password": "set kafka.sasl_password",
    "ssl.ca.location": "set kafka.ssl_ca_location",
    "ssl.certificate.location": "set kafka.ssl_certificate_location",
    "ssl.key.location": "set kafka.ssl_key_location",
    "ssl.key.password": "set kafka.ssl_key_password",
    "client.id": "set kafka.client_id",
    "group.id": "set kafka.group_prefix; each role's group is named after it",
    "message.timeout.ms": "set kafka.message_timeout_s",
    "delivery.timeout.ms": "set kafka.message_timeout_s",
    "transaction.timeout.ms": "set kafka.transaction_timeout_s",
    "session.timeout.ms": "set kafka.session_timeout_s",
    "max.poll.interval.ms": "set kafka.max_poll_interval_s",
    "message.max.bytes": "set kafka.max_message_bytes",
    "enable.auto.commit": "offsets are committed together with the results that answer them, never by a timer",
    "enable.auto.offset.store": "an offset is stored when its work is durable, never when it is read",
    "auto.commit.interval.ms": "nothing is committed by a timer; matcher.commit_interval_s sets the pace",
    "auto.offset.reset": "a new group starts at the oldest event; `latest` would skip events without a trace",
    "isolation.level": "consumers read committed records only, or a crash would show results twice",
    "enable.idempotence": "producers are idempotent, or a retry would write a result twice",
    "transactional.id": "each role has a stable one; a changing one lets a dead process's transaction block readers",
    "acks": "a result counts as written when all replicas in sync have it",
    "request.required.acks": "a result counts as written when all replicas in sync have it",
    "max.in.flight": "the idempotent producer sets it; another value breaks the order of results",
    "max.in.flight.requests.per.connection": "the idempotent producer sets it",
    "partition.assignment.strategy": "the roles choose it: how they drain on a rebalance depends on it",
    "enable.partition.eof": "the roles do not use partition ends",
    "test.mock.num.brokers": f"set kafka.bootstrap_servers to {EMBEDDED!r}",
}
"""librdkafka options that `kafka.extra` may not set, and why not or what to set instead."""


class Topics(SettingsSection):
    """Names of the topics."""

    events: str = "clickhouse_ai_events_json"
    """Topic that `$ai_generation` events are read from."""
    results: str = "gavel_results"
    """Topic that `$ai_evaluation` events are written to."""
    tasks: str = "gavel_tasks"
    """Topic of the tasks of LLM judges."""
    parked: str = "gavel_parked"
    """Topic of tasks that must not run before a time."""
    windows: str = "gavel_windows"
    """Topic of results gathered by evaluation, which the live windows count."""
    windows_state: str = "gavel_windows_state"
    """Compacted topic of the windows' state (the changelog of their table)."""
    measurements: str = "gavel_measurements"
    """Topic that `$ai_evaluation_measurement` events are written to."""
    dead_letters: str = "gavel_dead_letters"
    """Topic of records that could not be processed."""

    @field_validator("*")
    @classmethod
    def _legal(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) or name in (".", ".."):
            raise ValueError("is not a Kafka topic name; use 1 to 249 of letters, digits, '.', '_' and '-'")
        return name

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        taken: dict[str, str] = {}
        for role, name in self:
            other = taken.setdefault(name, role)
            if other != role:
                raise ValueError(
                    f"{other} and {role} are both {name!r}: a role would read what another writes, in a loop; "
                    "give each topic a name of its own"
                )
        return self


PRODUCING: dict[str, Any] = {"linger.ms": 5, "compression.type": "lz4", "queue.buffering.max.kbytes": 256 * 1024}
"""How producers gather messages, unless `kafka.extra` says otherwise."""


class Kafka(SettingsSection):
    """The Kafka connection, its topics and groups."""

    bootstrap_servers: str = EMBEDDED
    """Brokers as `host:port,host:port`. `embedded` starts a broker inside the process, for a first look; it keeps
    nothing."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Protocol of the connections to the brokers."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None = None
    """Required by the `SASL_…` protocols. Options of OAUTHBEARER and GSSAPI go into `extra`."""
    sasl_username: str | None = None
    """User name for PLAIN and SCRAM."""
    sasl_password: SecretStr | None = None
    """Password for PLAIN and SCRAM."""
    ssl_ca_location: Path | None = None
    """File with the certificates that check the brokers; those of the system if not set."""
    ssl_certificate_location: Path | None = None
    """File with the client's certificate, for mutual TLS."""
    ssl_key_location: Path | None = None
    """File with the client's private key, for mutual TLS."""
    ssl_key_password: SecretStr | None = None
    """Password of the private key."""
    client_id: str = "gavel"
    """Name under which brokers log this client; the role is added to it."""
    group_prefix: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._-]+$")] = "gavel"
    """Consumer groups are `<prefix>-matcher`, `<prefix>-judge`, `<prefix>-sink`; transactional ids begin with
    it too."""
    group_protocol: Literal["auto", "classic", "consumer"] = "auto"
    """How roles join their groups. `consumer` is KIP-848 and needs Kafka 4; its members go on at once after an outage
    of the broker. `classic` runs on every broker, but after an outage a group waits for members that are gone, for up
    to `session_timeout_s` and at worst `max_poll_interval_s`. `auto` is `consumer` where the broker has it."""
    static_membership: bool = False
    """Whether a restarted process keeps its partitions without a rebalance (`group.instance.id`)."""
    topics: Topics = Topics()
    """Names of the topics."""
    partitions: Count = 8
    """Partitions of topics that `gavel init` makes. At most this many processes can share one role."""
    replication_factor: Annotated[int, Field(ge=-1, le=32767)] = -1
    """Replicas of topics that `gavel init` makes; -1 is the broker's default."""
    message_timeout_s: Seconds = 30.0
    """Seconds after which a produced record that no broker has confirmed fails."""
    transaction_timeout_s: Seconds = 60.0
    """Seconds after which a broker aborts an open transaction. It must be longer than `message_timeout_s`."""
    session_timeout_s: Seconds = 45.0
    """Seconds without a heartbeat after which a process loses its partitions, in groups of the classic protocol. For
    the others the broker decides (`group.consumer.session.timeout.ms`, 45 s by default)."""
    max_poll_interval_s: Seconds = 300.0
    """Seconds without a poll after which a process loses its partitions."""
    max_message_bytes: Annotated[int, Field(ge=1_000_000, le=1_000_000_000)] = 10_485_760
    """Largest record that is produced, and the limit that `gavel init` sets on its topics."""
    extra: Annotated[dict[str, Option], OptionMap] = Field(default_factory=dict)
    """More librdkafka options by their own names, as JSON or `name=value,name=value`. Options that decide about
    delivery are refused."""

    @field_validator("extra")
    @classmethod
    def _only_harmless_options(cls, options: dict[str, Option]) -> dict[str, Option]:
        for name in options:
            if name in _OWNED_OPTIONS:
                raise ValueError(f"may not hold {name}: {_OWNED_OPTIONS[name]}")
        return {
            name: SecretStr(str(value)) if _SECRET_OPTION.search(name) and not isinstance(value, SecretStr) else value
            for name, value in options.items()
        }

    @field_validator("replication_factor")
    @classmethod
    def _some_replica(cls, number: int) -> int:
        if number == 0:
            raise ValueError("is 0; use -1 for the broker's default, or the number of replicas")
        return number

    @property
    def is_embedded(self) -> bool:
        """Whether the broker runs inside the process."""
        return self.bootstrap_servers == EMBEDDED

    def group(self, role: str) -> str:
        """Return the consumer group of a role."""
        return f"{self.group_prefix}-{role}"

    def client_config(self, *, bootstrap_servers: str | None = None, client_id: str | None = None) -> dict[str, Any]:
        """Return the options that every librdkafka client of this connection needs, secrets in the clear.

        Args:
            bootstrap_servers: the address of the in-process broker, once it runs. It is required for
                `embedded`, which is not an address, and otherwise replaces the setting.
            client_id: a suffix of the client's name, such as a role.

        Raises:
            ValueError: the broker is embedded and no address was given.
        """
        if self.is_embedded and bootstrap_servers is None:
            raise ValueError("kafka.bootstrap_servers is 'embedded': start the in-process broker and pass its address")
        options: dict[str, Any] = {
            "bootstrap.servers": bootstrap_servers or self.bootstrap_servers,
            "client.id": f"{self.client_id}-{client_id}" if client_id else self.client_id,
            "security.protocol": self.security_protocol,
            "message.max.bytes": self.max_message_bytes,
        }
        given: dict[str, Path | SecretStr | str | None] = {
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password,
        }
        for name, value in (given | self.extra).items():
            if isinstance(value, SecretStr):
                options[name] = value.get_secret_value()
            elif isinstance(value, Path):
                options[name] = str(value)
            elif value is not None:
                options[name] = value
        return options


def producing(client: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """Return the options of an idempotent producer, which all replicas in sync acknowledge within `timeout_s`.

    Args:
        client: the options of the connection; they may change how messages are gathered, and nothing else.
    """
    return {
        **PRODUCING,
        **client,
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": int(timeout_s * 1000),
    }
