"""Actions on evaluations: tests on samples, explanations, results, estimates, backfills and manual runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest

from api.services.task_sender import TaskNotSent
from evaluators.llm_judge.budget import BudgetScope
from examples.stand_in.client import StandInServer
from processor.events.identity import result_uuid, run_key
from storage.sql.backfills import Backfills, Progress
from storage.sql.budgets import Budgets
from tests.api.conftest import Api
from tests.services.claims import claim_only

GENERATION = {
    "$ai_input": [{"role": "user", "content": "hi"}],
    "$ai_output_choices": [{"role": "assistant", "content": "yo"}],
}
WEEK = {"window_start": "2026-01-01T00:00:00Z", "window_end": "2026-01-08T00:00:00Z"}


class TestHog:
    def test_the_newest_generations_are_run_and_nothing_is_stored(self, api: Api) -> None:
        old, middle, new = api.events(
            {**GENERATION, "n": 1, "$ai_trace_id": "t1"}, {**GENERATION, "n": 2}, {**GENERATION, "n": 3}
        )
        found = api.ok(
            "POST",
            "evaluations/test_hog/",
            json={"source": "print('n', properties.n) return properties.n > 2", "sample_count": 3},
        )
        assert [(each["event_uuid"], each["result"]) for each in found["results"]] == [
            (new, True), (middle, False), (old, False),
        ]  # fmt: skip
        assert found["results"][0]["reasoning"] == "n 3"
        assert found["results"][2]["trace_id"] == "t1"
        assert found["results"][0]["input_preview"].endswith("hi")
        assert found["message"] is None
        assert api.ok("GET", "evaluations/")["count"] == 0

    def test_without_events_there_is_an_empty_list_and_a_message(self, api: Api) -> None:
        found = api.ok("POST", "evaluations/test_hog/", json={"source": "return true"})
        assert found["results"] == []
        assert "7 days" in found["message"]

    def test_conditions_choose_and_rollout_is_ignored(self, api: Api) -> None:
        wanted, _ = api.events({**GENERATION, "plan": "pro"}, {**GENERATION, "plan": "free"})
        conditions = [{"id": "a", "rollout_percentage": 0, "properties": [{"key": "plan", "value": "pro"}]}]
        found = api.ok("POST", "evaluations/test_hog/", json={"source": "return true", "conditions": conditions})
        assert [each["event_uuid"] for each in found["results"]] == [wanted]

    def test_events_of_last_month_are_no_samples(self, api: Api) -> None:
        api.events(GENERATION, timestamp=datetime.now(UTC) - timedelta(days=8))
        assert api.ok("POST", "evaluations/test_hog/", json={"source": "return true"})["results"] == []

    def test_a_failure_of_one_sample_is_its_own(self, api: Api) -> None:
        api.events({**GENERATION, "n": 0}, {**GENERATION, "n": 1})
        found = api.ok(
            "POST", "evaluations/test_hog/", json={"source": "if (properties.n == 0) { throw Error('no') } return true"}
        )
        good, bad = found["results"]
        assert (good["result"], good["error"]) == (True, None)
        assert bad["result"] is None
        assert "no" in bad["error"]

    def test_null_is_not_applicable_only_where_it_is_allowed(self, api: Api) -> None:
        api.events(GENERATION)
        [allowed] = api.ok("POST", "evaluations/test_hog/", json={"source": "return null", "allows_na": True})[
            "results"
        ]
        assert (allowed["result"], allowed["error"]) == (None, None)
        [refused] = api.ok("POST", "evaluations/test_hog/", json={"source": "return null"})["results"]
        assert refused["error"]

    def test_previews_are_200_characters(self, api: Api) -> None:
        api.events({"$ai_input": "x" * 5000, "$ai_output": "y" * 5000})
        [found] = api.ok("POST", "evaluations/test_hog/", json={"source": "return true"})["results"]
        assert len(found["input_preview"]) == len(found["output_preview"]) == 200

    @pytest.mark.parametrize(
        ("change", "attr"),
        [
            ({"source": "return ("}, "source"),
            ({"source": "return nothing_of_the_kind"}, "source"),
            ({"source": ""}, "source"),
            ({"sample_count": 0}, "sample_count"),
            ({"sample_count": 11}, "sample_count"), ({"conditions": [{"id": 1}]}, "conditions"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_run_is_refused(self, session_api: Api, change: dict[str, Any], attr: str) -> None:
        assert (
            session_api.error("POST", "evaluations/test_hog/", json={"source": "return true"} | change)["attr"] == attr
        )

    def test_endless_code_ends(self, api: Api) -> None:
        api.events(GENERATION)
        [found] = api.ok("POST", "evaluations/test_hog/", json={"source": "while (true) {} return true"})["results"]
        assert found["error"]


class TestJudge:
    def model(self, api: Api, stand_in: StandInServer) -> dict[str, Any]:
        body = {"provider": "custom", "name": "k", "api_key": "sk-judge-0123456789", "base_url": stand_in.base_url}
        key = api.ok("POST", "llm_analytics/provider_keys/", 201, json=body)
        return {"provider": "custom", "model": "m", "provider_key_id": key["id"]}

    def test_a_prompt_is_tried_on_samples(self, api: Api, stand_in: StandInServer) -> None:
        api.events(GENERATION, GENERATION)
        body = {"prompt": "Is it polite?", "model_configuration": self.model(api, stand_in)}
        found = api.ok("POST", "evaluations/test_judge/", json=body)
        assert len(found["results"]) == 2
        for each in found["results"]:
            assert each["result"] in (True, False)
            assert each["reasoning"]
            assert each["input_tokens"] > 0

    def test_a_provider_that_fails_is_the_samples_error(self, api: Api, stand_in: StandInServer) -> None:
        api.events(GENERATION)
        body = {"prompt": "p", "model_configuration": self.model(api, stand_in)}
        stand_in.script({"match": {}, "action": "forbidden"})
        [found] = api.ok("POST", "evaluations/test_judge/", json=body)["results"]
        assert found["result"] is None
        assert found["error"]

    def test_without_a_model_it_is_refused(self, session_api: Api) -> None:
        error = session_api.error("POST", "evaluations/test_judge/", json={"prompt": "p"})
        assert (error["attr"], error["code"]) == ("model_configuration", "provider_key_required")


class TestWhy:
    def test_each_set_and_filter_its_rollout_and_the_results(self, api: Api) -> None:
        filters = [{"key": "plan", "value": "pro"}]
        conditions = [
            {"id": "a", "rollout_percentage": 100, "properties": filters},
            {"id": "b", "rollout_percentage": 100, "properties": []},
        ]
        made = api.hog(enabled=True, conditions=conditions)
        (event,) = api.events({**GENERATION, "plan": "free"})
        result = api.result(made, event)
        found = api.ok("GET", f"evaluations/{made['id']}/why/?event={event}")
        assert (found["outcome"], found["condition_id"]) == ("matched", "b")
        assert 0 <= found["rollout"] < 100
        first, second = found["sets"]
        assert (first["filters"], second["filters"]) == ("fails", "holds")
        assert first["members"][0]["value"] == "free"
        assert [each["id"] for each in found["results"]] == [result]

    def test_who_may_not_read_events_learns_which_filters_hold_and_not_the_values(self, api: Api) -> None:
        expression = {"type": "hogql", "key": "properties.plan > 5"}
        group = {"type": "OR", "values": [{"key": "plan", "value": "pro"}]}
        conditions = [{"id": "a", "rollout_percentage": 100, "properties": [{"key": "plan", "value": "free"}, group]}]
        conditions.append({"id": "b", "rollout_percentage": 100, "properties": [expression]})
        made = api.hog(enabled=True, conditions=conditions)
        (event,) = api.events({**GENERATION, "plan": "the-plan-of-the-customer"})
        path = f"/api/projects/{api.team}/evaluations/{made['id']}/why/?event={event}"
        for scopes, readable in ((("evaluation:read",), False), (("evaluation:read", "query:read"), True)):
            answer = api.as_key(api.key(*scopes)).get(path)
            assert answer.status_code == 200
            assert ("the-plan-of-the-customer" in answer.text) is readable
            found = answer.json()
            assert found["values_shown"] is readable
            assert [each["filters"] for each in found["sets"]] == ["fails", "error"]
            [plain, inner], [broken] = (each["members"] for each in found["sets"])
            assert (plain["outcome"], inner["outcome"], broken["outcome"]) == ("fails", "fails", "error")
            assert plain["filter"]["value"] == "free"
            assert (broken["error"] is not None) is readable

    def test_a_disabled_evaluation_says_so(self, api: Api) -> None:
        made = api.hog()
        (event,) = api.events(GENERATION)
        assert api.ok("GET", f"evaluations/{made['id']}/why/?event={event}")["outcome"] == "disabled"
        api.error("GET", f"evaluations/{made['id']}/why/?event={uuid4()}", 404)
        api.error("GET", f"evaluations/{made['id']}/why/", 400)


class TestResults:
    def test_rates_leave_out_skips_and_not_applicable(self, api: Api) -> None:
        made = api.hog(output_config={"allows_na": True})
        for outcome in ({"result": True}, {"result": True}, {"result": False}, {"result": None, "applicable": False},
                        {"result": None, "skipped": True, "skip_reason": "hog_error"}):  # fmt: skip
            api.result(made, str(uuid4()), trace_id="t", **outcome)
        found = api.ok("GET", f"evaluations/{made['id']}/results/")
        summary = found["summary"]
        assert (summary["runs"], summary["passed"], summary["failed"]) == (5, 2, 1)
        assert (summary["not_applicable"], summary["skipped"]) == (1, {"hog_error": 1})
        assert summary["pass_rate"] == pytest.approx(2 / 3)
        assert 0.2 < summary["pass_rate_low"] < 2 / 3 < summary["pass_rate_high"] < 0.95
        assert found["count"] == 5

    def test_ranges_over_budget_are_shown_with_the_results(self, api: Api) -> None:
        made = api.hog()
        path = f"evaluations/{made['id']}/results/"
        assert api.ok("GET", path)["over_budget"] == []
        scope = BudgetScope(owner=f"evaluation:{made['id']}", period="day", tokens=1)
        at = datetime(2026, 3, 2, 12, tzinfo=UTC)
        for minute in (0, 5):
            moment = at + timedelta(minutes=minute)
            Budgets(api.services.database).note_skip(api.team, made["id"], scope, moment, now=at)
        (found,) = api.ok("GET", path)["over_budget"]
        assert (found["owner"], found["runs"]) == (scope.owner, 2)
        assert (found["first_event_at"], found["last_event_at"]) == ("2026-03-02T12:00:00Z", "2026-03-02T12:05:00Z")

    def test_polarity_is_applied_when_results_are_read(self, api: Api) -> None:
        made = api.hog()
        api.result(made, "e", result=True)
        assert api.ok("GET", f"evaluations/{made['id']}/results/")["summary"]["passed"] == 1
        api.ok("PATCH", f"evaluations/{made['id']}/", json={"output_config": {"true_is_failure": True}})
        found = api.ok("GET", f"evaluations/{made['id']}/results/")
        assert found["summary"]["failed"] == 1
        assert (found["results"][0]["verdict"], found["results"][0]["result"]) == ("fail", True)

    def test_filters_by_result_time_and_trace(self, api: Api) -> None:
        made = api.hog()
        day = datetime(2026, 3, 1, tzinfo=UTC)
        first = api.result(made, "a", timestamp=day, result=True, trace_id="t1")
        second = api.result(made, "b", timestamp=day + timedelta(days=1), result=False, trace_id="t2")

        def ids(**query: str) -> list[str]:
            return [each["id"] for each in api.ok("GET", f"evaluations/{made['id']}/results/", params=query)["results"]]

        assert ids() == [second, first]
        assert ids(result="pass") == [first]
        assert ids(trace_id="t2") == [second]
        assert ids(target_event_id="a") == [first]
        assert ids(after="2026-03-02T00:00:00Z") == ids(after="2026-03-02") == [second]
        assert ids(before="2026-03-02T00:00:00Z") == [first]
        assert api.error("GET", f"evaluations/{made['id']}/results/?after=yesterday")["attr"] == "after"

    def test_a_range_of_confidence_narrows_the_list_and_its_totals(self, api: Api) -> None:
        made = api.hog()
        path = f"evaluations/{made['id']}/results/"
        for number, sure in enumerate((0.5, 0.75, 1.0, None)):
            api.result(made, f"e{number}", confidence=sure, result=sure != 0.75)

        def found(**query: float) -> tuple[set[float | None], int, int, int]:
            answer = api.ok("GET", path, params=query)
            summary = answer["summary"]
            shown = {each["confidence"] for each in answer["results"]}
            return shown, answer["count"], summary["passed"], summary["failed"]

        assert found() == ({0.5, 0.75, 1.0, None}, 4, 3, 1)
        assert found(min_confidence=0.75) == ({0.75, 1.0}, 2, 1, 1)
        assert found(max_confidence=0.75) == ({0.5, 0.75}, 2, 1, 1)
        assert found(min_confidence=0.6, max_confidence=0.8) == ({0.75}, 1, 0, 1)
        assert found(min_confidence=0) == ({0.5, 0.75, 1.0}, 3, 2, 1)
        for query, attr in (
            ("min_confidence=1.1", "min_confidence"), ("max_confidence=-0.1", "max_confidence"),
            ("min_confidence=sure", "min_confidence"), ("max_confidence=nan", "max_confidence"),
            ("min_confidence=0.8&max_confidence=0.7", "min_confidence"),
        ):  # fmt: skip
            assert api.error("GET", f"{path}?{query}")["attr"] == attr, query


class TestEstimate:
    def test_matches_and_samples_are_counted_over_a_window(self, api: Api, stand_in: StandInServer) -> None:
        api.events(*[{**GENERATION, "plan": "pro" if number % 2 else "free"} for number in range(40)])
        conditions = [{"id": "a", "rollout_percentage": 50, "properties": [{"key": "plan", "value": "pro"}]}]
        made = api.hog(conditions=conditions)
        found = api.ok("POST", f"evaluations/{made['id']}/estimate/", json={})
        assert (found["events"], found["matched"], found["complete"]) == (40, 20, True)
        assert 0 < found["sampled_in"] < 20
        assert found["sampled_in_per_day"] == pytest.approx(found["sampled_in"] / 7)
        assert (found["input_tokens_per_day"], found["usd_per_day"]) == (0, 0)

    def test_a_judge_has_tokens_and_a_price_if_its_model_has_one(self, api: Api, stand_in: StandInServer) -> None:
        api.events(GENERATION)
        body = {"provider": "custom", "name": "k", "api_key": "sk-estimate-0123456789", "base_url": stand_in.base_url}
        key = api.ok("POST", "llm_analytics/provider_keys/", 201, json=body)
        model = {"provider": "custom", "model": "m", "provider_key_id": key["id"]}
        judge = {
            "name": "j",
            "evaluation_type": "llm_judge",
            "evaluation_config": {"prompt": "p"},
            "model_configuration": model,
        }
        made = api.ok("POST", "evaluations/", 201, json=judge)
        found = api.ok("POST", f"evaluations/{made['id']}/estimate/", json={})
        assert found["input_tokens_per_day"] > 0
        assert found["output_tokens_per_day"] > 0

    def test_a_window_must_go_forward(self, api: Api) -> None:
        made = api.hog()
        body = {"window_start": WEEK["window_end"], "window_end": WEEK["window_start"]}
        assert api.error("POST", f"evaluations/{made['id']}/estimate/", json=body)["attr"] == "window_start"


class TestBackfills:
    def test_one_at_a_time_with_pause_resume_cancel_and_progress(self, api: Api) -> None:
        made = api.hog()
        path = f"evaluations/{made['id']}/backfills/"
        first = api.ok("POST", path, 201, json=WEEK | {"rerun_existing": True})
        assert (first["state"], first["rerun_existing"], first["progress"]) == ("pending", True, None)
        assert api.error("POST", path, 409, json=WEEK)["code"] == "backfill_running"
        one = f"{path}{first['id']}/"
        assert api.ok("POST", one + "pause/")["state"] == "paused"
        assert api.error("POST", one + "pause/", 409)["code"] == "wrong_state"
        assert api.ok("POST", one + "resume/")["state"] == "pending"
        runner = Backfills(api.services.database)
        claimed = claim_only(lambda: runner.claim("me", now=datetime.now(UTC), lease_s=60), first["id"]).id
        half = Progress(total=10, read=5, matched=4)
        runner.report(claimed, "me", half, cursor="c", now=api.services.now(), lease_s=60)
        shown = api.ok("GET", one)
        assert (shown["state"], shown["read"], shown["matched"], shown["progress"]) == ("running", 5, 4, 0.5)
        assert api.ok("POST", one + "cancel/")["state"] == "cancelled"
        assert api.error("POST", one + "cancel/", 409)["code"] == "wrong_state"
        second = api.ok("POST", path, 201, json=WEEK)
        assert [each["id"] for each in api.ok("GET", path)["results"]] == [second["id"], first["id"]]

    def test_a_backfill_is_found_under_its_own_evaluation_only(self, api: Api) -> None:
        made, other = api.hog(), api.hog()
        backfill = api.ok("POST", f"evaluations/{made['id']}/backfills/", 201, json=WEEK)
        api.error("GET", f"evaluations/{other['id']}/backfills/{backfill['id']}/", 404)
        api.error("POST", f"evaluations/{other['id']}/backfills/{backfill['id']}/cancel/", 404)

    @pytest.mark.parametrize(
        ("change", "attr"),
        [
            ({"window_end": WEEK["window_start"]}, "window_start"),
            ({"window_end": "2999-01-01T00:00:00Z"}, "window_end"),
            ({"window_start": "yesterday"}, "window_start"), ({"window_start": "2026-01-01T00:00:00"}, "window_start"),
        ],
    )  # fmt: skip
    def test_a_window_that_makes_no_sense_is_refused(self, api: Api, change: dict[str, str], attr: str) -> None:
        made = api.hog()
        assert api.error("POST", f"evaluations/{made['id']}/backfills/", json=WEEK | change)["attr"] == attr


class TestRuns:
    def body(self, evaluation: dict[str, Any], target: str, **changes: Any) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        return {"evaluation_id": evaluation["id"], "target_event_id": target, "timestamp": now} | changes

    def test_a_task_goes_out_with_the_event_and_the_run_shows_its_result(self, api: Api) -> None:
        made = api.hog(conditions=[])
        (event,) = api.events(GENERATION)
        started = api.ok("POST", "evaluation_runs/", 202, json=self.body(made, event))
        assert started["status"] == "started"
        assert started["evaluation"] == {"id": made["id"], "name": "hog"}
        assert started["target_event_id"] == event
        [(task, value)] = api.tasks.sent
        assert (task.run_key, task.trigger, task.event_uuid) == (started["workflow_id"], "manual", event)
        assert started["workflow_id"].startswith(
            run_key("hog", made["id"], event).removesuffix("-ingestion") + "-manual-"
        )
        row = orjson.loads(value)
        assert orjson.loads(row["properties"]) == GENERATION
        assert (row["uuid"], row["team_id"], row["event"]) == (event, api.team, "$ai_generation")
        path = f"evaluation_runs/{started['workflow_id']}/"
        assert api.ok("GET", path)["status"] == "started"
        api.result(made, event, uuid=result_uuid(started["workflow_id"]), trigger="manual")
        done = api.ok("GET", path)
        assert (done["status"], done["result"]["result"]) == ("completed", True)
        assert api.ok("GET", "evaluation_runs/")["results"] == [done]
        assert api.ok("GET", f"evaluation_runs/?evaluation_id={uuid4()}")["count"] == 0

    def test_a_run_reads_its_verdict_as_the_list_of_results_does(self, api: Api) -> None:
        """Also when the evaluation is deleted meanwhile, and each by the rule of its own evaluation."""
        inverted, plain = api.hog(output_config={"true_is_failure": True}), api.hog()
        (event,) = api.events(GENERATION)
        for made in (inverted, plain):
            started = api.ok("POST", "evaluation_runs/", 202, json=self.body(made, event))
            api.result(made, event, uuid=result_uuid(started["workflow_id"]), trigger="manual")
            listed = api.ok("GET", f"evaluations/{made['id']}/results/")["results"]
            assert api.ok("GET", f"evaluation_runs/{started['workflow_id']}/")["result"] == listed[0]
        api.ok("PATCH", f"evaluations/{inverted['id']}/", json={"deleted": True})
        shown = api.ok("GET", "evaluation_runs/")["results"]
        read = {each["evaluation"]["id"]: each["result"]["verdict"] for each in shown}
        assert read == {inverted["id"]: "fail", plain["id"]: "pass"}

    def test_two_runs_of_the_same_millisecond_are_two(self, api: Api) -> None:
        made = api.hog()
        (event,) = api.events(GENERATION)
        keys = {api.ok("POST", "evaluation_runs/", 202, json=self.body(made, event))["workflow_id"] for _ in range(5)}
        assert len(keys) == 5

    def test_what_is_not_there_is_404_and_sends_nothing(self, api: Api) -> None:
        made = api.hog()
        (event,) = api.events(GENERATION)
        for changes in ({"evaluation_id": str(uuid4())}, {"target_event_id": str(uuid4())}, {"event": "$pageview"},
                        {"distinct_id": "somebody"}):  # fmt: skip
            api.error("POST", "evaluation_runs/", 404, json=self.body(made, event, **changes))
        api.ok("PATCH", f"evaluations/{made['id']}/", json={"deleted": True})
        api.error("POST", "evaluation_runs/", 404, json=self.body(made, event))
        api.error("GET", "evaluation_runs/unknown/", 404)
        assert api.tasks.sent == []

    def test_a_wrong_timestamp_still_finds_the_event(self, api: Api) -> None:
        made = api.hog()
        (event,) = api.events(GENERATION)
        api.ok("POST", "evaluation_runs/", 202, json=self.body(made, event, timestamp="2020-01-01T00:00:00Z"))

    def test_a_task_that_kafka_does_not_take_is_503_and_no_run(self, api: Api) -> None:
        made = api.hog()
        (event,) = api.events(GENERATION)
        api.tasks.failure = TaskNotSent("no broker")
        assert api.error("POST", "evaluation_runs/", 503, json=self.body(made, event))["code"] == "kafka_unavailable"
        assert api.ok("GET", "evaluation_runs/")["count"] == 0
