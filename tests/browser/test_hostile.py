"""Everything that a page shows is a stranger's: no payload becomes markup, runs, or asks another server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from playwright.sync_api import Browser, Page

from api.services import golden_desk, label_desk, trust_desk
from config.definitions import Evaluation, parse_draft, patch_draft
from storage.sql.api_keys import ApiKey, ApiKeys
from storage.sql.clustering import ClusteringJobs, ClusteringRuns
from storage.sql.datasets import Datasets
from storage.sql.evaluation_report_runs import Opening, ReportRuns
from storage.sql.evaluation_reports import EvaluationReports
from storage.sql.evaluations import Evaluations
from storage.sql.heartbeats import Heartbeats, Vitals
from tests.browser import scene as scenes
from tests.browser.conftest import Served
from tests.browser.rig import Watch, opened, sign_in
from tests.browser.second_scene import clusters_of
from tests.unit.reports.sample import content

TEAM = 66
MARK = "xss-mark"
PAYLOADS = (
    "<script>window.__hit=1</script>",
    "<img src=x onerror=window.__hit=1>",
    "<svg onload=window.__hit=1>",
    "<svg><script>window.__hit=1</script></svg>",
    "<svg><animate onbegin=window.__hit=1 attributeName=x dur=1s>",
    "<iframe srcdoc='<script>parent.__hit=1</script>'></iframe>",
    "<iframe src=javascript:parent.__hit=1></iframe>",
    "<body onload=window.__hit=1>",
    "<details open ontoggle=window.__hit=1>",
    "<input autofocus onfocus=window.__hit=1>",
    "<video><source onerror=window.__hit=1></video>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.__hit=1>",
    "<a href=javascript:window.__hit=1>x</a>",
    "[x](javascript:window.__hit=1)",
    "[x](data:text/html,<script>window.__hit=1</script>)",
    "![x](http://198.51.100.7/leak.png)",
    "<img src=http://198.51.100.7/leak.png>",
    "<link rel=stylesheet href=http://198.51.100.7/a.css>",
    "<style>@import 'http://198.51.100.7/a.css'</style>",
    "<meta http-equiv=refresh content='0;url=http://198.51.100.7/'>",
    "<base href=http://198.51.100.7/>",
    "<form action=http://198.51.100.7/><button>x</button></form>",
    '" onmouseover=window.__hit=1 x="',
    "' autofocus onfocus=window.__hit=1 x='",
    "</textarea><script>window.__hit=1</script>",
    "</title><script>window.__hit=1</script>",
    "</style><script>window.__hit=1</script>",
    "--><script>window.__hit=1</script>",
    "{{ 7 * 7 }}{% raw %}",
    "${window.__hit=1}`",
    "\u202e<script>window.__hit=1</script>\u2066",
    "<scr\u200bipt>window.__hit=1</scr\u200bipt>",
    "&lt;img src=x onerror=window.__hit=1&gt;",
    "<object data=http://198.51.100.7/x></object><embed src=http://198.51.100.7/y>",
)
HOSTILE = f"{MARK} " + " ".join(PAYLOADS)
FORBIDDEN = "iframe, object, embed, base, video, audio, math, main script, main style, main link, main meta"
FOREIGN_IMAGES = "main img:not([src^='/console/assets/'])"


def test_there_are_enough_payloads() -> None:
    assert len(PAYLOADS) >= 30


@pytest.fixture(scope="module")
def hostile(browser: Browser, served: Served) -> Iterator[tuple[Page, Watch, dict[str, str]]]:
    """A team in which every text that a stranger gives is a payload, and a page of its reader."""
    services, now = served.services, scenes.utc_now()
    _, secret = ApiKeys(services.database).create(team_id=TEAM, label=HOSTILE[:200], scopes=["*"], now=now)
    raw = {
        "name": HOSTILE[:400], "description": HOSTILE, "evaluation_type": "llm_judge",
        "evaluation_config": {"prompt": HOSTILE}, "output_type": "categorical",
        "output_config": {"options": [{"key": "<svg onload=window.__hit=1>", "label": HOSTILE[:400]}]},
        "conditions": [
            {"id": HOSTILE[:90], "properties": [{"key": HOSTILE[:300], "operator": "exact", "value": HOSTILE}]},
        ],
    }  # fmt: skip
    evaluation = Evaluations(services.database).create(TEAM, parse_draft(raw), actor=HOSTILE[:150], now=now)
    other = Evaluations(services.database).create(TEAM, parse_draft({**raw, "name": "other"}), actor="key:1", now=now)
    event, trace = str(uuid4()), HOSTILE[:150]
    turns: list[dict[str, Any]] = [{"role": HOSTILE[:60], "content": payload} for payload in PAYLOADS]
    function = {"name": HOSTILE[:90], "arguments": json.dumps({"a": HOSTILE})}
    call = {"id": HOSTILE[:90], "type": "function", "function": function}
    turns.append({"role": "assistant", "content": None, "tool_calls": [call]})
    at = now - timedelta(minutes=5)
    row = scenes.event_row(TEAM, event, trace, at, HOSTILE, turns, HOSTILE, **{HOSTILE[:90]: HOSTILE})
    row |= {"distinct_id": HOSTILE}
    tools = [{"name": HOSTILE, "description": HOSTILE}]
    properties = json.loads(row["properties"]) | {"$ai_input": turns, "$ai_error": HOSTILE, "$ai_tools": tools}
    scenes.insert(served.clickhouse_dsn, "ai_events", [row | {"properties": json.dumps(properties)}])
    results = [
        scenes.result_row(
            TEAM, evaluation, str(uuid4()), now - timedelta(minutes=4), target_event_id=event, trace_id=trace,
            reasoning=HOSTILE, model=HOSTILE, prompt_name=HOSTILE, prompt_version=HOSTILE, evaluation_model=HOSTILE,
            **fields,
        )
        for fields in (
            {"categorical_result": ["<svg onload=window.__hit=1>", HOSTILE]},
            {"skipped": True, "skip_reason": HOSTILE[:80]},
        )
    ]  # fmt: skip
    scenes.insert(served.clickhouse_dsn, "evaluation_results", results)
    datasets = Datasets(services.database)
    dataset = datasets.create(TEAM, {"name": HOSTILE[:400], "description": HOSTILE}, actor="key:1", now=now)
    item = {"dataset": dataset["id"], "input": HOSTILE, "output": {"a": HOSTILE}, "ref_source_id": HOSTILE[:250]}
    datasets.create_item(TEAM, item, actor="key:1", now=now)
    queue, comparison = labelled_and_compared(served, evaluation, event, results[0]["uuid"], now)
    report, clusters = reported(served, evaluation, now), clustered(served, event, now)
    operate(served, now)
    team = f"/console/{TEAM}"
    paths = {
        "labels": f"{team}/labels/?done=<svg onload=window.__hit=1>",
        "label-queue": f"{team}/labels/{queue.id}/?done=<svg onload=window.__hit=1>",
        "label-item": f"{team}/labels/{queue.id}/items/{queue.item}/",
        "golden-sets": f"{team}/golden-sets/?done=<svg onload=window.__hit=1>",
        "golden-set": f"{team}/golden-sets/{queue.golden}/?done=<svg onload=window.__hit=1>",
        "golden-version": f"{team}/golden-sets/{queue.golden}/1/?other=1",
        "trust": f"{team}/evaluations/{evaluation.id}/trust/?slice=<svg onload=__hit=1>&done=<svg onload=__hit=1>",
        "comparison": f"{team}/evaluations/{evaluation.id}/comparisons/{comparison}/",
        "reports": f"{team}/reports/",
        "report": f"{team}/reports/{report.partition('/')[0]}/?done=<svg onload=window.__hit=1>",
        "report-run": f"{team}/reports/{report}/",
        "report-sent": f"{team}/reports/{report}/sent/",
        "clusters": f"{team}/clusters/?done=<svg onload=window.__hit=1>",
        "cluster-run": f"{team}/clusters/{clusters}/",
        "trace": f"{team}/traces/{quote(trace)}/",
        "health": "/console/operations/health/",
        "budgets": "/console/operations/budgets/",
        "replays": "/console/operations/replays/",
        "dead-letters": "/console/operations/dead-letters/?done=<svg onload=window.__hit=1>&stage=<svg onload=__hit=1>",
        "dead-letter": "/console/operations/dead-letters/0:3/",
        "dead-letter-hex": "/console/operations/dead-letters/0:3/?as=hex",
        "overview": f"{team}/",
        "evaluations": f"{team}/evaluations/?done=<svg onload=window.__hit=1>&refused=<img src=x onerror=__hit=1>",
        "evaluation": f"{team}/evaluations/{evaluation.id}/?by=<svg onload=window.__hit=1>",
        "edit": f"{team}/evaluations/{evaluation.id}/edit/?done=<svg onload=window.__hit=1>",
        "versions": f"{team}/evaluations/{evaluation.id}/versions/?a=<svg>",
        "results": f"{team}/results/?q=xss&model=",
        "results-none": f"{team}/results/?q=<script>window.__hit=1</script>&cursor=",
        "generation": f"{team}/generations/{event}/?done=<svg onload=window.__hit=1>",
        "formatted": f"{team}/generations/{event}/?view=formatted",
        "why": f"{team}/generations/{event}/why/?q=other",
        "result": f"{team}/results/{results[0]['uuid']}/",
        "datasets": f"{team}/datasets/",
        "dataset": f"{team}/datasets/{dataset['id']}/",
        "jobs": f"{team}/jobs/?done=<svg onload=window.__hit=1>",
        "keys": f"{team}/keys/?done=<svg onload=window.__hit=1>",
        "audit": f"{team}/audit/",
        "missing": f"{team}/<script>window.__hit=1</script>/",
        "sign-in": "/console/sign-in/?next=javascript:window.__hit=1",
    }
    del other
    with opened(browser, served.base) as (context, watch):
        page = context.new_page()
        sign_in(page, served.scene.operator)
        sign_in(page, secret)
        yield page, watch, paths


@dataclass(frozen=True)
class Queued:
    id: str
    item: str
    golden: str


def labelled_and_compared(
    served: Served, evaluation: Evaluation, event: str, result: str, now: datetime
) -> tuple[Queued, str]:
    """Label a result and freeze the label, compare two versions, all with payloads in their texts."""
    services = served.services
    caller, _ = ApiKeys(services.database).create(
        team_id=TEAM, label=HOSTILE[:200], email=HOSTILE[:200], scopes=["*"], now=now
    )
    fields = {"evaluation": evaluation.id, "mode": "focus", "reason": "hand_picked", "results": [result]}
    queue = label_desk.create_queue(services, caller, {**fields, "name": HOSTILE[:400]})
    item = label_desk.take(services, caller, queue.id)
    assert item is not None
    label_desk.save(services, caller, queue.id, item, ["option:<svg onload=window.__hit=1>"], {"comment": HOSTILE})
    golden = golden_desk.create(
        services, caller, {"evaluation": evaluation.id, "name": HOSTILE[:400], "description": HOSTILE}
    )
    golden_desk.freeze(services, caller, golden_desk.row_of(services, TEAM, golden.id))
    other = label_desk.create_queue(services, caller, {**fields, "name": HOSTILE[:400], "blind": False})
    held = label_desk.take(services, keys_of(served, now), other.id)
    assert held is not None
    changed = Evaluations(services.database).update(
        TEAM, evaluation.id, lambda current: patch_draft(current, {"evaluation_config": {"prompt": f"2 {HOSTILE}"}}),
        actor="key:1", now=now,
    )  # fmt: skip
    window = {"window_start": (now - timedelta(days=1)).isoformat()}
    run: Any = trust_desk.start_comparison(services, caller, changed, {"version_a": 1, "version_b": 2, **window})
    rows = [
        {
            "uuid": str(uuid4()), "team_id": TEAM, "timestamp": now, "created_at": now, "record_time": now,
            "start_time": now, "evaluation_id": evaluation.id, "result_type": "categorical",
            "categorical_result": [f"{version} {HOSTILE}"], "target_event_id": event, "trigger": "measurement",
            "properties": "{}", "evaluation_version": version, "measurement_id": str(run.id),
            "measurement_kind": "comparison", "item": f"event:{event}", "repeat": 0, "reasoning": HOSTILE,
            "skipped": False,
        }
        for version in (1, 2)
    ]  # fmt: skip
    scenes.insert(served.clickhouse_dsn, "evaluation_measurements", rows)
    return Queued(other.id, held, golden.id), str(run.id)


def keys_of(served: Served, now: datetime) -> ApiKey:
    """Return the reader's own key, so that the item is in his hand."""
    del now
    return next(key for key in ApiKeys(served.services.database).list(TEAM) if not key.email)


def reported(served: Served, evaluation: Evaluation, now: datetime) -> str:
    """Store the run of a report with payloads in its texts and its error."""
    values = {
        "evaluation_id": evaluation.id, "frequency": "scheduled", "rrule": "FREQ=DAILY", "starts_at": now,
        "timezone_name": "UTC", "next_delivery_date": None, "enabled": True, "max_sample_size": 10,
        "delivery_targets": [{"type": "email", "value": HOSTILE}], "report_prompt_guidance": HOSTILE,
        "trigger_threshold": 1, "cooldown_minutes": 1, "daily_run_cap": 1,
    }  # fmt: skip
    services = served.services
    report = EvaluationReports(services.database).create(TEAM, values, actor="key:1", now=now)
    runs = ReportRuns(services.database)
    runs.open_manual(report, Opening("manual", "manual", now - timedelta(days=1), now, now), now=now)
    run = runs.claim("hostile", now=now + timedelta(seconds=1), lease_s=60)
    assert run is not None
    text = content(sections=[{"title": HOSTILE, "text": HOSTILE}], title=HOSTILE)
    text["evaluation"]["name"] = HOSTILE
    runs.store_content(run, "hostile", text, report.delivery_targets, now)
    return f"{report.id}/{run.id}"


def clustered(served: Served, event: str, now: datetime) -> str:
    """Store a run of clustering with payloads in its titles, terms, notes and ids."""
    services = served.services
    values = {"name": HOSTILE[:400], "analysis_level": "generation", "event_filters": [], "enabled": True}
    job = ClusteringJobs(services.database).create(TEAM, values, actor="key:1", now=now)
    runs = ClusteringRuns(services.database)
    runs.ask(job, method="auto", max_samples=100, window_start=now - timedelta(days=7), window_end=now, now=now)
    run = runs.claim("hostile", now=now, lease_s=60)
    assert run is not None
    runs.complete(run, "hostile", clusters_of([event, HOSTILE] * 15, HOSTILE), 2, now=now)
    return f"{job.id}/{run.id}"


def operate(served: Served, now: datetime) -> None:
    """Write a heartbeat and a dead letter with payloads in every field."""
    details = {"lag": {HOSTILE[:100]: 1}, "breakers": {HOSTILE[:100]: HOSTILE[:100]}}
    vitals = Vitals("running", assignment={HOSTILE[:100]: [0]}, details=details)
    Heartbeats(served.services.database).write(HOSTILE[:100], HOSTILE[:20], now, {"matcher": vitals}, now=now)
    names = ("class", "stage", "message", "topic", "partition", "offset", "timestamp", "attempts", "first_failure")
    given = {"class": HOSTILE[:60], "stage": HOSTILE[:60], "message": HOSTILE, "topic": HOSTILE[:100]}
    headers = [(f"gavel.error.{name}", given.get(name, "1").encode()) for name in names]
    producer = Producer({"bootstrap.servers": served.bootstrap_servers})
    topic = served.services.settings.kafka.topics.dead_letters
    producer.produce(topic, HOSTILE.encode(), key=HOSTILE.encode(), headers=headers, partition=0)
    producer.flush(10)


NAMES = (
    "overview", "evaluations", "evaluation", "edit", "versions", "results", "results-none", "generation", "formatted",
    "why", "result", "datasets", "dataset", "jobs", "keys", "audit", "missing", "sign-in", "labels", "label-queue",
    "label-item", "golden-sets", "golden-set", "golden-version", "trust", "comparison", "reports", "report",
    "report-run", "report-sent", "clusters", "cluster-run", "trace", "health", "budgets", "replays", "dead-letters",
    "dead-letter", "dead-letter-hex",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_payload_becomes_markup(hostile: tuple[Page, Watch, dict[str, str]], name: str) -> None:
    page, watch, paths = hostile
    response = page.goto(paths[name])
    assert response is not None
    assert response.status == (404 if name == "missing" else 200), page.inner_text("body")[:500]
    page.wait_for_load_state("networkidle")
    page.locator("main details").evaluate_all("(all) => { for (const it of all) it.open = true; }")
    assert page.evaluate("window.__hit") is None
    assert page.locator(FORBIDDEN).count() == 0
    assert page.locator(FOREIGN_IMAGES).count() == 0
    handlers = (
        "[...document.querySelectorAll('*')].filter((it) => [...it.attributes].some((a) => a.name.startsWith('on')))"
    )
    assert page.evaluate(f"{handlers}.map((it) => it.outerHTML)") == []
    assert page.locator("a[href^='javascript' i], a[href^='data' i], form[action^='http']").count() == 0
    page.set_viewport_size({"width": 320, "height": 800})
    # A report as it was sent is a mail, which has the width of its plots.
    assert page.evaluate("document.documentElement.scrollWidth") <= (400 if name == "report-sent" else 320)
    page.set_viewport_size({"width": 1280, "height": 900})
    if name == "missing":
        watch.errors.clear()  # the browser says that the answer was 404
    watch.check(page)


def test_the_payloads_are_seen_as_text(hostile: tuple[Page, Watch, dict[str, str]]) -> None:
    """The test above cannot pass because nothing was shown."""
    page, _, paths = hostile
    page.goto(paths["generation"])
    assert page.locator("article.turn").count() >= len(PAYLOADS)
    assert "<script>window.__hit=1</script>" in page.inner_text("main")
    assert "U+202E" in page.inner_text("main")


def test_a_link_of_a_stranger_opens_without_our_page(hostile: tuple[Page, Watch, dict[str, str]]) -> None:
    from console.markdown import to_html

    html = str(to_html("[x](https://a.example/) <b onclick=a()> ![i](http://a.example/i.png)"))
    assert 'rel="noopener noreferrer nofollow"' in html
    assert "<img" not in html
    assert "<b" not in html
