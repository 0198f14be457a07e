"""Gathers the content of `gavel status`: processes, Kafka, the store and ClickHouse, each asked by itself.

A part that does not answer is a problem of that part, and the others are shown all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal, TypeVar

from cli.kafka_view import KafkaView, open_clients, view
from storage.disk import REMEDY, full_disk

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from config.settings import Settings
    from processor.kafka_access import AdminWithCauses
    from storage.sql.engine import Database
    from storage.sql.heartbeats import Heartbeat
    from storage.sql.standing import BudgetUse, Errored

_T = TypeVar("_T")
_WAIT_S = 8.0
_RIGHTS = ("authorization", "not authorized", "Not enough privileges", "permission denied", "rights", "lacks the right")

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: what, where, and what to do."""

    severity: Severity
    where: str
    what: str
    remedy: str

    def as_json(self) -> dict[str, str]:
        """Return the problem for scripts."""
        return {"severity": self.severity, "where": self.where, "what": self.what, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class StoreView:
    """The answer of the store."""

    dialect: str
    heartbeats: list[Heartbeat]
    errored: list[Errored]
    budgets: list[BudgetUse]


@dataclass
class Overview:
    """Everything that was seen at one time; a part that did not answer is None, and `problems` says why.

    Attributes:
        whole: whether all parts were asked.
    """

    at: datetime
    store: StoreView | None = None
    kafka: KafkaView | None = None
    clickhouse: str | None = None
    problems: list[Problem] = field(default_factory=list)
    took_s: float = 0.0
    whole: bool = True


class Gatherer:
    """Asks all parts at the same time, on connections that it keeps.

    Args:
        settings: by which this command reaches everything.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._threads = ThreadPoolExecutor(3, thread_name_prefix="status")
        self._admin: AdminWithCauses | None = None
        self._client: Client | None = None
        self._release_fits = False

    def close(self) -> None:
        """Close the connections; does not wait for a part that does not answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            with suppress(Exception):
                self._client.close()

    def gather(self) -> Overview:
        """Return what all parts say now. Blocks until each has answered or failed, for some seconds at the most."""
        _load_clients()
        began_s = monotonic()
        seen = Overview(datetime.now(UTC))
        store = self._threads.submit(_attempt, "store", self._ask_store)
        kafka = self._threads.submit(_attempt, "kafka", self._ask_kafka)
        clickhouse = self._threads.submit(_attempt, "clickhouse", self._ask_clickhouse)
        seen.store = _taken(store, seen, "store")
        seen.kafka = _taken(kafka, seen, "kafka")
        seen.clickhouse = _taken(clickhouse, seen, "clickhouse")
        self._look_at_disk(seen)
        seen.took_s = monotonic() - began_s
        return seen

    def glance(self) -> Overview:
        """Return the heartbeats, without all that takes longer to load or to connect to."""
        seen = Overview(datetime.now(UTC), whole=False)
        seen.store = _taken(self._threads.submit(_attempt, "store", self._ask_heartbeats), seen, "store")
        self._look_at_disk(seen)
        return seen

    def _look_at_disk(self, seen: Overview) -> None:
        full = full_disk(Path(self._settings.data_dir))
        if full is not None:
            seen.problems.append(Problem("error", "disk", full, REMEDY))

    def _ask_heartbeats(self) -> StoreView:
        from storage.sql.heartbeats import Heartbeats

        return StoreView(self._database.dialect, Heartbeats(self._database).read(now=datetime.now(UTC)), [], [])

    def _ask_store(self) -> StoreView:
        from storage.sql.heartbeats import Heartbeats
        from storage.sql.migrations import check_current
        from storage.sql.standing import budget_use, errored_evaluations

        if not self._release_fits:  # once, because it reads all migrations of this release
            check_current(self._database)
            self._release_fits = True
        now = datetime.now(UTC)
        return StoreView(
            self._database.dialect,
            Heartbeats(self._database).read(now=now),
            errored_evaluations(self._database),
            budget_use(self._database, now),
        )

    def _ask_kafka(self) -> KafkaView:
        if self._settings.kafka.is_embedded:
            raise self._nothing_embedded_runs()
        if self._admin is None:
            self._admin = open_clients(self._settings)
        return view(self._admin, self._settings)

    def _ask_clickhouse(self) -> str:
        from storage.clickhouse.connect import connect
        from storage.clickhouse.migrate import check
        from storage.clickhouse.rights import rights_expected

        dsn = self._settings.clickhouse.dsn.get_secret_value()
        if dsn.startswith("chdb://"):
            # Opening it would make the folder, or take it from the process that needs it.
            raise self._nothing_embedded_runs()
        with rights_expected():
            if self._client is None:
                self._client = connect(dsn, connect_timeout_s=3.0, request_timeout_s=5.0)
                check(self._client)
            self._client.command("SELECT count() FROM evaluation_results WHERE 0")
        return str(self._client.server_version)

    def _nothing_embedded_runs(self) -> OSError:
        return OSError(f"it is embedded, and no `gavel up` runs on {self._settings.data_dir}")


def _load_clients() -> None:
    """Load the code of all parts: it takes seconds on a busy machine, which are not those of a part that is slow."""
    parts = ("sql.migrations", "sql.standing", "clickhouse.migrate", "clickhouse.rights")
    for module in (*(f"storage.{each}" for each in parts), "processor.kafka_access", "processor.kafka"):
        import_module(module)


def _attempt(where: str, ask: Callable[[], _T]) -> _T | Problem:
    try:
        return ask()
    except _failures_of(where) as error:
        what = (_words_of(error).strip() or type(error).__name__).splitlines()[0][:300]
        return Problem("error", where, what, _known_remedy(where, error) or remedy_for(where, what))


def _failures_of(where: str) -> tuple[type[Exception], ...]:
    """Return the exceptions of a part that does not work. Called after a failure only: it loads the part's client."""
    if where == "kafka":
        from confluent_kafka import KafkaException

        return KafkaException, OSError, TimeoutError
    if where == "clickhouse":
        from clickhouse_connect.driver.exceptions import ClickHouseError

        from storage.clickhouse.errors import ClickHouseProblem

        return ClickHouseProblem, ClickHouseError, OSError, TimeoutError
    from storage.sql.engine import StoreError

    return StoreError, OSError, TimeoutError


def _known_remedy(where: str, error: Exception) -> str:
    if where != "kafka":
        return ""
    from confluent_kafka import KafkaException

    from processor.kafka_access import remedy_of

    return remedy_of(error) if isinstance(error, KafkaException) else ""


def _words_of(error: Exception) -> str:
    """Return an error's text; one of Kafka has it in its first argument."""
    told = error.args[0] if error.args else ""
    return str(told.str() if hasattr(told, "str") else error)


def _taken(asked: Future[_T | Problem], seen: Overview, where: str) -> _T | None:
    try:
        found = asked.result(timeout=_WAIT_S)
    except TimeoutError:
        found = Problem("error", where, f"no answer within {_WAIT_S:.0f} s", remedy_for(where, ""))
    if isinstance(found, Problem):
        seen.problems.append(found)
        return None
    return found


def remedy_for(where: str, what: str) -> str:
    """Return what to do about a part that does not answer, by its words."""
    if "gavel init" in what:
        return "run `gavel init`"
    if "newer release" in what:
        return "use this command, and start all processes, from the release that made it; restore a backup to go back"
    if "no `gavel up` runs" in what:
        server = {"kafka": "brokers in kafka.bootstrap_servers", "clickhouse": "a ClickHouse server in clickhouse.dsn"}
        return f"start `gavel up`, or name {server[where]}"
    if any(word in what for word in _RIGHTS):
        return {
            "kafka": "grant this user Describe on the topics and groups of Gavel, or use the credentials of the roles",
            "store": "grant this user rights on the tables of Gavel, or use the DSN of the roles",
            "clickhouse": "grant this user SELECT on the tables of Gavel, or use the DSN of the roles",
        }[where]
    return {
        "kafka": "is a broker up, and are kafka.bootstrap_servers, security_protocol and credentials right?",
        "store": "is the database up, and is store.dsn right?",
        "clickhouse": "is the server up, and is clickhouse.dsn right? Results wait in Kafka meanwhile",
    }[where]
