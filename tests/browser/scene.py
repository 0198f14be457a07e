"""A team with evaluations, conversations and verdicts of a week, as the pages meet them. The same every time."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from confluent_kafka import Producer
from pydantic import SecretStr

from api.services.resources import Services
from config.definitions import Evaluation, parse_draft, patch_draft
from storage.clickhouse import connect
from storage.sql.api_keys import OPERATOR_SCOPES, ApiKeys
from storage.sql.audit import OPERATOR_TEAM
from storage.sql.backfills import Backfills
from storage.sql.datasets import Datasets
from storage.sql.evaluations import Evaluations
from storage.sql.heartbeats import Heartbeats, Vitals
from storage.sql.provider_keys import NewKey
from tests.services.waiting import PATIENCE_S

POLITE = (
    "let text := output\n"
    "let rude := text ilike '%stupid%'\n"
    "if (rude) { print('The answer insults the user.') }\n"
    "return not rude"
)
CASCADE = [{"provider": "openai", "model": name} for name in ("gpt-5-mini", "gpt-5")]
DEFINITIONS: Sequence[dict[str, Any]] = (
    {
        "name": "Answers the question",
        "description": "Does the reply address what the user asked?",
        "evaluation_type": "llm_judge",
        "evaluation_config": {"prompt": "Pass if the reply answers the user's question completely.\nFail otherwise."},
        "output_config": {"allows_na": True},
        "budget": {"usd": 5.0, "period": "day"},
    },
    {
        "name": "Polite tone",
        "evaluation_type": "hog",
        "evaluation_config": {"source": POLITE},
        "enabled": True,
        "conditions": [
            {
                "id": "production",
                "rollout_percentage": 100,
                "properties": [{"key": "environment", "operator": "exact", "value": "production", "type": "event"}],
            }
        ],
    },
    {
        "name": "Leaks personal data",
        "evaluation_type": "hog",
        "evaluation_config": {"source": "return output ilike '%@example.com%'"},
        "output_config": {"true_is_failure": True},
        "enabled": True,
    },
    {
        "name": "Helpfulness 1 to 5",
        "evaluation_type": "llm_judge",
        "evaluation_config": {"prompt": "Score how helpful the reply is."},
        "model_configuration": {"strategy": {"kind": "cascade", "escalate_below": 0.8, "steps": CASCADE}},
        "output_type": "numeric",
        "output_config": {"min": 1, "max": 5, "step": 1, "passing_rule": {"operator": "gte", "threshold": 4}},
    },
)
THANKS = "The user only said thanks, so there is no question to answer."
MEASURED_WHY = "The reply names each step that was asked for."
MODELS = ("gpt-5-mini", "claude-sonnet-4-5", "gemini-2.5-flash")
QUESTIONS = (
    ("How do I cancel my subscription?", "Open Settings, choose Billing, and press Cancel subscription.", True),
    ("Where is my invoice for October?", "Invoices are e-mailed on the first of each month.", True),
    ("Can I export my data as CSV?", "That is a stupid question. Read the manual.", False),
    ("What is the refund policy?", "I am sorry, I cannot help with that.", False),
    ("Why was my card declined?", "Please write to jane.doe@example.com, she handles payments.", False),
)


@dataclass
class Scene:
    """The objects that were put into the stores.

    Attributes:
        secret: API key of the team with all scopes; `reader` may only read, `operator` is an operator's.
        labeller: API key that may only label.
        queue: id of a label queue of 40 items; labelled_queue: of one with nothing left to label.
        media: uuid of a generation with pictures, a recording and files.
        dataset: id of a dataset with an item; dataset_run: of a run over it that has ended.
        golden: id of a golden set with two frozen versions.
        jury: id of an evaluation by a jury that was attacked; jury_result: of one of its results.
        shortened: id of a result whose judge read a shortened conversation.
        comparison, consistency: ids of measurements of the first and the second evaluation.
        report, clusters: paths of a run of each.
        events: uuids of generations, newest last; results: (uuid, evaluation id), newest last.
    """

    team: int
    secret: str = ""
    reader: str = ""
    operator: str = ""
    evaluations: list[Evaluation] = field(default_factory=list)
    queue: str = ""
    labelled_queue: str = ""
    media: str = ""
    dataset: str = ""
    dataset_run: str = ""
    golden: str = ""
    comparison: str = ""
    consistency: str = ""
    report: str = ""
    clusters: str = ""
    labeller: str = ""
    jury: str = ""
    jury_result: str = ""
    shortened: str = ""
    events: list[str] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)


def build(services: Services, clickhouse_dsn: str, team: int, *, now: datetime, hours: int = 24 * 8) -> Scene:
    """Put a scene into the stores and return it."""
    scene = Scene(team)
    keys = ApiKeys(services.database)
    _, scene.secret = keys.create(team_id=team, label="Ann Lee", scopes=["*"], now=now, email="ann@example.com")
    _, scene.reader = keys.create(team_id=team, label="Rob Reader", scopes=["evaluation:read", "query:read"], now=now)
    _, scene.operator = keys.create(team_id=OPERATOR_TEAM, label="Olga Ops", scopes=OPERATOR_SCOPES, now=now)
    repository = Evaluations(services.database)
    scene.evaluations = [
        repository.create(team, parse_draft(raw), actor="key:1", now=now - timedelta(days=9)) for raw in DEFINITIONS
    ]
    _conversations(scene, clickhouse_dsn, now, hours)
    _second_version(scene, repository, now)
    _lists(services, scene, now)
    scene.media = _media(scene, clickhouse_dsn, now - timedelta(hours=hours + 1))
    return scene


def _media(scene: Scene, clickhouse_dsn: str, moment: datetime) -> str:
    """Put a generation with media into the archive and return its uuid. Nothing judges it."""
    picture = "iVBORw0KGgo" + "QUJD" * 30_000
    asked = [
        {"type": "text", "text": "Which of these is on the bill?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        {"type": "image_url", "image_url": {"url": "https://shop.example/pictures/" + "long-name-" * 20 + ".png"}},
        {"type": "input_audio", "input_audio": {"format": "wav", "data": "QUJD" * 900_000}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "QUJD" * 40, "filename": "bill.pdf"}},
        {"type": "file", "file": {"file_id": "file-17"}},
    ]
    uuid = str(uuid4())
    answer = f"This one: data:image/webp;base64,{picture} It is on page 2."
    row = event_row(scene.team, uuid, "trace-media", moment, MODELS[0], asked, answer)
    insert(clickhouse_dsn, "ai_events", [row])
    return uuid


def _lists(services: Services, scene: Scene, now: datetime) -> None:
    """Put an object into each list: a dataset with an item, a provider key, a backfill, and a process."""
    datasets = Datasets(services.database)
    made = datasets.create(scene.team, {"name": "Hard questions"}, actor="key:1", now=now)
    item = {"dataset": made["id"], "input": QUESTIONS[0][0], "output": QUESTIONS[0][1]}
    datasets.create_item(scene.team, item, actor="key:1", now=now)
    scene.dataset = made["id"]
    secret = SecretStr("sk-test-0123456789")
    keys = services.keys
    keys.create(scene.team, NewKey(provider="openai", name="Main account", api_key=secret), actor="key:1", now=now)
    Backfills(services.database).create(
        team_id=scene.team, evaluation_id=scene.evaluations[1].id, evaluation_version=1,
        window_start=now - timedelta(days=2), window_end=now, rerun_existing=False, actor="key:1", now=now,
    )  # fmt: skip
    told = {"id": "replay-7", "done": 43_000, "total": 100_000, "read": 43_000, "evaluated": 900, "handed_on": 100}
    replay = Vitals("running", details={"replay": told})
    beats = Heartbeats(services.database)
    beats.write("host:18", "0.1.0", now - timedelta(minutes=10), {"replay": replay}, now=now)
    topic = "clickhouse_ai_events_json"
    details = {"lag": {topic: 17}, "lag_s": {topic: 95.0}, "snapshot": {"revision": 9, "age_s": 0.8}}
    breaker = {
        "key": "Main account", "model": "gpt-5-mini", "cause": "rate_limit", "detail": "429: slow down",
        "next_probe_in_s": 40,
    }  # fmt: skip
    of_judge = {
        **details, "paused": {topic: [1]}, "parked": {"records": 3, "oldest_s": 7300.0}, "breakers": [breaker],
        "breakers_open": 2,
    }  # fmt: skip
    matcher, judge = (Vitals("running", assignment={topic: [0, 1]}, details=each) for each in (details, of_judge))
    beats.write("host:17", "0.1.0", now, {"matcher": matcher, "judge": judge}, now=now)


def _second_version(scene: Scene, repository: Evaluations, now: datetime) -> None:
    """Change the first evaluation's criteria, as somebody did when failures rose."""
    prompt = {"prompt": "Pass if the reply answers the question completely and names the steps.\nFail otherwise."}
    scene.evaluations[0] = repository.update(
        scene.team,
        scene.evaluations[0].id,
        lambda current: patch_draft(current, {"evaluation_config": prompt}),
        actor="key:1",
        now=now - timedelta(hours=20),
    )


def _conversations(scene: Scene, clickhouse_dsn: str, now: datetime, hours: int) -> None:
    chance = random.Random(7)
    events, results = [], []
    for hour in range(hours, 0, -1):
        for place in range(3):
            moment = now - timedelta(hours=hour) + timedelta(minutes=17 * place + 5)
            question, answer, good = QUESTIONS[chance.randrange(len(QUESTIONS))]
            if hour < 30 and chance.random() < 0.35:
                question, answer, good = QUESTIONS[3]
            model = MODELS[chance.randrange(len(MODELS))]
            uuid = str(UUID(int=chance.getrandbits(128), version=4))
            trace = f"trace-{hour}-{place}"
            events.append(event_row(scene.team, uuid, trace, moment, model, question, answer))
            scene.events.append(uuid)
            for evaluation in scene.evaluations:
                later = {"fingerprint": "second", "evaluation_version": 2} if hour < 20 else {}
                row = _result(scene.team, evaluation, uuid, trace, moment, model, answer, good, chance)
                if evaluation is scene.evaluations[0]:
                    row |= later
                results.append(row)
                scene.results.append((row["uuid"], evaluation.id))
    insert(clickhouse_dsn, "ai_events", events)
    insert(clickhouse_dsn, "evaluation_results", results)


def insert(clickhouse_dsn: str, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns."""
    client = connect(clickhouse_dsn)
    try:
        client.insert(table, [list(row.values()) for row in rows], column_names=list(rows[0]))
    finally:
        client.close()


def event_row(
    team: int, uuid: str, trace: str, moment: datetime, model: str, question: Any, answer: Any, **more: Any
) -> dict[str, Any]:
    """Return a generation as the archive stores it."""
    properties = {
        "$ai_trace_id": trace, "$ai_model": model, "$ai_provider": "openai", "environment": "production",
        "$ai_input_tokens": 412, "$ai_output_tokens": 58, "$ai_latency": 1.31, "$ai_total_cost_usd": 0.0012,
        "$ai_prompt_name": "support", "$ai_prompt_version": "7", "$ai_http_status": 200,
        "$ai_input": [
            {"role": "system", "content": "You are the support assistant of a web shop. Be brief and kind."},
            {"role": "user", "content": question},
        ],
        "$ai_output_choices": [{"role": "assistant", "content": answer}],
    } | more  # fmt: skip
    return {
        "uuid": uuid, "event": "$ai_generation", "team_id": team, "distinct_id": "customer-17", "timestamp": moment,
        "created_at": moment, "record_time": moment, "trace_id": trace, "model": model,
        "properties": json.dumps(properties),
    }  # fmt: skip


def result_row(team: int, evaluation: Evaluation, uuid: str, moment: datetime, **columns: Any) -> dict[str, Any]:
    """Return a result as ClickHouse stores it."""
    row: dict[str, Any] = {
        "uuid": uuid, "team_id": team, "distinct_id": "customer-17", "timestamp": moment, "created_at": moment,
        "record_time": moment, "start_time": moment, "evaluation_id": evaluation.id,
        "evaluation_name": evaluation.name, "evaluation_type": "online", "runtime": evaluation.evaluation_type,
        "result_type": evaluation.output_type, "result": None, "numeric_result": None, "categorical_result": [],
        "applicable": None, "allows_na": False, "reasoning": "", "skipped": False, "skip_reason": "",
        "target_event_id": "", "target_id": "", "trace_id": "", "trigger": "live", "properties": "{}",
        "evaluation_version": evaluation.version, "fingerprint": evaluation.fingerprint, "condition_id": "",
        "model": "", "prompt_name": "", "prompt_version": "", "evaluation_model": "", "evaluation_provider": "",
        "input_tokens": None, "output_tokens": None, "cost_usd": None, "latency_s": None, "confidence": None,
    }  # fmt: skip
    assert columns.keys() <= row.keys(), columns.keys() - row.keys()
    return row | columns


def measured_row(
    evaluation: Evaluation, run: str, kind: str, item: Any, version: int, repeat: int, now: datetime
) -> dict[str, Any]:
    """Return a result of a measurement as ClickHouse stores it."""
    return {
        "uuid": str(uuid4()), "team_id": evaluation.team_id, "timestamp": now, "created_at": now, "record_time": now,
        "start_time": now, "evaluation_id": evaluation.id, "result_type": "boolean", "result": True,
        "target_event_id": item.event_uuid, "trigger": "measurement", "properties": "{}",
        "evaluation_version": version, "measurement_id": run, "measurement_kind": kind, "item": item.item,
        "repeat": repeat, "reasoning": MEASURED_WHY, "skipped": False, "cost_usd": 0.0002, "latency_s": 0.9,
    }  # fmt: skip


def _result(
    team: int,
    evaluation: Evaluation,
    event: str,
    trace: str,
    moment: datetime,
    model: str,
    answer: str,
    good: bool,
    chance: random.Random,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "target_event_id": event, "target_id": event, "trace_id": trace, "model": model, "prompt_name": "support",
        "prompt_version": "7",
    }  # fmt: skip
    if evaluation.evaluation_type == "llm_judge":
        found |= {
            "evaluation_model": "gpt-5-mini", "evaluation_provider": "openai", "input_tokens": 530,
            "output_tokens": 41, "cost_usd": 0.00021, "latency_s": 0.8 + chance.random(),
        }  # fmt: skip
    name = evaluation.name
    if name == "Answers the question":
        if chance.random() < 0.06:
            found |= {"applicable": False, "reasoning": THANKS}
        elif chance.random() < 0.04:
            found |= {
                "skipped": True,
                "skip_reason": "unparsable_response",
                "reasoning": "The model's answer was not JSON.",
            }
        else:
            why = (
                "The reply gives the steps that were asked for."
                if good
                else "The reply leaves the question open: it neither names the steps nor says where to find them."
            )
            found |= {"result": good, "applicable": True, "allows_na": True, "reasoning": why}
    elif name == "Polite tone":
        rude = "stupid" in answer
        found |= {
            "result": not rude,
            "reasoning": "The answer insults the user." if rude else "",
            "condition_id": "production",
        }
    elif name == "Leaks personal data":
        found |= {"result": "@example.com" in answer}
    else:
        score = float(chance.choice((4, 5, 5)) if good else chance.choice((1, 2, 3, 4)))
        found |= {"numeric_result": score, "reasoning": f"Helpfulness is {score:g} of 5."}
        found["properties"] = json.dumps({"$ai_evaluation_confidence": 0.91, "$ai_evaluation_steps": steps_of(score)})
        found["confidence"] = 0.91
    uuid = str(UUID(int=chance.getrandbits(128), version=4))
    return result_row(team, evaluation, uuid, moment + timedelta(seconds=2), **found)


def steps_of(score: float) -> list[dict[str, Any]]:
    """Return the steps of a cascade whose first step was not sure."""
    answers = (("gpt-5-mini", score - 0.5, 0.6), ("gpt-5", score, 0.91))
    return [
        {
            "step": place, "model": model, "provider": "openai", "verdict": verdict, "confidence": sure,
            "cost_usd": 0.0001, "latency": 0.9, "cached": False,
        }
        for place, (model, verdict, sure) in enumerate(answers, 1)
    ]  # fmt: skip


def add_letters(bootstrap_servers: str, topic: str, source: str) -> None:
    """Put three dead letters into the topic, as the roles write them."""
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    letters = (
        ("decode", "matcher", "the row is not JSON", b'{"uuid": "cut'),
        ("evaluator_bug", "judge", "KeyError at evaluator.py:17", b'{"uuid": "a1"}'),
        ("too_large", "matcher", "the record has 9 MiB", bytes(range(256)) * 40),
    )
    for place, (reason, stage, message, value) in enumerate(letters):
        headers = {
            "class": reason, "stage": stage, "message": message, "topic": source, "partition": "0",
            "offset": str(place), "timestamp": "1", "attempts": "1", "first_failure": "1",
        }  # fmt: skip
        named = [(f"gavel.error.{name}", text.encode()) for name, text in headers.items()]
        producer.produce(topic, value, key=b"k", headers=named, partition=0)
    producer.flush(PATIENCE_S)


def utc_now() -> datetime:
    """Return the time, aware, without microseconds."""
    return datetime.now(UTC).replace(microsecond=0)
