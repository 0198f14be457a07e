"""`clustering_jobs` and `clustering_config`: every rule of a field, and a run from the request to its page."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from examples.stand_in.client import StandInServer
from processor.events.beside import BesideEvent
from reports.clustering.run import ClusteringWork
from reports.clustering.runner import LEASE_S, ClusteringRunner
from storage.sql.clustering import MOST_ATTEMPTS, ClusteringRun, ClusteringRuns, clustering_runs
from tests.api.conftest import Api

JOBS = "llm_analytics/clustering_jobs/"
CONFIG = "llm_analytics/clustering_config/"
TOPICS = (
    "refund order invoice card delivery",
    "flight hotel airport luggage tokyo",
    "python function traceback list class",
)
FILTER = {"key": "$ai_model", "value": "gpt", "operator": "exact", "type": "event"}


@pytest.fixture(autouse=True)
def _no_other_runs(api: Api) -> None:
    """An instance takes the oldest run of all teams, so no other test may have left one."""
    with api.services.database.write() as connection:
        connection.execute(sa.delete(clustering_runs))


def job(api: Api, **fields: Any) -> dict[str, Any]:
    body = {"name": str(uuid4()), "analysis_level": "generation"} | fields
    made: dict[str, Any] = api.ok("POST", JOBS, 201, json=body)
    return made


def generations(api: Api, count: int = 60, **properties: Any) -> list[str]:
    rng = random.Random(count)
    rows = []
    for number in range(count):
        said = " ".join(rng.choices(TOPICS[number % len(TOPICS)].split(), k=9))
        asked = [{"role": "system", "content": "You help"}, {"role": "user", "content": f"{said} {number}"}]
        answer = [{"role": "assistant", "content": f"<b>{said[:20]}</b>"}]
        trace = f"trace-{number // 2}"
        rows.append({"$ai_trace_id": trace, "$ai_input": asked, "$ai_output_choices": answer, **properties})
    return api.events(*rows)


@dataclass
class Counted:
    counts: list[str] = field(default_factory=list)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.counts.append(labels.get("outcome", name))

    def set(self, name: str, value: float, **labels: str) -> None:
        pass


@dataclass
class Instance:
    """A runner of the reports role over the stores of the API."""

    api: Api
    events: list[dict[str, Any]] = field(default_factory=list)
    metrics: Counted = field(default_factory=Counted)
    ahead: timedelta = timedelta()

    def runner(self, work: Any = None, **settings: Any) -> ClusteringRunner:
        given = self.api.services.settings
        section = given.clustering.model_copy(update=settings)
        given = given.model_copy(update={"clustering": section})
        database = self.api.services.database
        work = work or ClusteringWork(given, database)
        return ClusteringRunner(given, database, metrics=self.metrics, send=self._send, now=self.now, work=work)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def _send(self, event: BesideEvent, key: str) -> None:
        self.events.append(json.loads(event.value))


def finished(api: Api, made: dict[str, Any], instance: Instance, **settings: Any) -> dict[str, Any]:
    """Ask for a run, let the instance make it, and return it."""
    asked = api.ok("POST", f"{JOBS}{made['id']}/run/", 202, json={"lookback_days": 1})
    assert asked["state"] == "pending"
    while instance.runner(**settings).step():
        pass
    found: dict[str, Any] = api.ok("GET", f"{JOBS}{made['id']}/runs/{asked['id']}/")
    return found


class TestJobs:
    def test_a_job_is_made_changed_listed_and_deleted(self, api: Api) -> None:
        made = job(api, name="daily", event_filters=[FILTER])
        assert (made["enabled"], made["analysis_level"], made["event_filters"]) == (True, "generation", [FILTER])
        changed = api.ok("PATCH", f"{JOBS}{made['id']}/", json={"enabled": False, "event_filters": None})
        assert (changed["enabled"], changed["event_filters"], changed["name"]) == (False, [], "daily")
        assert api.ok("GET", JOBS)["results"] == [changed]
        assert api.call("DELETE", f"{JOBS}{made['id']}/").status_code == 204
        assert api.call("DELETE", f"{JOBS}{made['id']}/").status_code == 404
        assert api.ok("GET", JOBS)["count"] == 0

    def test_a_team_has_at_most_five_even_if_it_asks_for_many_at_once(self, api: Api) -> None:
        with ThreadPoolExecutor(8) as pool:
            body = {"analysis_level": "trace"}
            answers = list(pool.map(lambda n: api.call("POST", JOBS, json=body | {"name": f"j{n}"}), range(8)))
        assert sorted(answer.status_code for answer in answers) == [201] * 5 + [400] * 3
        assert {answer.json()["code"] for answer in answers if answer.status_code == 400} == {"max_jobs"}

    def test_a_name_is_there_once(self, api: Api) -> None:
        job(api, name="one")
        other = job(api, name="two")
        for method, path in (("POST", JOBS), ("PATCH", f"{JOBS}{other['id']}/")):
            error = api.error(method, path, json={"name": "one", "analysis_level": "trace"})
            assert (error["code"], error["attr"]) == ("unique", "name")

    @pytest.mark.parametrize(
        ("fields", "attr"),
        [
            ({"analysis_level": "span"}, "analysis_level"),
            ({"name": ""}, "name"),
            ({"name": "x" * 401}, "name"),
            ({"name": "  "}, "name"),
            ({"event_filters": [{"key": "a", "operator": "no such", "value": 1}]}, "event_filters"),
            ({"event_filters": "a text"}, "event_filters"),
            ({"event_filters": [FILTER] * 51}, "event_filters"),
        ],
    )
    def test_a_field_that_cannot_be_is_refused(self, api: Api, fields: dict[str, Any], attr: str) -> None:
        error = api.error("POST", JOBS, json={"name": "n", "analysis_level": "trace"} | fields)
        assert error["attr"].startswith(attr)
        made = job(api)
        assert api.error("PATCH", f"{JOBS}{made['id']}/", json=fields)["attr"].startswith(attr)

    @pytest.mark.parametrize(
        "body",
        [{"lookback_days": 0}, {"lookback_days": 91}, {"max_samples": 19}, {"max_samples": 10_001}, {"method": "x"}],
    )
    def test_a_run_outside_its_bounds_is_refused(self, api: Api, body: dict[str, Any]) -> None:
        made = job(api)
        assert api.error("POST", f"{JOBS}{made['id']}/run/", json=body)["attr"] == next(iter(body))

    def test_a_run_without_a_body_has_the_defaults(self, api: Api) -> None:
        asked = api.ok("POST", f"{JOBS}{job(api)['id']}/run/", 202)
        assert (asked["method"], asked["max_samples"]) == ("auto", 1_000)

    def test_without_the_extra_a_run_is_refused(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("api.routes.clustering.find_spec", lambda _: None)
        error = api.error("POST", f"{JOBS}{job(api)['id']}/run/", 503, json={})
        assert error["code"] == "extra_missing"
        assert "gavel[quality]" in error["detail"]

    def test_the_filters_of_the_team_are_kept(self, api: Api) -> None:
        assert api.ok("GET", CONFIG)["event_filters"] == []
        api.ok("POST", f"{CONFIG}set_event_filters/", json={"event_filters": [FILTER]})
        assert api.ok("GET", CONFIG)["event_filters"] == [FILTER]
        assert api.ok("POST", f"{CONFIG}set_event_filters/", json={})["event_filters"] == [FILTER]
        assert api.ok("POST", f"{CONFIG}set_event_filters/")["event_filters"] == [FILTER]
        assert api.ok("POST", f"{CONFIG}set_event_filters/", json={"event_filters": None})["event_filters"] == []


class TestRuns:
    def test_a_run_finds_clusters_emits_them_and_has_a_page(self, api: Api) -> None:
        made, instance, ids = job(api, name="<script>x</script>"), Instance(api), generations(api)
        run = finished(api, made, instance)
        assert (run["state"], run["error"], run["result"]["items"], run["result"]["vectors"]) == (
            "completed",
            None,
            60,
            "tfidf",
        )
        clusters = run["result"]["clusters"]
        assert [cluster["size"] for cluster in clusters] == [20, 20, 20]
        assert sorted(member["id"] for cluster in clusters for member in cluster["members"]) == sorted(ids)
        titles = {word for cluster in clusters for word in cluster["title"].split(", ")}
        assert {title for title in titles if len(title) > 4} <= {word for topic in TOPICS for word in topic.split()}
        (event,) = instance.events
        properties = json.loads(event["properties"])
        assert event["event"] == "$ai_generation_clusters"
        assert properties["$ai_clustering_run_id"] == run["id"]
        assert properties["$ai_clusters"] == clusters
        assert instance.metrics.counts == ["completed"]
        answer = api.call("GET", f"{JOBS}{made['id']}/runs/{run['id']}/plot/")
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text
        assert answer.text.count("<circle") == 60
        (listed,) = api.ok("GET", f"{JOBS}{made['id']}/runs/")["results"]
        assert listed["id"] == run["id"]

    def test_cluster_numbers_stay_from_run_to_run(self, api: Api) -> None:
        made, instance = job(api), Instance(api)
        generations(api)
        first = finished(api, made, instance)["result"]["clusters"]
        generations(api)
        second = finished(api, made, instance)["result"]["clusters"]

        def by_word(clusters: list[dict[str, Any]]) -> dict[str, int]:
            return {
                topic: each["cluster_id"] for each in clusters for topic in TOPICS if topic.split()[0] in each["terms"]
            }

        assert by_word(first) == by_word(second)
        assert sorted(by_word(first).values()) == [0, 1, 2]

    def test_traces_and_evaluations_are_clustered_too(self, api: Api) -> None:
        instance, ids = Instance(api), generations(api)
        traces = finished(api, job(api, analysis_level="trace"), instance)["result"]
        assert traces["items"] == 30
        assert {member["id"] for each in traces["clusters"] for member in each["members"]} == {
            f"trace-{n}" for n in range(30)
        }
        evaluation = api.hog()
        for event in ids[:25]:
            reason = {"$ai_evaluation_reasoning": "it is rude", "$ai_evaluation_name": "Polite"}
            api.result(evaluation, event, properties=json.dumps(reason))
        verdicts = finished(api, job(api, analysis_level="evaluation"), instance)["result"]
        (only,) = verdicts["clusters"]
        assert (verdicts["items"], only["size"]) == (25, 25)
        assert [event["event"] for event in instance.events] == ["$ai_trace_clusters", "$ai_evaluation_clusters"]

    def test_filters_of_team_and_job_choose_the_items(self, api: Api) -> None:
        instance = Instance(api)
        generations(api, 30, **{"$ai_model": "gpt"})
        generations(api, 30, **{"$ai_model": "other"})
        made = job(api, event_filters=[FILTER])
        assert finished(api, made, instance)["result"]["items"] == 30
        never = FILTER | {"value": "none"}
        api.ok("POST", f"{CONFIG}set_event_filters/", json={"event_filters": [never]})
        empty = finished(api, made, instance)["result"]
        assert (empty["items"], empty["clusters"]) == (0, [])

    def test_a_key_embeds_and_a_slow_endpoint_gives_way_to_tfidf(self, api: Api, stand_in: StandInServer) -> None:
        key = {"provider": "custom", "name": "k", "api_key": "sk-clusters-0123456789", "base_url": stand_in.base_url}
        made = api.ok("POST", "llm_analytics/provider_keys/", 201, json=key)
        api.ok("POST", "llm_analytics/evaluation_config/set_active_key/", json={"key_id": made["id"]})
        generations(api)
        run = finished(api, job(api), Instance(api), embedding_model="small")
        assert (run["state"], run["result"]["vectors"], run["result"]["notes"]) == ("completed", "small", [])
        run = finished(api, job(api), Instance(api), embedding_model="small", embedding_deadline_s=1e-9)
        assert (run["state"], run["result"]["vectors"]) == ("completed", "tfidf")
        assert "Vectors are TF-IDF and SVD, because the embeddings were not complete" in run["result"]["notes"][0]

    def test_a_run_gives_a_new_team_no_other_trial_than_the_operator_does(self, make_api: Callable[..., Api]) -> None:
        api = make_api(judge={"trial_eval_limit": 0})
        finished(api, job(api), Instance(api))
        assert api.ok("GET", "llm_analytics/evaluation_config/")["trial_eval_limit"] == 0

    def test_runs_and_jobs_of_another_team_are_not_there(self, api: Api) -> None:
        made, instance = job(api), Instance(api)
        run = finished(api, made, instance)
        secret = api.key("llm_analytics:write", "llm_analytics:read", team=api.team + 500_000)
        other = api.as_key(secret)
        base = f"/api/projects/{api.team + 500_000}/{JOBS}{made['id']}/"
        for path in ("", "runs/", f"runs/{run['id']}/", f"runs/{run['id']}/plot/"):
            assert other.get(base + path).status_code == 404
        assert other.post(f"{base}run/", json={}).status_code == 404


class TestInstances:
    def test_of_several_instances_one_works_on_a_run(self, api: Api) -> None:
        made = job(api)
        runs = ClusteringRuns(api.services.database)
        now = datetime.now(UTC)
        while runs.claim("other", now=now, lease_s=86_400) is not None:
            pass  # Other tests left it.
        for _ in range(3):
            api.ok("POST", f"{JOBS}{made['id']}/run/", 202, json={})

        def claim(instance: int) -> list[ClusteringRun]:
            # An instance that loses the race for a run gets none, and comes again at its next turn.
            turns = (runs.claim(f"i{instance}", now=now, lease_s=60) for _ in range(6))
            return [run for run in turns if run is not None]

        with ThreadPoolExecutor(6) as pool:
            found = [run for claimed in pool.map(claim, range(6)) for run in claimed]
        claimed = [run.id for run in found if run.job_id == made["id"]]
        assert len(claimed) == len(set(claimed)) == 3

    def test_a_run_whose_instance_died_is_made_by_another_and_by_no_more_than_three(self, api: Api) -> None:
        made, instance = job(api), Instance(api)
        generations(api, 20)

        class Dies:
            def carry_out(self, *_: Any) -> Any:
                raise KeyboardInterrupt

        asked = api.ok("POST", f"{JOBS}{made['id']}/run/", 202, json={})
        with pytest.raises(KeyboardInterrupt):
            instance.runner(Dies()).step()
        assert not instance.runner().step()
        instance.ahead += timedelta(seconds=LEASE_S + 1)
        assert instance.runner().step()
        run = api.ok("GET", f"{JOBS}{made['id']}/runs/{asked['id']}/")
        assert (run["state"], run["attempts"]) == ("completed", 2)
        again = api.ok("POST", f"{JOBS}{made['id']}/run/", 202, json={})
        for _ in range(MOST_ATTEMPTS):
            with pytest.raises(KeyboardInterrupt):
                instance.runner(Dies()).step()
            instance.ahead += timedelta(seconds=LEASE_S + 1)
        assert instance.runner().step()
        run = api.ok("GET", f"{JOBS}{made['id']}/runs/{again['id']}/")
        assert run["state"] == "failed"
        assert "3 instances" in run["error"]

    def test_a_failure_is_tried_again_and_then_shown(self, api: Api) -> None:
        made, instance = job(api), Instance(api)

        class Fails:
            def carry_out(self, *_: Any) -> Any:
                raise OSError("no ClickHouse")

        asked = api.ok("POST", f"{JOBS}{made['id']}/run/", 202, json={})
        for _ in range(MOST_ATTEMPTS):
            assert instance.runner(Fails()).step()
            instance.ahead += timedelta(seconds=120)
        run = api.ok("GET", f"{JOBS}{made['id']}/runs/{asked['id']}/")
        assert (run["state"], instance.metrics.counts) == ("failed", ["retried", "retried", "failed"])
        assert "OSError" in run["error"]
        assert "no ClickHouse" not in run["error"]
        assert api.call("GET", f"{JOBS}{made['id']}/runs/{asked['id']}/plot/").status_code == 409

    def test_enabled_jobs_run_once_a_day_whatever_the_number_of_instances(self, api: Api) -> None:
        on, off, instance = job(api), job(api, enabled=False), Instance(api)
        for _ in range(2):
            instance.runner().schedule()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: instance.runner().schedule(), range(4)))
        assert api.ok("GET", f"{JOBS}{on['id']}/runs/")["count"] == 1
        assert api.ok("GET", f"{JOBS}{off['id']}/runs/")["count"] == 0
        instance.ahead = timedelta(days=1)
        instance.runner().schedule()
        assert api.ok("GET", f"{JOBS}{on['id']}/runs/")["count"] == 2
        api.ok("DELETE", f"{JOBS}{on['id']}/", 204)
        assert api.call("GET", f"{JOBS}{on['id']}/runs/").status_code == 404
