"""A team in which every text that a stranger gives is one text: a payload, or the longest that a field takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import sqlalchemy as sa
from confluent_kafka import Message, Producer
from pydantic import SecretStr

from api.services import golden_desk, label_desk, trust_desk
from config.definitions import Evaluation, parse_draft, patch_draft
from storage.sql.api_keys import ApiKeys
from storage.sql.backfills import Backfills
from storage.sql.clustering import ClusteringJobs, ClusteringRuns
from storage.sql.datasets import Datasets
from storage.sql.evaluation_report_runs import Opening, ReportRuns
from storage.sql.evaluation_reports import EvaluationReports
from storage.sql.evaluations import Evaluations
from storage.sql.heartbeats import Heartbeats, Vitals
from storage.sql.measurements import MeasuredItem, MeasurementRuns, NewMeasurement, measurement_runs
from storage.sql.provider_keys import NewKey
from tests.browser import scene as scenes
from tests.browser.conftest import Served
from tests.browser.second_scene import clusters_of
from tests.services.claims import claim_only
from tests.services.waiting import PATIENCE_S
from tests.unit.reports.evaluation_reports.sample import content


@dataclass(frozen=True)
class Queued:
    """A queue with an item in hand, and a golden set."""

    queue: str
    item: str
    golden: str


@dataclass(frozen=True)
class Made:
    """Ids of what the team has. `report` and `clusters` are paths of a run of each."""

    evaluation: str
    event: str
    trace: str
    result: str
    dataset: str
    queue: Queued
    comparison: str
    consistency: str
    report: str
    clusters: str
    letter: str


@dataclass(frozen=True)
class Strange:
    """Builds the team.

    Attributes:
        text: stands in every field, as much of it as the field takes.
        turns: contents of the messages of the one conversation.
    """

    served: Served
    team: int
    text: str
    turns: Sequence[str]

    def build(self) -> tuple[str, dict[str, str]]:
        """Make the team. Return the secret of its reader's key, and the paths of all pages by their names."""
        services, now = self.served.services, scenes.utc_now()
        _, secret = ApiKeys(services.database).create(team_id=self.team, label=self.text[:200], scopes=["*"], now=now)
        raw = {
            "name": self.text[:400], "description": self.text, "evaluation_type": "llm_judge",
            "evaluation_config": {"prompt": self.text}, "output_type": "categorical",
            "output_config": {"options": [{"key": self.text[:60], "label": self.text[:400]}]},
            "conditions": [
                {
                    "id": self.text[:90],
                    "properties": [{"key": self.text[:300], "operator": "exact", "value": self.text}],
                },
            ],
        }  # fmt: skip
        evaluation = Evaluations(services.database).create(self.team, parse_draft(raw), actor=self.text[:150], now=now)
        Evaluations(services.database).create(self.team, parse_draft({**raw, "name": "other"}), actor="key:1", now=now)
        event, trace = str(uuid4()), self.text[:150]
        turns: list[dict[str, Any]] = [{"role": self.text[:60], "content": each} for each in self.turns]
        function = {"name": self.text[:90], "arguments": json.dumps({"a": self.text})}
        call = {"id": self.text[:90], "type": "function", "function": function}
        turns.append({"role": "assistant", "content": None, "tool_calls": [call]})
        linked = {"type": "file", "mimeType": self.text, "url": f"https://{self.text}", "filename": self.text}
        turns.append({"role": "user", "content": [linked, {"type": "image", "data": self.text, "alt": self.text}]})
        at = now - timedelta(minutes=5)
        row = scenes.event_row(self.team, event, trace, at, self.text, turns, self.text, **{self.text[:90]: self.text})
        row |= {"distinct_id": self.text}
        tools = [{"name": self.text, "description": self.text}]
        properties = json.loads(row["properties"]) | {"$ai_input": turns, "$ai_error": self.text, "$ai_tools": tools}
        scenes.insert(self.served.clickhouse_dsn, "ai_events", [row | {"properties": json.dumps(properties)}])
        results = [
            scenes.result_row(
                self.team, evaluation, str(uuid4()), now - timedelta(minutes=4), target_event_id=event, trace_id=trace,
                reasoning=self.text, model=self.text, prompt_name=self.text, prompt_version=self.text,
                evaluation_model=self.text,
                **fields,
            )
            for fields in (
                {"categorical_result": [self.text[:60], self.text]},
                {"skipped": True, "skip_reason": self.text[:80]},
            )
        ]  # fmt: skip
        scenes.insert(self.served.clickhouse_dsn, "evaluation_results", results)
        datasets = Datasets(services.database)
        dataset = datasets.create(
            self.team, {"name": self.text[:400], "description": self.text}, actor="key:1", now=now
        )
        item = {
            "dataset": dataset["id"],
            "input": self.text,
            "output": {"a": self.text},
            "ref_source_id": self.text[:250],
        }
        datasets.create_item(self.team, item, actor="key:1", now=now)
        self._run_over(dataset["id"], evaluation, now)
        self._list(evaluation, now)
        made = Made(
            evaluation=evaluation.id, event=event, trace=trace, result=results[0]["uuid"], dataset=dataset["id"],
            queue=self._labelled(evaluation, event, results[0]["uuid"], now), comparison="", consistency="",
            report=self._reported(evaluation, now), clusters=self._clustered(event, now), letter=self._operate(now),
        )  # fmt: skip
        comparison, consistency = self._compared(evaluation, event, now)
        return secret, paths_of(self.team, self.text, replace(made, comparison=comparison, consistency=consistency))

    def _run_over(self, dataset: str, evaluation: Evaluation, now: datetime) -> None:
        """Store a run over a dataset that failed with the text."""
        database = self.served.services.database
        new = NewMeasurement(
            team_id=self.team, evaluation_id=evaluation.id, kind="consistency", versions=(1,), repeats=2,
            params={"dataset": dataset}, items=[MeasuredItem("dataset_item:1", "e")],
        )  # fmt: skip
        run = MeasurementRuns(database).create(new, actor="key:1", now=now)
        with database.write() as connection:
            mine = sa.update(measurement_runs).where(measurement_runs.c.id == run.id)
            connection.execute(mine.values(state="failed", error=self.text))

    def _labelled(self, evaluation: Evaluation, event: str, result: str, now: datetime) -> Queued:
        """Label a result and freeze the label."""
        services = self.served.services
        caller, _ = ApiKeys(services.database).create(
            team_id=self.team, label=self.text[:200], email=self.text[:200], scopes=["*"], now=now
        )
        fields = {"evaluation": evaluation.id, "mode": "focus", "reason": "hand_picked", "results": [result]}
        queue = label_desk.create_queue(services, caller, {**fields, "name": self.text[:400]})
        item = label_desk.take(services, caller, queue.id)
        assert item is not None
        label_desk.save(services, caller, queue.id, item, [f"option:{self.text[:60]}"], {"comment": self.text})
        golden = golden_desk.create(
            services, caller, {"evaluation": evaluation.id, "name": self.text[:400], "description": self.text}
        )
        golden_desk.freeze(services, caller, golden_desk.row_of(services, self.team, golden.id))
        other = label_desk.create_queue(services, caller, {**fields, "name": self.text[:400], "blind": False})
        # The reader's own key takes it, so that the item is in his hand.
        own = next(key for key in ApiKeys(services.database).list(self.team) if not key.email)
        held = label_desk.take(services, own, other.id)
        assert held is not None
        return Queued(other.id, held, golden.id)

    def _compared(self, evaluation: Evaluation, event: str, now: datetime) -> tuple[str, str]:
        """Compare two versions, and repeat one. Return the ids of both runs."""
        services = self.served.services
        caller = ApiKeys(services.database).list(self.team)[0]
        prompt = {"evaluation_config": {"prompt": f"2 {self.text}"}}
        changed = Evaluations(services.database).update(
            self.team, evaluation.id, lambda current: patch_draft(current, prompt), actor="key:1", now=now,
        )  # fmt: skip
        window = {"window_start": (now - timedelta(days=1)).isoformat()}
        run: Any = trust_desk.start_comparison(services, caller, changed, {"version_a": 1, "version_b": 2, **window})
        rows = [
            {
                "uuid": str(uuid4()), "team_id": self.team, "timestamp": now, "created_at": now, "record_time": now,
                "start_time": now, "evaluation_id": evaluation.id, "result_type": "categorical",
                "categorical_result": [f"{version} {self.text}"], "target_event_id": event, "trigger": "measurement",
                "properties": "{}", "evaluation_version": version, "measurement_id": str(run.id),
                "measurement_kind": "comparison", "item": f"event:{event}", "repeat": 0, "reasoning": self.text,
                "skipped": False,
            }
            for version in (1, 2)
        ]  # fmt: skip
        scenes.insert(self.served.clickhouse_dsn, "evaluation_measurements", rows)
        again: Any = trust_desk.start_run(services, caller, changed, {"kind": "consistency", "size": 5, "repeats": 2})
        return str(run.id), str(again.id)

    def _list(self, evaluation: Evaluation, now: datetime) -> None:
        """Put a provider key that does not work and a failed backfill into their lists."""
        services = self.served.services
        keys = services.keys
        new = NewKey(provider="openai", name=self.text[:200], api_key=SecretStr("sk-test-0123456789"))
        made = keys.create(self.team, new, actor="key:1", now=now)
        keys.set_state(self.team, made.id, "invalid", error_message=self.text, now=now)
        Backfills(services.database).create(
            team_id=self.team, evaluation_id=evaluation.id, evaluation_version=1, window_start=now - timedelta(days=2),
            window_end=now, rerun_existing=False, actor=self.text[:150], now=now,
        )  # fmt: skip

    def _reported(self, evaluation: Evaluation, now: datetime) -> str:
        """Store the run of a report with the text in its texts and its error."""
        values = {
            "evaluation_id": evaluation.id, "frequency": "scheduled", "rrule": "FREQ=DAILY", "starts_at": now,
            "timezone_name": "UTC", "next_delivery_date": None, "enabled": True, "max_sample_size": 10,
            "delivery_targets": [{"type": "email", "value": self.text}], "report_prompt_guidance": self.text,
            "trigger_threshold": 1, "cooldown_minutes": 1, "daily_run_cap": 1,
        }  # fmt: skip
        services = self.served.services
        report = EvaluationReports(services.database).create(self.team, values, actor="key:1", now=now)
        runs = ReportRuns(services.database)
        asked = runs.open_manual(report, Opening("manual", "manual", now - timedelta(days=1), now, now), now=now)
        run = claim_only(lambda: runs.claim("stranger", now=now + timedelta(seconds=1), lease_s=86_400), asked.id)
        said = content(sections=[{"title": self.text, "text": self.text}], title=self.text)
        said["evaluation"]["name"] = self.text
        runs.store_content(run, "stranger", said, report.delivery_targets, now)
        return f"{report.id}/{run.id}"

    def _clustered(self, event: str, now: datetime) -> str:
        """Store a run of clustering with the text in its titles, terms, notes and ids."""
        services = self.served.services
        values = {"name": self.text[:400], "analysis_level": "generation", "event_filters": [], "enabled": True}
        job = ClusteringJobs(services.database).create(self.team, values, actor="key:1", now=now)
        runs = ClusteringRuns(services.database)
        week = {"window_start": now - timedelta(days=7), "window_end": now, "now": now}
        asked = runs.ask(job, method="auto", max_samples=100, actor="key:1", **week)
        run = claim_only(lambda: runs.claim("stranger", now=now, lease_s=86_400), asked.id)
        runs.complete(run, "stranger", clusters_of([event, self.text] * 15, self.text), 2, now=now)
        return f"{job.id}/{run.id}"

    def _operate(self, now: datetime) -> str:
        """Write heartbeats and a dead letter with the text in every field. Return the id of the letter."""
        topic, part = self.text[:100], self.text[:200]
        breaker = {"key": part, "model": part, "cause": part, "detail": part, "next_probe_in_s": 30}
        paused = {"lag": {topic: 1}, "lag_s": {topic: 90}, "paused": {topic: [0]}}
        details = {**paused, "parked": {"records": 1, "oldest_s": 5}, "breakers": [breaker, part], "problems": [part]}
        matcher = Vitals("running", assignment={topic: [0]}, details=details)
        replay = Vitals("running", details={"replay": {"id": part, "done": 1, "total": 2, "read": 1}})
        roles = {"matcher": matcher, "replay": replay}
        Heartbeats(self.served.services.database).write(topic, self.text[:20], now, roles, now=now)
        names = ("class", "stage", "message", "topic", "partition", "offset", "timestamp", "attempts", "first_failure")
        given = {"class": self.text[:60], "stage": self.text[:60], "message": self.text, "topic": topic}
        headers = [(f"gavel.error.{name}", given.get(name, "1").encode()) for name in names]
        producer = Producer({"bootstrap.servers": self.served.bootstrap_servers})
        letters = self.served.services.settings.kafka.topics.dead_letters
        sent: list[Message] = []
        producer.produce(
            letters, self.text.encode(), key=self.text.encode(), headers=headers, partition=0,
            on_delivery=lambda _error, message: sent.append(message),
        )  # fmt: skip
        assert producer.flush(PATIENCE_S) == 0
        return f"0:{sent[0].offset()}"


def paths_of(team: int, text: str, made: Made) -> dict[str, str]:
    """Return the paths of all pages by their names, with the text in every parameter that a page shows."""
    base, said = f"/console/{team}", quote(text[:200])
    return {
        "new": f"{base}/evaluations/new/?type={said}",
        "results-of-one": f"{base}/evaluations/{made.evaluation}/results/",
        "measurement": f"{base}/evaluations/{made.evaluation}/trust/{made.consistency}/",
        "label-next": f"{base}/labels/{made.queue.queue}/next/",
        "operations-audit": "/console/operations/audit/",
        "link": f"/console/link/?code={said}",
        "labels": f"{base}/labels/?done={said}",
        "label-queue": f"{base}/labels/{made.queue.queue}/?done={said}",
        "label-item": f"{base}/labels/{made.queue.queue}/items/{made.queue.item}/",
        "golden-sets": f"{base}/golden-sets/?done={said}",
        "golden-set": f"{base}/golden-sets/{made.queue.golden}/?done={said}",
        "golden-version": f"{base}/golden-sets/{made.queue.golden}/1/?other=1",
        "trust": f"{base}/evaluations/{made.evaluation}/trust/?slice={said}&done={said}",
        "comparison": f"{base}/evaluations/{made.evaluation}/comparisons/{made.comparison}/",
        "reports": f"{base}/reports/",
        "report": f"{base}/reports/{made.report.partition('/')[0]}/?done={said}",
        "report-run": f"{base}/reports/{made.report}/",
        "report-sent": f"{base}/reports/{made.report}/sent/",
        "clusters": f"{base}/clusters/?done={said}",
        "cluster-run": f"{base}/clusters/{made.clusters}/",
        "trace": f"{base}/traces/{quote(made.trace)}/",
        "health": "/console/operations/health/",
        "budgets": "/console/operations/budgets/",
        "replays": "/console/operations/replays/",
        "dead-letters": f"/console/operations/dead-letters/?done={said}&stage={said}",
        "dead-letter": f"/console/operations/dead-letters/{made.letter}/",
        "dead-letter-hex": f"/console/operations/dead-letters/{made.letter}/?as=hex",
        "overview": f"{base}/",
        "evaluations": f"{base}/evaluations/?done={said}&refused={said}",
        "evaluation": f"{base}/evaluations/{made.evaluation}/?by={said}",
        "edit": f"{base}/evaluations/{made.evaluation}/edit/?done={said}",
        "edit-yaml": f"{base}/evaluations/{made.evaluation}/edit/?as=yaml&done={said}",
        "versions": f"{base}/evaluations/{made.evaluation}/versions/?a={said}",
        "results": f"{base}/results/?q={quote(text[:8])}&model=",
        "results-none": f"{base}/results/?q=none-{said}&cursor=",
        "generation": f"{base}/generations/{made.event}/?done={said}",
        "formatted": f"{base}/generations/{made.event}/?view=formatted",
        "why": f"{base}/generations/{made.event}/why/?ask=other",
        "why-open": f"{base}/generations/{made.event}/?open=why+labels+{said}&ask={said}",
        "result": f"{base}/results/{made.result}/",
        "datasets": f"{base}/datasets/",
        "dataset": f"{base}/datasets/{made.dataset}/",
        "jobs": f"{base}/jobs/?done={said}",
        "keys": f"{base}/keys/?done={said}",
        "audit": f"{base}/audit/",
        "missing": f"{base}/{said}/",
        "sign-in": "/console/sign-in/?next=javascript:window.__hit=1",
    }


_SOME = Made(*["some"] * 5, Queued(*["some"] * 3), *["some"] * 2, "some/run", "some/run", "some")
PATHS = paths_of(1, "some", _SOME)
"""The names, with paths of a team that is in no store."""
