"""Why Kafka refuses: wrong credentials and missing rights, told apart from a broker that is away and absent topics."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from config.settings import Settings
from processor.role_topics import topics_read, topics_written

_TELLING = (KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._RESOLVE)
_FORBIDDEN = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_REMEDIES = {
    KafkaError._AUTHENTICATION: "the broker refuses this login: correct kafka.sasl_mechanism, sasl_username and "
    "sasl_password",
    KafkaError._SSL: "TLS fails: correct kafka.security_protocol, ssl_ca_location and the client's certificate",
    KafkaError._RESOLVE: "a host of kafka.bootstrap_servers has no address: correct its name, or mend the DNS",
}
_ASK_S = 10.0
_ROLES = ("matcher", "judge", "sink")


class AdminWithCauses:
    """An admin client that knows why no broker answers: the client itself only says that none did.

    Args:
        options: of librdkafka.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._told: dict[int, KafkaError] = {}
        heard: dict[str, Any] = {**options, "error_cb": self._note}
        self.admin = AdminClient(heard)

    def _note(self, error: KafkaError) -> None:
        self._told[error.code()] = error

    def list_topics(self, timeout_s: float) -> Any:
        """Return the cluster's metadata.

        Raises:
            KafkaException: no broker answers, or it refuses; of several causes the one that says the most.
        """
        self._told.clear()
        try:
            return self.admin.list_topics(timeout=timeout_s)
        except KafkaException as error:
            self.admin.poll(0.1)
            cause = next((self._told[code] for code in _TELLING if code in self._told), None)
            raise (error if cause is None else KafkaException(cause)) from error


def remedy_of(error: KafkaException) -> str:
    """Return what to do about a failure whose cause is known; empty if it is not."""
    return _REMEDIES.get(error.args[0].code(), "")


def is_forbidden(error: KafkaException) -> bool:
    """Return whether the broker refuses for want of a right."""
    return error.args[0].code() in _FORBIDDEN


def forbidden_topics(admin: AdminClient, names: Collection[str]) -> list[str]:
    """Return those of the topics that this user may not see; the broker lists them as if they did not exist."""
    if not names:
        return []
    asked = admin.describe_topics(TopicCollection([*names]), request_timeout=_ASK_S)
    return [name for name, found in asked.items() if _refused(found)]


def forbidden_groups(admin: AdminClient, names: Collection[str]) -> list[str]:
    """Return those of the consumer groups that this user may not see."""
    asked = admin.describe_consumer_groups([*names], request_timeout=_ASK_S)
    return [name for name, found in asked.items() if _refused(found)]


def missing_rights(admin: AdminClient, topics: Mapping[str, Collection[str]], timeout_s: float = _ASK_S) -> list[str]:
    """Return the rights that this user lacks on topics, such as `Write on gavel-results`; none that nobody can tell.

    Args:
        topics: by name, the operations that are needed: `READ` or `WRITE`.
    """
    if not topics:
        return []
    asked = admin.describe_topics(
        TopicCollection([*topics]), include_authorized_operations=True, request_timeout=timeout_s
    )
    lacking = []
    for name, found in asked.items():
        with suppress(KafkaException):  # a topic that this user may not see at all is another message
            operations = {operation.name for operation in found.result().authorized_operations or ()}
            lacking += [f"{each.title()} on {name}" for each in topics[name] if operations and each not in operations]
    return lacking


def rights_needed(settings: Settings, roles: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the operations on each topic that some roles need, or all of them; none where nobody logs in."""
    if settings.kafka.security_protocol == "PLAINTEXT":
        return {}
    needed: dict[str, set[str]] = {}
    for role in roles or _ROLES:
        for operation, names in (("READ", topics_read(settings, role)), ("WRITE", topics_written(settings, role))):
            for name in names:
                needed.setdefault(name, set()).add(operation)
    return {name: tuple(sorted(operations)) for name, operations in needed.items()}


def _refused(found: Any) -> bool:
    try:
        found.result()
    except KafkaException as error:
        return is_forbidden(error)
    return False
