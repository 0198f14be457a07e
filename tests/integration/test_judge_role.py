"""The judge role end to end: an event becomes a task, the task a verdict, whatever provider and key do meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.integration.judge_rig import TEAM, JudgeRig, judge_rig
from tests.stand_in.client import StandInServer


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
    stand_in.script({"action": "server_error", "times": 11})
    rig.start()
    sent = {rig.send(f"Answer {number}.") for number in range(10)}
    results = rig.wait_for_results(10)
    assert {each["$ai_target_event_id"] for each in results} == sent
    assert len({each["uuid"] for each in results}) == len(results) == 10
    assert rig.records(rig.topics.parked), "an outage longer than a run's retries parks runs"


def test_a_revoked_key_stops_the_evaluation_and_a_replaced_one_starts_it_again(
    rig: JudgeRig, stand_in: StandInServer
) -> None:
    key = rig.add_key()
    evaluation = rig.add_evaluation()
    stand_in.script({"match": {"api_key": "sk-good-0123456789"}, "action": "unauthorized"})
    rig.start()
    sent = {rig.send(f"Answer {number}.") for number in range(4)}
    rig.wait(lambda: rig.status(evaluation) == ("error", "provider_key_invalid"), "the status")
    assert rig.keys.get(TEAM, key.id).state == "invalid"
    assert rig.results() == []
    rig.keys.update(TEAM, key.id, {"state": "ok"}, api_key=SecretStr("sk-new-0123456789"), now=datetime.now(UTC))
    results = rig.wait_for_results(4)
    assert {each["$ai_target_event_id"] for each in results} == sent
    assert rig.status(evaluation) == ("active", None)


def test_a_team_without_a_key_waits_and_runs_once_it_has_one(rig: JudgeRig) -> None:
    evaluation = rig.add_evaluation()
    rig.start()
    sent = rig.send("Answer.")
    rig.wait(lambda: rig.status(evaluation) == ("error", "provider_key_required"), "the status")
    rig.add_key()
    assert rig.wait_for_results(1)[0]["$ai_target_event_id"] == sent
    assert rig.status(evaluation) == ("active", None)
