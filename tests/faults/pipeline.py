"""Gavel as it is deployed: each role a process of its own, on real Kafka and ClickHouse's engine behind HTTP."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import Producer
from cryptography.fernet import Fernet

from conditions import RowError
from config.definitions import Evaluation
from config.files import read_definitions
from config.settings import Settings, load_settings
from processor.kafka import KafkaClients
from processor.runtime.setup import initialise
from storage.apply import apply_definitions
from storage.clickhouse import ClickHouseProblem, connect
from storage.sql.engine import Database, open_store
from storage.sql.evaluations import Evaluations
from tests.faults.counting import Count, Seen
from tests.faults.evidence import events_twice, evidence
from tests.faults.load import Expectation, endless
from tests.faults.supervised import Exit, Supervised
from tests.services.cache import CHECKOUT
from tests.services.clickhouse_http import Faults, set_faults
from tests.services.clickhouse_tables import fill
from tests.services.ports import accepts, free_ports
from tests.services.process import GuardedProcess
from tests.services.topics import remove_topics
from tests.services.waiting import PATIENCE_S, until

TEAM = 1
ROLES = ("matcher", "judge", "sink")
WAIT_S = 150.0
QUIET_S = 1.5
"""How long nothing more may come once all is there."""


class ClickHouseProcess:
    """The HTTP front over chdb as a process of its own, which may be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        fill(folder / "clickhouse")
        (self.port,) = free_ports(1)
        self.dsn = f"http://127.0.0.1:{self.port}/gavel"
        self._process: GuardedProcess | None = None

    def start(self) -> None:
        """Start it on its data; block until it answers."""
        argv = [sys.executable, "-m", "tests.services.clickhouse_http", self._folder / "clickhouse", str(self.port)]
        self._process = GuardedProcess(
            argv, log=self._folder / "clickhouse.log", env={"PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": ""}
        )
        self._process.wait_until(lambda: accepts(self.port), "The ClickHouse front")

    def kill(self) -> None:
        """End it as `kill -9` does; its data stays."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def fail(self, **faults: Any) -> None:
        """Set what goes wrong with inserts from now on; nothing if empty."""
        set_faults(self.port, Faults(**faults))


_POISON = (
    b"$ai_generation and no JSON at all",
    b'["$ai_generation"]',
    b'{"event": "$ai_generation", "team_id": 1}',
    b'{"event": "$ai_generation", "uuid": "u", "team_id": "one", "properties": "{}"}',
    b'{"event": "$ai_generation", "uuid": "u", "team_id": 1, "timestamp": "2026-01-01 00:00:00", "properties": "{bad"}',
    b"\xff\xfe$ai_generation\x00",
)


class Pipeline:
    """Topics, tables and definitions of one run, its processes, the records that were sent, and their expected results.

    Args:
        settings: further environment variables of the roles, without `GAVEL_`.
    """

    def __init__(
        self,
        kafka: str,
        folder: Path,
        provider_url: str,
        settings: Mapping[str, str] | None = None,
        *,
        through: str | None = None,
        store_dsn: str | None = None,
        evaluations: Callable[[Evaluation], bool] = lambda _: True,
    ) -> None:
        self.run = uuid4().hex[:8]
        self.folder = folder
        self.kafka = kafka
        self.clickhouse = ClickHouseProcess(folder)
        self.clickhouse.start()
        self.env = self._environment(through or kafka, provider_url, store_dsn) | {
            f"GAVEL_{name}": value for name, value in (settings or {}).items()
        }
        self.settings = load_settings(environ=self.env | {"GAVEL_KAFKA__BOOTSTRAP_SERVERS": kafka})
        self.topics = self.settings.kafka.topics
        self.database = open_store(self.settings)
        self._prepare(self.settings, self.database)
        self.evaluations = [each for each in self._apply() if evaluations(each)]
        self.expectation = Expectation(self.evaluations)
        self.expected: set[str] = set()
        self.sent = 0
        self.poisoned = 0
        self._earlier: set[str] = set()
        self._told: set[str] = set()
        self.processes: dict[str, Supervised] = {}
        self._gone: list[Exit] = []
        self.doom = folder / "doom"
        self.doom.mkdir()
        self.producer = self._producer()
        self._events = endless(self.run)
        self.results = Seen(kafka, self.topics.results)
        self.letters = Seen(kafka, self.topics.dead_letters)

    def _environment(self, kafka: str, provider_url: str, store_dsn: str | None) -> dict[str, str]:
        topics = ("events", "results", "tasks", "parked", "dead_letters")
        values = {
            "DATA_DIR": str(self.folder / "data"),
            "SECRET_KEYS": Fernet.generate_key().decode(),
            "KAFKA__BOOTSTRAP_SERVERS": kafka,
            "KAFKA__GROUP_PREFIX": f"faults-{self.run}",
            "KAFKA__PARTITIONS": "4",
            "KAFKA__TRANSACTION_TIMEOUT_S": "20",
            "KAFKA__MESSAGE_TIMEOUT_S": "12",
            # A broker that comes back is noticed within a second or two, and new partitions too.
            "KAFKA__EXTRA": "reconnect.backoff.max.ms=1000,topic.metadata.refresh.interval.ms=2000",
            "CLICKHOUSE__DSN": self.clickhouse.dsn,
            "CLICKHOUSE__REQUEST_TIMEOUT_S": "5",
            "CLICKHOUSE__CONNECT_TIMEOUT_S": "3",
            "STORE__POLL_INTERVAL_S": "0.3",
            "HTTP__PORT": "0",
            "LOG__FORMAT": "json",
            # Small batches and frequent commits: a fault finds work in every state.
            "MATCHER__BATCH_SIZE": "40",
            "MATCHER__COMMIT_INTERVAL_S": "0.1",
            "JUDGE__COMMIT_INTERVAL_S": "0.1",
            "JUDGE__CACHE_TTL_S": "0",
            "JUDGE__TRIAL_API_KEY": "stand-in",
            "JUDGE__TRIAL_BASE_URL": provider_url,
            "JUDGE__TRIAL_EVAL_LIMIT": "100000000",
            "JUDGE__RETRY_INITIAL_S": "0.05",
            "JUDGE__RETRY_MAX_S": "0.5",
            "JUDGE__CALL_DEADLINE_S": "3",
            "JUDGE__READ_TIMEOUT_S": "2",
            "JUDGE__RUN_DEADLINE_S": "10",
            "JUDGE__PARK_INITIAL_S": "1",
            "JUDGE__PARK_MAX_S": "4",
            "JUDGE__BREAKER_PROBE_S": "0.5",
            "SINK__BATCH_INTERVAL_S": "0.2",
            "SINK__RETRY_INITIAL_S": "0.1",
            "SINK__RETRY_MAX_S": "1",
            "WATCHDOG__SHUTDOWN_S": "8",
            "WATCHDOG__STALL_S": "75",
            "DEAD_LETTERS__RATIO_LIMIT": "0.5",
            "PATH": "/usr/bin:/bin",
            **{f"KAFKA__TOPICS__{name.upper()}": f"{self.run}-{name}" for name in topics},
        }
        if store_dsn is not None:
            values["STORE__DSN"] = store_dsn
        path = values.pop("PATH")
        return {f"GAVEL_{name}": value for name, value in values.items()} | {"PATH": path}

    @staticmethod
    def _prepare(settings: Settings, database: Database) -> None:
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
        failed = [finding for finding in initialise(settings, KafkaClients(settings), database) if not finding.ok]
        assert not failed, failed

    def _apply(self) -> list[Evaluation]:
        wanted, problems = read_definitions([CHECKOUT / "examples" / "evaluators", CHECKOUT / "examples" / "judges"])
        assert not problems, problems
        apply_definitions(self.database, TEAM, wanted, actor="faults", now=datetime.now(UTC))
        return list(Evaluations(self.database).each(TEAM))

    # -- processes ------------------------------------------------------------------------------------

    def start(self, *names: str, env: Mapping[str, str] | None = None) -> None:
        """Start processes by name: the role, and after a dash whatever tells them apart."""
        for name in names or ROLES:
            role = name.partition("-")[0]
            self.processes[name] = Supervised(name, role, self.env | (env or {}), self.folder, self.doom)

    def stop(self, *names: str) -> dict[str, int]:
        """SIGTERM and no new start; returns the exit codes."""
        return {name: self._take_out(name).stop() for name in names or tuple(self.processes)}

    def remove(self, name: str) -> None:
        """`kill -9` and no new start."""
        process = self._take_out(name)
        process.kill_for_good()
        self._gone.append(Exit(name, -9))

    def _take_out(self, name: str) -> Supervised:
        process = self.processes.pop(name)
        self._gone += process.exits
        return process

    def arm(self, role: str, step: str, times: int = 1) -> None:
        """Let a process of `role` die the `times`-th time it comes to `step` (see `tests.faults.doomed`)."""
        partial = self.doom / f".{role}"
        partial.write_text(f"{step}:{times}")
        partial.rename(self.doom / role)

    def disarm(self) -> None:
        """Let no process die of a step that it has not come to yet."""
        for role in ROLES:
            (self.doom / role).unlink(missing_ok=True)

    def exits(self) -> list[Exit]:
        """How processes ended by themselves so far."""
        return [*self._gone, *(each for process in self.processes.values() for each in process.exits)]

    # -- load -----------------------------------------------------------------------------------------

    def send(self, count: int, *, over_s: float = 0.0) -> list[str]:
        """Produce real generations, evenly over a time; returns their ids."""
        uuids, started = [], time.monotonic()
        for number in range(count):
            uuid, event = next(self._events)
            self.send_event(uuid, event)
            uuids.append(uuid)
            if over_s:
                time.sleep(max(0.0, started + over_s * (number + 1) / count - time.monotonic()))
        return uuids

    def send_event(self, uuid: str, event: bytes) -> None:
        """Produce one event and expect its results."""
        self.produce(event, key=uuid)
        self.expected |= self.expectation.of(event)
        self.sent += 1

    def next_event(self) -> tuple[str, bytes]:
        """Return an id and an event that were not sent yet."""
        return next(self._events)

    def _producer(self) -> Producer:
        # Idempotent: an event that the load writes twice when its broker dies would rightly be judged twice. It happens
        # all the same, seldom (https://github.com/confluentinc/librdkafka/issues/4953), and `count` looks for it.
        options = {"enable.idempotence": True, "linger.ms": 5, "log_level": 0, "message.max.bytes": 16 * 1024 * 1024}
        return Producer({"bootstrap.servers": self.kafka, **options})

    def refresh_producer(self) -> None:
        """Produce with the topic's partitions as they are now."""
        assert self.producer.flush(PATIENCE_S) == 0
        self.producer = self._producer()

    def poison(self, count: int) -> None:
        """Produce records of several kinds that are not events. Each must become one dead letter (`decode`)."""
        for number in range(count):
            self.produce(_POISON[number % len(_POISON)], key=f"poison-{number}")
        self.poisoned += count

    def dead_letters(self) -> list[dict[str, str]]:
        """Return the headers of all dead letters so far."""
        self.letters.read(keep=True)
        return [headers for headers, _ in self.letters.records]

    def produce(self, value: bytes | None, *, key: str = "", headers: list[tuple[str, bytes]] | None = None) -> None:
        """Write anything to the events topic."""
        self.producer.produce(self.topics.events, value, key=key, headers=headers or [])
        self.producer.poll(0)

    # -- counting -------------------------------------------------------------------------------------

    def stored(self) -> dict[str, int]:
        """Return how often ClickHouse's readers see each id."""
        client = connect(self.clickhouse.dsn, request_timeout_s=PATIENCE_S)
        try:
            query = "SELECT uuid, count() FROM evaluation_results FINAL GROUP BY uuid"
            return {str(uuid): int(copies) for uuid, copies in client.query(query).result_rows}
        finally:
            client.close()

    def forget_results(self) -> None:
        """Stop looking at the results topic: it goes away, with all that it held."""
        self.results.read()
        self.results.close()
        self._earlier = set(self.expected)

    def look_at_results(self) -> None:
        """Look at the results topic that was recreated; earlier results are in ClickHouse alone."""
        self.results = Seen(self.kafka, self.topics.results)
        self.results.ids.update(self._earlier)

    def _is_stored(self) -> bool:
        """Whether ClickHouse holds as many ids as are expected; False while it does not answer."""
        try:
            client = connect(self.clickhouse.dsn, request_timeout_s=PATIENCE_S)
            try:
                found = client.query("SELECT uniqExact(uuid) FROM evaluation_results").result_rows[0][0]
            finally:
                client.close()
        except (ClickHouseProblem, ClickHouseError):
            return False  # it is down at the moment; the count at the end is what decides
        return int(found) >= len(self.expected - self._told)

    def count(self) -> Count:
        """Count once, without waiting."""
        self.results.read()
        stored, seen = self.stored(), self.results.ids
        twice = {uuid: copies for uuid, copies in seen.items() if copies > 1 and uuid not in self._told}
        written: Counter[str] = Counter()
        events = events_twice(self.kafka, self.topics.events) if twice else []
        for event, copies in events:
            with suppress(RowError):  # poison has no results
                written.update(dict.fromkeys(self.expectation.of(event), copies))
        told = self._told
        return Count(
            events_twice=len(events),
            expected=len(self.expected),
            kafka=seen.total(),
            clickhouse=sum(stored.values()),
            missing_in_kafka=sorted(self.expected - seen.keys() - told),
            missing_in_clickhouse=sorted(self.expected - stored.keys() - told),
            twice_in_kafka=sorted(uuid for uuid, copies in twice.items() if copies != written.get(uuid, 1)),
            twice_in_clickhouse=sorted(uuid for uuid, copies in stored.items() if copies > 1 and uuid not in told),
            unexpected=sorted((seen.keys() | stored.keys()) - self.expected - told),
        )

    def settle(self, *, limit_s: float = WAIT_S) -> Count:
        """Wait until every expected id is there, and a little longer for unexpected ones; count."""
        assert self.producer.flush(PATIENCE_S) == 0, "the load could not be produced"
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            self.results.read()
            if self.expected - self._told <= self.results.ids.keys():
                break
            assert not any(each.code == 2 for each in self.exits()), f"wrong settings:\n{self.story()}"
            time.sleep(0.1)
        while time.monotonic() < end and not self._is_stored():
            time.sleep(0.3)
        time.sleep(QUIET_S)
        return self.count()

    def check(self, *, limit_s: float = WAIT_S) -> Count:
        """Settle, and fail unless every expected id was seen exactly once in Kafka and in ClickHouse.

        An id that is wrong fails one check: the tests that share this pipeline do not fail for it again.
        """
        count = self.settle(limit_s=limit_s)
        self._told.update(*count.wrong.values())
        assert not count.problems, f"{count.problems} of {count.expected}; exits: {self.exits()}\n{self.tell(count)}"
        return count

    def tell(self, count: Count) -> str:
        """Return what the topics hold of the ids that are wrong, and the end of every process's log."""
        found = [
            f"{name}:\n{evidence(self.kafka, self.topics.results, self.topics.events, ids)}"
            for name, ids in count.wrong.items()
        ]
        return "\n".join([*found, self.story()])

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Block until something holds."""
        until(condition, lambda: f"{what}; exits: {self.exits()}\n{self.story()}")

    def story(self) -> str:
        """Return the end of every process's log."""
        return "\n".join(process.tail() for process in self.processes.values())

    def logged(self, name: str, event: str) -> list[dict[str, Any]]:
        """Return the log entries of one event of one process."""
        lines = self.processes[name].log.read_text(errors="replace").splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry.get("event") == event]

    def ready(self, name: str) -> bool:
        """Return what a process's probe says; a process that does not answer is not ready."""
        address = self.logged(name, "started")[-1]["metrics"].replace("/metrics", "/readyz")
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # also an answer of another status
            return False

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.kill_for_good()
        self.clickhouse.kill()
        self.results.close()
        self.letters.close()
        self.producer.purge()
        self.producer.flush(1)
        del self.producer
        self.database.close()
        remove_topics(self.kafka, (name for _, name in self.settings.kafka.topics if name.startswith(self.run)))


@contextmanager
def pipeline(
    kafka: str, provider_url: str, settings: Mapping[str, str] | None = None, **options: Any
) -> Iterator[Pipeline]:
    """Give a pipeline whose roles do not run yet, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="gavel-faults-", ignore_cleanup_errors=True) as folder:
        made = Pipeline(kafka, Path(folder), provider_url, settings, **options)
        try:
            yield made
        finally:
            made.close()
