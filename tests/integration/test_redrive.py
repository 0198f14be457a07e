"""Dead letters on real Kafka: listed, sent back once, capped, closed."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner

import cli.dlq
from api.services.letter_changes import purge, redrive
from api.services.letter_desk import LetterQuery, LettersStopped
from cli.letter_desk import KafkaLetterDesk
from cli.main import build_app
from config.settings import load_settings
from processor.dead_letters.letter import dead_letter
from processor.dead_letters.redrive import Redriver
from processor.dead_letters.stored import DeadLetter, LetterFilter, LetterRef, closing_mark
from processor.dead_letters.topic import DeadLetterTopic, RedriveError
from processor.kafka import KafkaClients
from processor.stream.deadline import Deadline
from processor.stream.transactions import Transactions
from storage.sql.audit import OPERATOR_TEAM, read_team_audit
from storage.sql.engine import Database, open_database, open_store
from storage.sql.migrations import upgrade
from tests.integration.ingest.rig import IngestRig, generation
from tests.services.topics import make_topics
from tests.services.waiting import PATIENCE_S, until

EVERY = LetterFilter()


class Source:
    """A message of the topic `topic`, as confluent-kafka gives it."""

    def __init__(self, topic: str, offset: int, value: bytes, headers: list[tuple[str, bytes]] | None = None) -> None:
        self._topic, self._offset, self._value, self._headers = topic, offset, value, headers

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return (1, 1_700_000_000_000)


class Setting:
    """Topics of one test and what happens on them."""

    def __init__(self, kafka: str) -> None:
        self.kafka = kafka
        run = uuid4().hex[:8]
        self.events, self.tasks, self.letters = f"{run}-events", f"{run}-tasks", f"{run}-dlq"
        topics = [NewTopic(name, num_partitions=1, replication_factor=1) for name in (self.events, self.tasks)]
        any_time = {"message.timestamp.after.max.ms": str(2**63 - 1)}  # the default of brokers before Kafka 4
        make_topics(kafka, *topics, NewTopic(self.letters, 2, 1, config=any_time))

    def bury(self, offset: int, value: bytes, reason: Any = "decode", **options: Any) -> None:
        source = Source(self.events, offset, value, options.pop("headers", None))
        letter = dead_letter(
            self.letters, source, stage="matcher", reason=reason, detail="why", max_bytes=1 << 20, **options
        )
        producer = Producer({"bootstrap.servers": self.kafka})
        producer.produce(letter.topic, letter.value, key=letter.key, headers=letter.headers, partition=offset % 2)
        assert producer.flush(PATIENCE_S) == 0

    def topic(self, timeout_s: float = PATIENCE_S) -> DeadLetterTopic:
        return DeadLetterTopic({"bootstrap.servers": self.kafka}, self.letters, timeout_s=timeout_s)

    def configure(self, monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
        """Point commands at these topics. Redrives with one group prefix end each other, so it is this test's own."""
        monkeypatch.setenv("GAVEL_KAFKA__BOOTSTRAP_SERVERS", self.kafka)
        monkeypatch.setenv("GAVEL_KAFKA__GROUP_PREFIX", self.letters)
        monkeypatch.setenv("GAVEL_KAFKA__TOPICS__DEAD_LETTERS", self.letters)
        monkeypatch.setenv("GAVEL_DATA_DIR", str(data_dir))

    def open_letters(self, selection: LetterFilter = EVERY) -> list[DeadLetter]:
        """Return the open letters. It waits for transactions that are committed and not visible everywhere yet."""
        topic = self.topic()
        return topic.read(topic.find(selection, settled=True).refs, with_values=True)

    def redriver(self, max_attempts: int = 5) -> Redriver:
        config = {"bootstrap.servers": self.kafka, "transactional.id": f"{self.letters}-redrive"}
        config["message.max.bytes"] = 1 << 20
        return Redriver(config, self.topic(), max_attempts=max_attempts)

    def read(self, topic: str, expected: int) -> list[Any]:
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": uuid4().hex, "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        found: list[Any] = []

        def read(wait_s: float) -> int:
            found.extend(message for message in consumer.consume(100, wait_s) if message.error() is None)
            return len(found)

        until(lambda: read(0.25) >= expected, lambda: f"{expected} records, not {len(found)}")
        read(1.0)
        consumer.close()
        return found


@pytest.fixture
def setting(kafka: str) -> Setting:
    return Setting(kafka)


def test_a_redriven_letter_goes_back_as_it_came_and_only_once(setting: Setting) -> None:
    for n in range(6):
        setting.bury(n, f"value-{n}".encode(), headers=[("trace", b"\x01")])
    assert len(setting.open_letters()) == 6
    assert setting.redriver().redrive(EVERY).sent == 6
    assert setting.open_letters() == []
    back = setting.read(setting.events, 6)
    assert Counter(m.value() for m in back) == Counter(f"value-{n}".encode() for n in range(6))
    assert all(m.key() == b"key" for m in back)
    assert dict(back[0].headers()) == {"trace": b"\x01", "gavel.error.attempts": b"1"}


def test_a_run_that_failed_goes_back_as_a_task_not_as_its_event(setting: Setting) -> None:
    extra = [("gavel.error.redrive_topic", setting.tasks.encode()), ("gavel.task.evaluation_id", b"e1")]
    setting.bury(0, b"event", "evaluator_bug", extra=extra)
    assert setting.redriver().redrive(LetterFilter(evaluation_id="e1")).sent == 1
    (task,) = setting.read(setting.tasks, 1)
    assert dict(task.headers())["gavel.task.evaluation_id"] == b"e1"


def test_letters_are_selected_by_reason_id_and_time(setting: Setting) -> None:
    setting.bury(0, b"a", "decode")
    setting.bury(1, b"b", "too_large")
    (large,) = setting.open_letters(LetterFilter(reason="too_large"))
    assert large.value == b"b"
    assert [found.value for found in setting.open_letters(LetterFilter(ids=frozenset({large.id})))] == [b"b"]
    assert setting.open_letters(LetterFilter(until=large.failed_at.replace(year=2000))) == []
    assert len(setting.open_letters(LetterFilter(since=large.failed_at.replace(year=2000)))) == 2


def test_the_attempt_cap_leaves_a_letter_where_it_is(setting: Setting) -> None:
    setting.bury(0, b"again", headers=[("gavel.error.attempts", b"4")])
    (letter,) = setting.open_letters()
    assert letter.attempts == 5
    done = setting.redriver(max_attempts=5).redrive(EVERY)
    assert (done.sent, done.refused[0][0]) == (0, letter.id)
    assert len(setting.open_letters()) == 1


def test_a_value_that_was_left_out_is_fetched_from_where_it_lies(setting: Setting) -> None:
    value = b"x" * ((1 << 20) - 2000)
    producer = Producer({"bootstrap.servers": setting.kafka, "message.max.bytes": 4 << 20})
    producer.produce(setting.events, value)
    assert producer.flush(PATIENCE_S) == 0
    setting.bury(0, value, "too_large")
    (letter,) = setting.open_letters()
    assert (letter.value, letter.size_bytes) == (None, len(value))
    assert setting.redriver().redrive(EVERY).sent == 1
    assert [m.value() == value for m in setting.read(setting.events, 2)] == [True, True]


def test_a_value_over_the_limit_stays_and_the_others_go(setting: Setting) -> None:
    producer = Producer({"bootstrap.servers": setting.kafka, "message.max.bytes": 4 << 20})
    value = b"x" * (1 << 20)
    producer.produce(setting.events, value)
    try:
        delivered = producer.flush(PATIENCE_S) == 0
    finally:
        setting.bury(0, value, "too_large")
    setting.bury(1, b"small")
    assert delivered
    done = setting.redriver().redrive(EVERY)
    assert done.sent == 1
    assert len(done.refused) == 1


def test_a_purged_letter_is_closed_and_goes_nowhere(setting: Setting) -> None:
    setting.bury(0, b"a")
    assert setting.redriver().purge(EVERY) == 1
    assert setting.open_letters() == []
    assert setting.read(setting.events, 0) == []


def test_letters_that_somebody_else_redrives_before_the_answer_are_not_sent_again(setting: Setting) -> None:
    for n in range(6):
        setting.bury(n, b"%d" % n)
    confirmed = setting.topic().find(EVERY)
    assert setting.redriver().redrive(LetterFilter(reason="decode")).sent == 6
    setting.bury(6, b"late")
    assert setting.redriver().redrive(confirmed.selection).sent == 0
    assert len(setting.read(setting.events, 6)) == 6
    assert [letter.value for letter in setting.open_letters()] == [b"late"], "it came after the question"


def test_a_redrive_that_begins_later_ends_an_earlier_one_and_sends_the_rest(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.dead_letters.redrive._TOGETHER", 2)
    for n in range(6):
        setting.bury(n, b"%d" % n)
    later: list[int] = []

    def begin_another(_sent: int) -> None:
        later.append(setting.redriver().redrive(EVERY).sent)

    with pytest.raises(RedriveError, match="run it again"):
        setting.redriver().redrive(EVERY, on_sent=begin_another)
    assert later == [4]
    assert Counter(each.value() for each in setting.read(setting.events, 6)) == Counter(b"%d" % n for n in range(6))


@pytest.mark.parametrize("work", ["redrive", "purge"])
def test_a_redrive_whose_connection_broke_leaves_out_what_a_later_one_closed(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """Its new producer fences the later one, which would have ended it otherwise."""
    monkeypatch.setattr("processor.dead_letters.redrive._TOGETHER", 2)
    for n in range(6):
        setting.bury(n, b"%d" % n)
    earlier, begin, begun = setting.redriver(), Transactions.begin, [0]

    def after_a_later_one(transactions: Transactions, deadline: Deadline) -> None:
        begun[0] += transactions is earlier._transactions
        if begun[0] == 2:
            begun[0] += 1
            assert setting.redriver().redrive(LetterFilter(ids=frozenset(["0:2", "1:2"]))).sent == 2
            transactions._fencing._connections.broken = True
        begin(transactions, deadline)

    monkeypatch.setattr(Transactions, "begin", after_a_later_one)
    done = earlier.redrive(EVERY).sent if work == "redrive" else earlier.purge(EVERY)
    assert done == 4
    sent = 6 if work == "redrive" else 2
    assert len(setting.read(setting.events, sent)) == sent
    assert setting.open_letters() == []


class Front:
    """The part of `Services` that changes of letters use."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("work", ["redrive", "purge"])
@pytest.mark.parametrize("by", ["command", "console"])
def test_work_that_kafka_ends_early_tells_how_many_letters_it_did(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: str, by: str
) -> None:
    """In its answer and in the audit trail. Another redrive begins after the second batch and ends it."""
    monkeypatch.setattr("processor.dead_letters.redrive._TOGETHER", 2)
    setting.configure(monkeypatch, tmp_path)
    settings = load_settings()
    with closing(open_store(settings)) as made:
        upgrade(made)
    for n in range(6):
        setting.bury(n, b"%d" % n)
    batches, whole = [0], Redriver._transaction

    @contextmanager
    def counted(redriver: Redriver) -> Iterator[Deadline]:
        batches[0] += 1
        if batches[0] == 3:
            Transactions(
                {**KafkaClients(settings).producer_config(), "transactional.id": f"{setting.letters}-dlq-redrive"}
            )
        with whole(redriver) as deadline:
            yield deadline

    monkeypatch.setattr(Redriver, "_transaction", counted)
    if by == "command":
        said = CliRunner().invoke(build_app(), ["dlq", work, "--yes"])
        assert said.exit_code == 1
        answer = said.stderr
    else:
        desk, change = KafkaLetterDesk(settings, KafkaClients(settings)), {"redrive": redrive, "purge": purge}[work]
        caller: Any = SimpleNamespace(actor="key:1")
        with closing(open_store(settings)) as database:
            front: Any = Front(database)
            with pytest.raises(LettersStopped) as stopped:
                change(front, caller, desk, LetterQuery())
        answer = stopped.value.detail
    assert f"the {work} stopped after 4 letters" in " ".join(answer.split())
    with closing(open_store(settings)) as database, database.read() as connection:
        (entry,) = read_team_audit(connection, OPERATOR_TEAM, before=None, limit=10)
    assert "stopped after 4 letters" in entry.changes.pop("error")[1]
    done = {"sent": [None, 4], "refused": [None, 0]} if work == "redrive" else {"purged": [None, 4]}
    assert entry.changes == done
    assert len(setting.open_letters()) == 2


def test_a_mark_behind_an_open_transaction_is_waited_for(setting: Setting) -> None:
    setting.bury(0, b"a")
    (ref,) = setting.topic().find(EVERY).refs
    options = {"bootstrap.servers": setting.kafka, "transactional.id": f"{setting.letters}-role"}
    role, another = Producer(options), Producer({"bootstrap.servers": setting.kafka})
    role.init_transactions(PATIENCE_S)
    role.begin_transaction()
    role.produce(setting.letters, b"b", headers=[("gavel.error.class", b"decode")], partition=ref.partition)
    role.flush(PATIENCE_S)
    mark = closing_mark(setting.letters, ref, "redriven")
    another.produce(mark.topic, mark.value, headers=mark.headers, partition=mark.partition)
    assert another.flush(PATIENCE_S) == 0
    assert setting.topic().find(EVERY).refs == [ref], "the mark is not visible yet"
    with pytest.raises(RedriveError, match="transaction open"):
        setting.topic(timeout_s=5.0).find(EVERY, settled=True)
    role.commit_transaction(PATIENCE_S)
    (uncovered,) = setting.topic().find(EVERY, settled=True).refs
    assert uncovered.offset > ref.offset


def test_letters_of_the_archive_go_back_as_runs_and_stay_as_events(setting: Setting) -> None:
    run = [("gavel.error.redrive_topic", setting.tasks.encode()), ("gavel.task.evaluation_id", b"e1")]
    setting.bury(-1, b"run", "evaluator_bug", extra=run)
    setting.bury(-1, b"event", "evaluator_bug")
    done = setting.redriver().redrive(EVERY)
    assert done.sent == 1
    assert ["archive" in problem for _, problem in done.refused] == [True]
    assert [task.value() for task in setting.read(setting.tasks, 1)] == [b"run"]
    assert setting.read(setting.events, 0) == []


def test_many_large_letters_are_counted_shown_and_redriven_in_little_memory(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, size_bytes = 3_000, 20_000
    monkeypatch.setattr("processor.dead_letters.redrive._TOGETHER_BYTES", 2_000_000)
    source = Source(setting.events, 0, b"x" * size_bytes)
    letter = dead_letter(setting.letters, source, stage="matcher", reason="decode", detail="why", max_bytes=1 << 20)
    producer = Producer({"bootstrap.servers": setting.kafka})
    for n in range(count):
        producer.produce(letter.topic, letter.value, headers=letter.headers, partition=n % 2)
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0
    topic = setting.topic()
    tracemalloc.start()
    try:
        found = topic.find(EVERY)
        newest: list[LetterRef] = found.newest(200)
        listed = topic.read(newest, with_values=False)
        sent = setting.redriver().redrive(found.selection).sent
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(found.refs), len(listed), sent) == (count, 200, count)
    assert {(each.value, each.size_bytes) for each in listed} == {(None, size_bytes)}
    assert peak_bytes < count * size_bytes / 6


def test_letters_beyond_the_calendar_are_listed_shown_and_purged(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stranger's record ended `gavel dlq list`, and with it every look at the other letters."""
    setting.configure(monkeypatch, tmp_path)
    setting.bury(0, b"usual")
    producer = Producer({"bootstrap.servers": setting.kafka})
    producer.produce(setting.letters, b"odd", headers=[("gavel.error.class", b"decode")], timestamp=2**62, partition=1)
    assert producer.flush(PATIENCE_S) == 0
    run, app = CliRunner().invoke, build_app()
    listed = [json.loads(line) for line in run(app, ["dlq", "list", "--json"]).stdout.splitlines()]
    assert [each["failed_at"][:4] for each in listed] == ["2199", str(setting.open_letters()[0].failed_at.year)]
    assert "2199-12-31" in run(app, ["dlq", "list"]).stdout
    assert run(app, ["dlq", "show", "1:0"]).exit_code == 0
    assert json.loads(run(app, ["dlq", "purge", "1:0", "--yes", "--json"]).stdout) == {"purged": 1, "gone": 0}
    assert [letter.value for letter in setting.open_letters()] == [b"usual"]


def test_the_commands_show_and_do_what_they_say(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    setting.configure(monkeypatch, tmp_path)
    setting.bury(0, b"\xff not JSON")
    run = CliRunner().invoke
    app = build_app()
    listed = run(app, ["dlq", "list", "--json"])
    assert listed.exit_code == 0, listed.output
    letter = json.loads(listed.stdout)
    assert (letter["reason"], letter["source"]["topic"]) == ("decode", setting.events)
    assert "decode" in run(app, ["dlq", "list"]).stdout
    shown = run(app, ["dlq", "show", letter["id"], "--json"])
    assert json.loads(shown.stdout)["value"] == "\\xff not JSON"
    assert run(app, ["dlq", "show", "9:9"]).exit_code == 2
    assert run(app, ["dlq", "redrive", "--since", "yesterday"]).exit_code == 2
    assert json.loads(run(app, ["dlq", "redrive", "--dry-run", "--json"]).stdout)["would_send"] == 1
    assert run(app, ["dlq", "redrive"]).exit_code == 2, "not a terminal and not --yes: it must not go on"
    assert json.loads(run(app, ["dlq", "redrive", "--yes", "--json"]).stdout) == {"sent": 1, "refused": [], "gone": 0}
    assert "No open dead letters" in run(app, ["dlq", "list"]).stdout


def test_a_command_sends_nothing_again_that_went_back_while_it_waited_for_the_answer(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    setting.configure(monkeypatch, tmp_path)
    run, app, ask = CliRunner().invoke, build_app(), cli.dlq.confirm
    for n in range(3):
        setting.bury(n, b"%d" % n)
    first = setting.topic().find(EVERY).refs[0]

    def answer_late(yes: bool, question: str) -> None:
        monkeypatch.setattr("cli.dlq.confirm", ask)
        elsewhere = run(app, ["dlq", "redrive", f"{first.partition}:{first.offset}", "--yes", "--json"])
        assert json.loads(elsewhere.stdout) == {"sent": 1, "refused": [], "gone": 0}
        setting.bury(3, b"late")
        assert question == "Send 3 dead letters back?"

    monkeypatch.setattr("cli.dlq.confirm", answer_late)
    said = run(app, ["dlq", "redrive", "--yes"])
    assert said.exit_code == 0, said.output
    assert said.stdout == "2 redriven.\n1 were closed by somebody else meanwhile.\n"
    assert len(setting.read(setting.events, 3)) == 3
    assert [letter.value for letter in setting.open_letters()] == [b"late"]


def test_an_event_that_the_front_door_refused_is_listed_shown_and_purged_but_never_sent_back(
    kafka: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with IngestRig(kafka, tmp_path).running() as rig:
        rig.batch(generation(1), {**generation(2), "properties": ["\x1b[2J"]})
        rig.batch({**generation(3), "properties": {"$ai_input": "x" * 5_000_000, "$ai_output": '"' * 4_500_000}})
        assert rig.count("gavel_dead_letters_total", role="ingest", reason="decode") == 1
        assert rig.count("gavel_dead_letters_total", role="ingest", reason="too_large") == 1
    monkeypatch.setenv("GAVEL_KAFKA__BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("GAVEL_KAFKA__GROUP_PREFIX", rig.pipeline.settings.kafka.group_prefix)
    monkeypatch.setenv("GAVEL_DATA_DIR", str(tmp_path))
    for name, topic in rig.pipeline.settings.kafka.topics:
        monkeypatch.setenv(f"GAVEL_KAFKA__TOPICS__{name.upper()}", topic)
    run, app = CliRunner().invoke, build_app()
    listed = [json.loads(line) for line in run(app, ["dlq", "list", "--json"]).stdout.splitlines()]
    assert Counter((each["stage"], each["reason"]) for each in listed) == {
        ("ingest", "decode"): 1,
        ("ingest", "too_large"): 1,
    }
    assert {(each["source"]["partition"], each["source"]["offset"]) for each in listed} == {(-1, -1)}
    for letter in listed:
        shown = run(app, ["dlq", "show", letter["id"]])
        assert shown.exit_code == 0
        assert "\x1b" not in shown.stdout
        assert ("left out" in shown.stdout) == (letter["reason"] == "too_large")
    redriven = run(app, ["dlq", "redrive", "--yes", "--json"])
    assert redriven.exit_code == 1
    said = json.loads(redriven.stdout)
    assert (said["sent"], len(said["refused"])) == (0, 2)
    assert all("gavel send" in each["problem"] for each in said["refused"])
    assert len(rig.messages()) == 1
    assert json.loads(run(app, ["dlq", "purge", "--yes", "--json"]).stdout) == {"purged": 2, "gone": 0}
    with closing(open_database(f"sqlite:///{tmp_path}/gavel.db")) as database, database.read() as connection:
        purged, tried = read_team_audit(connection, OPERATOR_TEAM, before=None, limit=10)
    assert (tried.action, tried.actor, tried.changes) == ("redriven", "cli", {"sent": [None, 0], "refused": [None, 2]})
    assert (purged.action, purged.actor, purged.changes) == ("purged", "cli", {"purged": [None, 2]})
    assert "No open dead letters" in run(app, ["dlq", "list"]).stdout
