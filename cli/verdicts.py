"""Verdicts and dead letters as they happen: one line each, for `gavel up` and `gavel results --follow`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import typer

from cli.terminal import printable
from storage.background import Background

if TYPE_CHECKING:
    from config.settings import Settings
    from processor.events.message import Message
    from processor.kafka import KafkaClients
    from storage.clickhouse.query import PassRule
    from storage.clickhouse.results import StoredResult, Verdict
    from storage.sql.engine import Database

_RULES_FOR_S = 10.0
_POLL_S = 0.2
_ANSWERS_WITHIN_S = 10.0
_BATCH = 500
_ALL = 1_000_000
_NAME_CHARS, _TEXT_CHARS = 28, 160
_COLOURS = {"pass": "green", "fail": "red", "scored": "cyan", "not_applicable": "bright_black", "skipped": "yellow"}
_WORDS = {"not_applicable": "N/A", "skipped": "skip"}


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """One verdict for a person. Texts are as they came, and may hold anything."""

    at: datetime
    team_id: int
    verdict: Verdict
    evaluation_id: str
    evaluation: str
    reasoning: str
    event_id: str
    score: float | None = None
    categories: tuple[str, ...] = ()
    model: str = ""
    latency_s: float | None = None
    cost_usd: float | None = None
    skip_reason: str = ""
    confidence: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the verdict for scripts."""
        return {
            "at": self.at.isoformat(),
            "team_id": self.team_id,
            "verdict": self.verdict,
            "evaluation_id": self.evaluation_id,
            "evaluation": self.evaluation,
            "score": self.score,
            "categories": list(self.categories),
            "reasoning": self.reasoning,
            "skip_reason": self.skip_reason,
            "event_id": self.event_id,
            "model": self.model,
            "latency_s": self.latency_s,
            "cost_usd": self.cost_usd,
            "confidence": self.confidence,
        }

    def styled(self) -> str:
        """Return the line for a terminal."""
        word = typer.style(f"{_WORDS.get(self.verdict, self.verdict):<6}", fg=_COLOURS[self.verdict], bold=True)
        value = "" if self.score is None else f"{self.score:g} "
        value += f"{', '.join(self.categories)} " if self.categories else ""
        value += "" if self.confidence is None else f"({self.confidence:.0%} sure) "
        words = " ".join((self.skip_reason + " " + self.reasoning if self.skip_reason else self.reasoning).split())
        text = printable(value + words)[:_TEXT_CHARS]
        name = printable(self.evaluation)[:_NAME_CHARS]
        model = f"  {printable(self.model)[:40]} {self.latency_s or 0:.1f} s" if self.model else ""
        return f"{self.at:%H:%M:%S} {word} {name:<{_NAME_CHARS}} {text}{model}  event {printable(self.event_id)[:36]}"


class RulesOfTeams:
    """Passing rules by team, read from the store and kept for some seconds. One thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[int, tuple[float, dict[str, PassRule]]] = {}

    def of(self, team_id: int) -> dict[str, PassRule]:
        """Return the rules of a team by evaluation id; an old answer if the store is away."""
        from storage.sql.engine import StoreError

        read_s, rules = self._kept.get(team_id, (-_RULES_FOR_S, {}))
        if monotonic() - read_s >= _RULES_FOR_S:
            with suppress(StoreError):
                rules = rules_of_team(self._database, team_id)
            self._kept[team_id] = monotonic(), rules
        return rules


def rules_of_team(database: Database, team_id: int) -> dict[str, PassRule]:
    """Return how the results of a team's evaluations are read, by evaluation id.

    Raises:
        StoreError: the store does not answer.
    """
    from storage.clickhouse.query import PassRule
    from storage.sql.evaluations import Evaluations

    return {str(each.id): PassRule.of(each.output_config) for each in Evaluations(database).each(team_id)}


def read_result(value: bytes, rules: RulesOfTeams) -> VerdictLine | None:
    """Return the verdict that a record of the results topic holds; None if it is not a result."""
    import orjson

    with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
        row = orjson.loads(value)
        found = orjson.loads(row["properties"])
        team_id = int(row["team_id"])
        rule = rules.of(team_id).get(found["$ai_evaluation_id"])
        return VerdictLine(
            at=datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC),
            team_id=team_id,
            verdict=_verdict(found, rule),
            evaluation_id=str(found["$ai_evaluation_id"]),
            evaluation=str(found.get("$ai_evaluation_name")),
            reasoning=str(found.get("$ai_evaluation_reasoning", "")),
            event_id=str(found.get("$ai_target_event_id", "")),
            score=_number(found.get("$ai_evaluation_numeric_result")),
            categories=tuple(map(str, found.get("$ai_evaluation_categorical_result") or ())),
            model=str(found.get("$ai_evaluation_model", "")),
            latency_s=_number(found.get("$ai_evaluation_latency")),
            cost_usd=_number(found.get("$ai_evaluation_cost_usd")),
            skip_reason=str(found.get("$ai_evaluation_skip_reason", "")),
            confidence=_number(found.get("$ai_evaluation_confidence")),
        )
    return None


def of_stored(result: StoredResult) -> VerdictLine:
    """Return a result of ClickHouse as a line."""
    return VerdictLine(
        at=result.timestamp,
        team_id=result.team_id,
        verdict=result.verdict,
        evaluation_id=result.evaluation_id,
        evaluation=result.evaluation_name,
        reasoning=result.reasoning,
        event_id=result.target_event_id,
        score=result.numeric_result,
        categories=tuple(result.categorical_result),
        model=result.evaluation_model,
        latency_s=result.latency_s,
        cost_usd=result.cost_usd,
        skip_reason=result.skip_reason,
        confidence=result.confidence,
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _verdict(found: dict[str, Any], rule: PassRule | None) -> Verdict:
    """Return how a result reads, as `PassRule.bind` has it for stored ones."""
    from storage.clickhouse.query import PassRule

    if found.get("$ai_evaluation_skipped"):
        return "skipped"
    value: bool | None = found.get("$ai_evaluation_result")
    score = _number(found.get("$ai_evaluation_numeric_result"))
    chosen: list[str] = found.get("$ai_evaluation_categorical_result") or []
    given = value if value is not None else score if score is not None else frozenset(chosen) or None
    return (rule or PassRule()).name_of(None if found.get("$ai_evaluation_applicable") is False else given)


class Tail:
    """Reads the newest records of topics, and those that are written from now on. It belongs to no consumer group.

    Args:
        back: records of each partition to begin with.

    Raises:
        KafkaException: the broker does not answer, or a topic does not exist.
    """

    def __init__(self, clients: KafkaClients, topics: list[str], *, back: int) -> None:
        from confluent_kafka import Consumer, TopicPartition

        options = {"group.id": "gavel-tail", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self._consumer = Consumer({**clients.base("tail"), **options})
        metadata = self._consumer.list_topics(timeout=_ANSWERS_WITHIN_S).topics
        self._ends: dict[tuple[str, int], int] = {}
        places = []
        for name in topics:
            for number in metadata[name].partitions if name in metadata else ():
                low, end = self._consumer.get_watermark_offsets(TopicPartition(name, number), timeout=_ANSWERS_WITHIN_S)
                self._ends[name, number] = end
                places.append(TopicPartition(name, number, max(low, end - back)))
        self._consumer.assign(places)

    def read(self) -> list[Message]:
        """Return the records that came within a fraction of a second."""
        return cast("list[Message]", [each for each in self._consumer.consume(_BATCH, _POLL_S) if each.error() is None])

    def was_there(self, message: Message) -> bool:
        """Whether a record had been written before the tail was opened."""
        return message.offset() < self._ends[message.topic(), message.partition()]

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


class VerdictLines(Background):
    """Prints a line per verdict and per dead letter, beside the roles of `gavel up`."""

    name = "verdicts"

    def __init__(self, settings: Settings, clients: KafkaClients, database: Database) -> None:
        super().__init__("verdict-lines", every_s=1.0, stop_within_s=5.0, at_once=True)
        self._topics = settings.kafka.topics
        self._clients = clients
        self._rules = RulesOfTeams(database)
        # The embedded broker begins empty, so nothing of it is old.
        self._back = _ALL if settings.kafka.is_embedded else 0

    def _turn(self) -> None:
        from confluent_kafka import KafkaException

        with suppress(KafkaException):  # the roles say that the broker is away; the lines go on when it is back
            self._follow()

    def _follow(self) -> None:
        tail = Tail(self._clients, [self._topics.results, self._topics.dead_letters], back=self._back)
        self._back = 0
        try:
            while not self.stopping:
                for message in tail.read():
                    self._print(message)
        finally:
            tail.close()

    def _print(self, message: Message) -> None:
        if message.topic() != self._topics.results:
            self._print_letter(message)
        elif (line := read_result(message.value() or b"", self._rules)) is not None:
            typer.echo(line.styled())

    def _print_letter(self, message: Message) -> None:
        from processor.dead_letters.stored import parse_letter

        letter = parse_letter(message, with_value=False)
        if letter is not None and letter.reason:
            word = typer.style("dead  ", fg="red", bold=True)
            text = printable(letter.message)[:_TEXT_CHARS]
            typer.echo(f"{letter.failed_at:%H:%M:%S} {word} {letter.reason}: {text}  (gavel dlq show {letter.id})")
