"""Dead letters on real Kafka: listed, sent back once, capped, closed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner

from cli.main import build_app
from processor.dead_letters.letter import dead_letter
from processor.dead_letters.redrive import DeadLetterTopic, LetterFilter, Redriver
from tests.integration.ingest_rig import IngestRig, generation


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
        admin = AdminClient({"bootstrap.servers": kafka})
        topics = [NewTopic(name, num_partitions=1, replication_factor=1) for name in (self.events, self.tasks)]
        for future in admin.create_topics([*topics, NewTopic(self.letters, 2, 1)]).values():
            future.result(30)

    def bury(self, offset: int, value: bytes, reason: Any = "decode", **options: Any) -> None:
        source = Source(self.events, offset, value, options.pop("headers", None))
        letter = dead_letter(
            self.letters, source, stage="matcher", reason=reason, detail="why", max_bytes=1 << 20, **options
        )
        producer = Producer({"bootstrap.servers": self.kafka})
        producer.produce(letter.topic, letter.value, key=letter.key, headers=letter.headers, partition=offset % 2)
        assert producer.flush(10) == 0

    def topic(self) -> DeadLetterTopic:
        return DeadLetterTopic({"bootstrap.servers": self.kafka}, self.letters)

    def redriver(self, max_attempts: int = 5) -> Redriver:
        config = {"bootstrap.servers": self.kafka, "transactional.id": f"{self.letters}-redrive"}
        config["message.max.bytes"] = 1 << 20
        return Redriver(config, self.topic(), self.letters, max_attempts=max_attempts)

    def read(self, topic: str, expected: int) -> list[Any]:
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": uuid4().hex, "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        found: list[Any] = []
        for _ in range(60):
            found += [message for message in consumer.consume(100, 0.25) if message.error() is None]
            if len(found) >= expected:
                break
        found += [message for message in consumer.consume(100, 1.0) if message.error() is None]
        consumer.close()
        return found


@pytest.fixture
def setting(kafka: str) -> Setting:
    return Setting(kafka)


def test_a_redriven_letter_goes_back_as_it_came_and_only_once(setting: Setting) -> None:
    for n in range(6):
        setting.bury(n, f"value-{n}".encode(), headers=[("trace", b"\x01")])
    letters = setting.topic().open_letters(LetterFilter())
    assert len(letters) == 6
    assert setting.redriver().redrive(letters).sent == 6
    assert setting.topic().open_letters(LetterFilter()) == []
    back = setting.read(setting.events, 6)
    assert Counter(m.value() for m in back) == Counter(f"value-{n}".encode() for n in range(6))
    assert all(m.key() == b"key" for m in back)
    assert dict(back[0].headers()) == {"trace": b"\x01", "gavel.error.attempts": b"1"}


def test_a_run_that_failed_goes_back_as_a_task_not_as_its_event(setting: Setting) -> None:
    extra = [("gavel.error.redrive_topic", setting.tasks.encode()), ("gavel.task.evaluation_id", b"e1")]
    setting.bury(0, b"event", "evaluator_bug", extra=extra)
    (letter,) = setting.topic().open_letters(LetterFilter(evaluation_id="e1"))
    setting.redriver().redrive([letter])
    (task,) = setting.read(setting.tasks, 1)
    assert dict(task.headers())["gavel.task.evaluation_id"] == b"e1"


def test_letters_are_selected_by_reason_id_and_time(setting: Setting) -> None:
    setting.bury(0, b"a", "decode")
    setting.bury(1, b"b", "too_large")
    topic = setting.topic()
    (large,) = topic.open_letters(LetterFilter(reason="too_large"))
    assert large.value == b"b"
    assert [found.value for found in topic.open_letters(LetterFilter(ids=frozenset({large.id})))] == [b"b"]
    assert topic.open_letters(LetterFilter(until=large.failed_at.replace(year=2000))) == []
    assert len(topic.open_letters(LetterFilter(since=large.failed_at.replace(year=2000)))) == 2


def test_the_attempt_cap_leaves_a_letter_where_it_is(setting: Setting) -> None:
    setting.bury(0, b"again", headers=[("gavel.error.attempts", b"4")])
    letters = setting.topic().open_letters(LetterFilter())
    assert letters[0].attempts == 5
    done = setting.redriver(max_attempts=5).redrive(letters)
    assert (done.sent, done.refused[0][0].id) == (0, letters[0].id)
    assert len(setting.topic().open_letters(LetterFilter())) == 1


def test_a_value_that_was_left_out_is_fetched_from_where_it_lies(setting: Setting) -> None:
    value = b"x" * ((1 << 20) - 2000)
    producer = Producer({"bootstrap.servers": setting.kafka, "message.max.bytes": 4 << 20})
    producer.produce(setting.events, value)
    assert producer.flush(10) == 0
    setting.bury(0, value, "too_large")
    (letter,) = setting.topic().open_letters(LetterFilter())
    assert letter.value is None
    assert setting.redriver().redrive([letter]).sent == 1
    assert [m.value() == value for m in setting.read(setting.events, 2)] == [True, True]


def test_a_value_over_the_limit_stays_and_the_others_go(setting: Setting) -> None:
    producer = Producer({"bootstrap.servers": setting.kafka, "message.max.bytes": 4 << 20})
    value = b"x" * (1 << 20)
    producer.produce(setting.events, value)
    try:
        delivered = producer.flush(10) == 0
    finally:
        setting.bury(0, value, "too_large")
    setting.bury(1, b"small")
    assert delivered
    done = setting.redriver().redrive(setting.topic().open_letters(LetterFilter()))
    assert done.sent == 1
    assert len(done.refused) == 1


def test_a_purged_letter_is_closed_and_goes_nowhere(setting: Setting) -> None:
    setting.bury(0, b"a")
    assert setting.redriver().purge(setting.topic().open_letters(LetterFilter())) == 1
    assert setting.topic().open_letters(LetterFilter()) == []
    assert setting.read(setting.events, 0) == []


def test_the_commands_show_and_do_what_they_say(setting: Setting, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("GAVEL_KAFKA__BOOTSTRAP_SERVERS", setting.kafka)
    monkeypatch.setenv("GAVEL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GAVEL_KAFKA__TOPICS__DEAD_LETTERS", setting.letters)
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
    assert run(app, ["dlq", "show", "9:9"]).exit_code == 1
    assert run(app, ["dlq", "redrive", "--since", "yesterday"]).exit_code == 2
    assert json.loads(run(app, ["dlq", "redrive", "--dry-run", "--json"]).stdout)["would_send"] == 1
    assert run(app, ["dlq", "redrive"]).exit_code == 2, "not a terminal and not --yes: it must not go on"
    assert json.loads(run(app, ["dlq", "redrive", "--yes", "--json"]).stdout) == {"sent": 1, "refused": []}
    assert "No open dead letters" in run(app, ["dlq", "list"]).stdout


def test_an_event_that_the_front_door_refused_is_listed_shown_and_purged_but_never_sent_back(
    kafka: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with IngestRig(kafka, tmp_path).running() as rig:
        rig.batch(generation(1), {**generation(2), "properties": ["\x1b[2J"]})
        rig.batch({**generation(3), "properties": {"$ai_input": "x" * 5_000_000, "$ai_output": '"' * 4_500_000}})
        assert rig.count("gavel_dead_letters_total", role="ingest", reason="decode") == 1
        assert rig.count("gavel_dead_letters_total", role="ingest", reason="too_large") == 1
    monkeypatch.setenv("GAVEL_KAFKA__BOOTSTRAP_SERVERS", kafka)
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
    assert json.loads(run(app, ["dlq", "purge", "--yes", "--json"]).stdout) == {"purged": 2}
    assert "No open dead letters" in run(app, ["dlq", "list"]).stdout
