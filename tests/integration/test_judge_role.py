"""The judge role end to end: an event becomes a task, the task a verdict, whatever provider and key do meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from config.definitions import Evaluation, EvaluationDraft, patch_draft
from examples.stand_in.client import StandInServer
from processor.dead_letters.redrive import Redriver
from processor.dead_letters.stored import LetterFilter
from processor.dead_letters.topic import DeadLetterTopic
from storage.sql.budgets import Budgets
from tests.integration.judge_rig import TEAM, JudgeRig, judge_rig


@pytest.fixture
def rig(kafka: str, tmp_path: Path, stand_in: StandInServer) -> Iterator[JudgeRig]:
    with judge_rig(kafka, tmp_path, stand_in.base_url) as rig:
        yield rig


def test_an_event_becomes_a_verdict_with_its_attribution(rig: JudgeRig, stand_in: StandInServer) -> None:
    key = rig.add_key()
    evaluation = rig.add_evaluation()
    rig.start()
    good, bad = rig.send("With pleasure: it left on Monday."), rig.send("That is a stupid question.")
    found = {each["$ai_target_event_id"]: each for each in rig.wait_for_results(2)}
    assert found[good]["$ai_evaluation_result"] is True
    assert found[bad]["$ai_evaluation_result"] is False
    for each in found.values():
        assert each["$ai_evaluation_id"] == evaluation
        assert each["$ai_evaluation_runtime"] == "llm_judge"
        assert each["$ai_evaluation_model"] == "m1"
        assert each["$ai_evaluation_provider"] == "custom"
        assert each["$ai_evaluation_key_id"] == key.id
        assert each["$ai_evaluation_key_type"] == "own"
        assert each["$ai_evaluation_cached"] is False
        assert each["$ai_input_tokens"] > 0
        assert each["$ai_evaluation_reasoning"]
    rig.stop()
    assert len(stand_in.requests()) == 2


def test_runs_wait_out_an_outage_and_none_is_lost_or_judged_twice(rig: JudgeRig, stand_in: StandInServer) -> None:
    rig.add_key()
    rig.add_evaluation()
    stand_in.script({"action": "server_error"})
    rig.start()
    sent = {rig.send(f"Answer {number}.") for number in range(10)}
    rig.wait(lambda: len(rig.records(rig.topics.parked)) >= 10, "the runs to be parked")
    stand_in.reset()
    results = rig.wait_for_results(10)
    assert {each["$ai_target_event_id"] for each in results} == sent
    assert len({each["uuid"] for each in results}) == len(results) == 10


def test_a_revoked_key_stops_the_evaluation_and_a_replaced_one_starts_it_again(
    rig: JudgeRig, stand_in: StandInServer
) -> None:
    key = rig.add_key()
    evaluation = rig.add_evaluation()
    stand_in.script({"match": {"api_key": "sk-good-0123456789"}, "action": "unauthorized"})
    # The matcher first: of an evaluation that is off already, the last of the events would rightly not match.
    rig.start(("matcher",))
    sent = {rig.send(f"Answer {number}.") for number in range(4)}
    rig.wait(lambda: len(rig.records(rig.topics.tasks)) == 4, "the tasks")
    rig.stop()
    rig.start(("judge",))
    rig.wait(lambda: rig.status(evaluation) == ("error", "provider_key_invalid"), "the status")
    assert rig.keys.get(TEAM, key.id).state == "invalid"
    assert rig.results() == []
    rig.keys.update(TEAM, key.id, {"state": "ok"}, api_key=SecretStr("sk-new-0123456789"), now=datetime.now(UTC))
    results = rig.wait_for_results(4)
    assert {each["$ai_target_event_id"] for each in results} == sent
    rig.wait(lambda: rig.status(evaluation) == ("active", None), "the evaluation to be on again")


def test_a_run_that_expired_has_all_its_time_again_when_it_is_redriven(
    kafka: str, tmp_path: Path, stand_in: StandInServer
) -> None:
    with judge_rig(kafka, tmp_path, stand_in.base_url, park_limit_s=4.0) as rig:
        evaluation = rig.add_evaluation()
        rig.start()
        sent = rig.send("Answer.")
        rig.wait(lambda: len(rig.records(rig.topics.dead_letters)) == 1, "the run to expire")
        rig.stop()
        assert rig.status(evaluation) == ("error", "provider_key_required")
        judge = rig.settings.judge.model_copy(update={"park_limit_s": 3600.0})
        rig.settings = rig.settings.model_copy(update={"judge": judge})
        rig.start()
        connection = {"bootstrap.servers": kafka}
        letters = DeadLetterTopic(connection, rig.topics.dead_letters)
        options = {**connection, "transactional.id": uuid4().hex}
        redriven_ms = int(time.time() * 1000)
        assert Redriver(options, letters, max_attempts=5).redrive(LetterFilter(reason="expired")).sent == 1

        def parked_afresh() -> list[str]:
            parked = [record["headers"] for record in rig.records(rig.topics.parked)]
            fresh = [each for each in parked if int(each["gavel.task.parked_since_ms"]) >= redriven_ms]
            return [each["gavel.task.attempt"] for each in fresh]

        rig.wait(lambda: "1" in parked_afresh(), "the run to be parked as for the first time")
        rig.add_key()
        assert [each["$ai_target_event_id"] for each in rig.wait_for_results(1)] == [sent]
        rig.wait(lambda: rig.status(evaluation) == ("active", None), "the evaluation to be on again")
        rig.stop()
        assert len(rig.results()) == 1
        assert len([each for each in rig.records(rig.topics.dead_letters) if each["value"] is not None]) == 1


def test_a_team_without_a_key_waits_and_runs_once_it_has_one(rig: JudgeRig) -> None:
    evaluation = rig.add_evaluation()
    rig.start()
    sent = rig.send("Answer.")
    rig.wait(lambda: rig.status(evaluation) == ("error", "provider_key_required"), "the status")
    rig.add_key()
    assert rig.wait_for_results(1)[0]["$ai_target_event_id"] == sent
    rig.wait(lambda: rig.status(evaluation) == ("active", None), "the evaluation to be on again")


def test_a_budget_that_is_used_up_skips_runs_and_a_raised_one_lets_them_run(rig: JudgeRig) -> None:
    rig.add_key()
    evaluation = rig.add_evaluation(budget={"tokens": 1, "period": "month"})
    rig.start()
    rig.send("Too much.")
    rig.wait(lambda: bool(Budgets(rig.database).skips(TEAM, evaluation)), "the skipped range")
    assert rig.results() == []
    assert rig.status(evaluation) == ("active", None)

    def raise_budget(current: Evaluation) -> EvaluationDraft:
        return patch_draft(current.draft(), {"budget": {"tokens": 1_000_000, "period": "month"}})

    edited = rig.evaluations.update(TEAM, evaluation, raise_budget, actor="test", now=datetime.now(UTC))
    rig.wait_until_known(edited)
    sent = rig.send("Enough.")
    assert [each["$ai_target_event_id"] for each in rig.wait_for_results(1)] == [sent]


def test_hog_that_takes_long_is_run_here_and_stopped_at_its_limit(kafka: str, tmp_path: Path) -> None:
    slow = "let n := 0\nwhile (true) { n := n + 1 }\nreturn true"
    with judge_rig(kafka, tmp_path, "http://127.0.0.1:9/v1", hog_limit_s=0.3) as rig:
        rig.add_evaluation(evaluation_type="hog", evaluation_config={"source": slow}, model_configuration=None)
        rig.start()
        sent = rig.send("Anything.")
        (result,) = rig.wait_for_results(1)
        assert result["$ai_target_event_id"] == sent
        assert result["$ai_evaluation_skip_reason"] == "hog_error"
        assert "$ai_evaluation_result" not in result


def test_an_endpoint_inside_the_network_is_not_called(kafka: str, tmp_path: Path, stand_in: StandInServer) -> None:
    """Even if the key got into the store: names can change what they stand for."""
    with judge_rig(kafka, tmp_path, stand_in.base_url, allowed_hosts=[]) as rig:
        rig.add_key()
        evaluation = rig.add_evaluation()
        rig.start()
        for number in range(3):
            rig.send(f"Answer {number}.")
        rig.wait(lambda: rig.status(evaluation)[0] == "error", "the status")
        assert stand_in.requests() == []
        assert "judge.allowed_hosts" in (rig.evaluations.get(TEAM, evaluation).status_reason_detail or "")


def test_a_judges_own_call_is_not_judged(rig: JudgeRig, stand_in: StandInServer) -> None:
    rig.add_key()
    rig.add_evaluation()
    rig.start()
    rig.send("x", **{"$ai_input": [{"role": "system", "content": "[gavel-judge] You are …"}]})
    rig.send("x", **{"$ai_evaluation_judge": True})
    judged = rig.send("x")
    assert [each["$ai_target_event_id"] for each in rig.wait_for_results(1)] == [judged]
    assert len(stand_in.requests()) == 1


def test_a_run_right_after_its_evaluation_was_made_or_changed_is_judged_by_just_that(
    kafka: str, tmp_path: Path, stand_in: StandInServer
) -> None:
    """The judge's own look at the store comes too late for both: it must look again because the task says so."""
    with judge_rig(kafka, tmp_path, stand_in.base_url, poll_interval_s=300.0) as rig:
        rig.add_key()
        first = rig.add_evaluation()
        rig.start(("judge",))
        rig.run(first, "Answer 0.")
        rig.wait_for_results(1)
        made = [rig.add_evaluation(name=f"made {number}") for number in range(3)]
        for evaluation in made:
            rig.run(evaluation, "Answer 1.")
        results = rig.wait_for_results(4)
        assert {each["$ai_evaluation_id"] for each in results} == {first, *made}

        def change(current: Evaluation) -> EvaluationDraft:
            return patch_draft(current.draft(), {"evaluation_config": {"prompt": "The answer is short."}})

        changed = rig.evaluations.update(TEAM, first, change, actor="test", now=datetime.now(UTC))
        target = rig.run(first, "Answer 2.")
        (newest,) = [each for each in rig.wait_for_results(5) if each["$ai_target_event_id"] == target]
        assert newest["$ai_evaluation_version"] == changed.version == 2
        prompts = [request["body"]["messages"][0]["content"] for request in stand_in.requests(bodies=True)]
        assert "The answer is short." in prompts[-1]


def test_a_run_is_dropped_only_if_the_store_says_that_its_evaluation_is_deleted(
    rig: JudgeRig, stand_in: StandInServer
) -> None:
    rig.add_key()
    deleted, kept = rig.add_evaluation(name="deleted"), rig.add_evaluation(name="kept")
    tasks = [rig.run(deleted, "Answer."), rig.run(kept, "Answer.")]

    def delete(current: Evaluation) -> EvaluationDraft:
        return patch_draft(current.draft(), {"deleted": True})

    rig.evaluations.update(TEAM, deleted, delete, actor="test", now=datetime.now(UTC))
    rig.start(("judge",))
    results = rig.wait_for_results(1)
    assert [each["$ai_target_event_id"] for each in results] == tasks[1:]
    dropped = {"role": "judge", "reason": "evaluation_deleted"}
    rig.wait(lambda: rig.metrics.registry.get_sample_value("gavel_runs_not_made_total", dropped) == 1, "the count")
    assert rig.records(rig.topics.parked) == []
    rig.stop()
    assert len(stand_in.requests()) == 1
