"""Juries and cascades on Kafka: one task and one result, whatever a member's provider does meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.stand_in.client import StandInServer
from tests.integration.judge_rig import JudgeRig, judge_rig


@pytest.fixture
def rig(kafka: str, tmp_path: Path, stand_in: StandInServer) -> Iterator[JudgeRig]:
    with judge_rig(kafka, tmp_path, stand_in.base_url) as rig:
        yield rig


def answer(model: str, verdict: str, **more: Any) -> dict[str, Any]:
    content = f'{{"reasoning": "So it is.", "verdict": {verdict}}}'
    return {"match": {"model": model}, "action": {"do": "answer", "content": content, **more}}


def of(kind: str, *models: str) -> dict[str, Any]:
    return {"strategy": {"kind": kind, "steps": [{"provider": "custom", "model": model} for model in models]}}


def test_a_jury_waits_for_a_member_that_is_down_and_pays_no_other_twice(rig: JudgeRig, stand_in: StandInServer) -> None:
    """The two that answer disagree, so that the third decides. The cache is off: only the parked task knows them."""
    rig.add_key()
    rig.add_evaluation(model_configuration=of("jury", "a", "b", "c"), cache_verdicts=False)
    answers = (answer("a", "true"), answer("b", "false"))
    stand_in.script(*answers, {"match": {"model": "c"}, "action": "server_error"})
    rig.start()
    sent = {rig.send(f"Answer {number}.") for number in range(3)}
    rig.wait(lambda: len(rig.records(rig.topics.parked)) >= 3, "the runs to be parked")
    asked = Counter(call["model"] for call in stand_in.requests())
    assert (asked["a"], asked["b"]) == (3, 3)
    stand_in.reset()
    stand_in.script(*answers, answer("c", "true"))
    results = rig.wait_for_results(3)
    rig.stop()
    assert {each["$ai_target_event_id"] for each in results} == sent
    assert len({each["uuid"] for each in results}) == len(rig.results()) == 3
    for each in results:
        assert [step["verdict"] for step in each["$ai_evaluation_steps"]] == [True, False, True]
        assert each["$ai_evaluation_confidence"] == pytest.approx(2 / 3)
    assert {call["model"] for call in stand_in.requests()} == {"c"}


def test_a_cascade_asks_its_second_model_where_the_first_is_unsure(rig: JudgeRig, stand_in: StandInServer) -> None:
    rig.add_key()
    rig.add_evaluation(model_configuration=of("cascade", "small", "large"))
    unsure = answer("small", "true", sure=0.6)
    unsure["match"]["contains"] = "unsure"
    stand_in.script(unsure, answer("small", "true", sure=0.97), answer("large", "false", sure=0.99))
    rig.start()
    plain, hard = rig.send("An easy answer."), rig.send("An answer that leaves one unsure.")
    found = {each["$ai_target_event_id"]: each for each in rig.wait_for_results(2)}
    rig.stop()
    assert found[plain]["$ai_evaluation_result"] is True
    assert len(found[plain]["$ai_evaluation_steps"]) == 1
    assert found[hard]["$ai_evaluation_result"] is False
    assert [step["confidence"] for step in found[hard]["$ai_evaluation_steps"]] == pytest.approx([0.6, 0.99])
    assert found[hard]["$ai_evaluation_model"] == "large"
    assert found[hard]["$ai_evaluation_confidence_source"] == "logprobs"
