"""`trust/`: agreement and corrected rates of one version, with the right method and the right refusals."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import build_app
from quality.intervals import Estimate
from quality.post_stratified import Stratified, post_stratified
from tests.api.conftest import Api
from tests.api.test_label_queues import judged, queue

OLD = datetime.now(UTC) - timedelta(days=60)


def say(api: Api, evaluation: dict[str, Any], verdicts: dict[str, Any], **fields: Any) -> None:
    """Label generations over the API."""
    labels = [
        {"evaluation": evaluation["id"], "target_event_id": target, "verdict": {"result": verdict}} | fields
        for target, verdict in verdicts.items()
    ]
    if labels:
        api.ok("POST", "labels/", 201, json={"labels": labels})


def trust(api: Api, evaluation: dict[str, Any], query: str = "") -> Any:
    return api.ok("GET", f"evaluations/{evaluation['id']}/trust/{query}")


def sampled(api: Api, passes: int, fails: int, size: int, wrong_passes: int, wrong_fails: int) -> dict[str, Any]:
    """An evaluation with a random queue, whose items people label; some of the judge's verdicts are wrong."""
    from storage.sql.label_queues import LabelQueues

    evaluation = api.hog()
    judged(api, evaluation, [True] * passes + [False] * fails)
    made = queue(api, evaluation, size=size)
    items = LabelQueues(api.services.database).items(api.team, made["id"])
    said = {}
    left = {True: wrong_passes, False: wrong_fails}
    for item in items:
        verdict = int(item.target_event_id.removeprefix("event-")) < passes
        wrong = left[verdict] > 0
        left[verdict] -= wrong
        said[item.target_event_id] = verdict != wrong
    say(api, evaluation, said)
    return evaluation


def test_random_labels_of_the_window_correct_the_pass_rate(api: Api) -> None:
    evaluation = sampled(api, 60, 40, 100, wrong_passes=6, wrong_fails=4)
    found = trust(api, evaluation)
    agreement, corrected = found["agreement"], found["corrected"]
    table = agreement["pass_fail"]
    assert [table[name] for name in ("true_pass", "false_fail", "false_pass", "true_fail")] == [54, 4, 6, 36]
    assert table["accuracy"]["value"] == pytest.approx(0.9)
    assert (agreement["pairs"], agreement["random"], agreement["sample"]) == (100, 100, "all")
    expected = post_stratified(Stratified(100, 60, 60, 54, 40, 4))
    assert isinstance(expected, Estimate)
    assert (corrected["method"], corrected["refused"]) == ("post_stratified", None)
    assert corrected["value"] == pytest.approx(expected.value)
    assert corrected["low"] == pytest.approx(expected.interval.low)
    assert corrected["raw"]["value"] == pytest.approx(0.6)
    assert corrected["human_only"]["value"] == pytest.approx(0.58)
    assert len(agreement["disagreements"]) == 10
    assert {each["human"]["result"] != each["judge"]["result"] for each in agreement["disagreements"]} == {True}
    summary = api.ok("GET", f"evaluations/{evaluation['id']}/results/?limit=1")
    assert summary["corrected"]["value"] == pytest.approx(expected.value)


def test_below_the_minimum_counts_there_is_no_figure(api: Api) -> None:
    evaluation = sampled(api, 15, 4, 19, wrong_passes=0, wrong_fails=0)
    found = trust(api, evaluation)
    table = found["agreement"]["pass_fail"]
    assert table["accuracy"] == {"value": None, "low": None, "high": None, "too_few": 1}
    assert table["kappa"]["too_few"] == 11
    assert table["specificity"]["too_few"] == 6
    assert table["sensitivity"]["value"] == 1
    assert table["word"] is None
    corrected = found["corrected"]
    assert (corrected["refused"], corrected["value"], corrected["method"]) == ("too_few", None, None)
    assert corrected["missing"] == {"labelled_fail": 6, "labelled": 21}


def test_labels_from_elsewhere_correct_by_the_error_rates(api: Api) -> None:
    evaluation = api.hog()
    judged(api, evaluation, [True] * 90 + [False] * 60)
    say(api, evaluation, {f"event-{n}": n < 85 or n >= 145 for n in range(150)})
    corrected = trust(api, evaluation)["corrected"]
    assert corrected["method"] == "rogan_gladen"
    assert corrected["human_only"] is None
    assert corrected["low"] < corrected["value"] < corrected["high"]


def test_a_judge_that_guesses_is_refused(api: Api) -> None:
    evaluation = api.hog()
    judged(api, evaluation, [True, False] * 30)
    say(api, evaluation, {f"event-{n}": n % 4 < 2 for n in range(60)})
    assert trust(api, evaluation)["corrected"]["refused"] == "judge_no_better_than_chance"


def test_figures_of_two_versions_are_never_mixed(api: Api) -> None:
    evaluation = sampled(api, 30, 30, 60, wrong_passes=0, wrong_fails=0)
    path = f"evaluations/{evaluation['id']}/"
    api.ok("PATCH", path, json={"evaluation_config": {"source": "return false"}})
    now = trust(api, evaluation)
    assert (now["version"], now["agreement"]["pairs"], now["agreement"]["not_judged"]) == (2, 0, 60)
    assert now["corrected"]["refused"] == "other_version"
    assert trust(api, evaluation, "?version=1")["agreement"]["pairs"] == 60
    judged(api, {**evaluation}, [False] * 60)
    assert trust(api, evaluation)["agreement"]["pass_fail"]["false_fail"] == 30
    assert trust(api, evaluation, "?version=1")["agreement"]["pass_fail"]["accuracy"]["value"] == 1
    assert api.error("GET", f"{path}trust/?version=9")["attr"] == "version"


def test_a_window_without_results_has_no_rate(api: Api) -> None:
    evaluation = sampled(api, 30, 30, 60, wrong_passes=0, wrong_fails=0)
    found = trust(api, evaluation, "?window_start=2020-01-01&window_end=2020-02-01")
    assert found["corrected"]["raw"]["value"] is None
    assert found["corrected"]["refused"] == "too_few"
    path = f"evaluations/{evaluation['id']}/trust/"
    assert api.error("GET", f"{path}?window_start=2020-02-01&window_end=2020-01-01")["attr"] == "window_start"


def test_labels_of_focus_queues_after_a_reveal_or_of_another_question_enter_nothing(api: Api) -> None:
    evaluation = api.hog()
    results = judged(api, evaluation, [True] * 30)
    queue(api, evaluation, mode="focus", reason="hand_picked", results=results[:5], window_start=None)
    say(api, evaluation, {f"event-{n}": True for n in range(10)})
    say(api, evaluation, {f"event-{n}": True for n in range(10, 15)}, after_reveal=True)
    assert trust(api, evaluation)["agreement"]["pairs"] == 5
    api.ok("PATCH", f"evaluations/{evaluation['id']}/", json={"new_question": True})
    assert trust(api, evaluation)["labels"] == 0


def test_skips_are_unanswered_and_na_has_a_table_of_its_own(api: Api) -> None:
    evaluation = api.hog(output_config={"allows_na": True})
    judged(api, evaluation, [True, False, True, True])
    judged(api, evaluation, [True], target_event_id="skipped", skipped=True, result=None, skip_reason="timeout")
    judged(api, evaluation, [True], target_event_id="na", result=None, applicable=False)
    say(api, evaluation, {"event-0": True, "event-1": True, "skipped": True, "na": True})
    body = {"evaluation": evaluation["id"], "target_event_id": "event-2", "verdict": {"applicable": False}}
    api.ok("POST", "labels/", 201, json=body)
    agreement = trust(api, evaluation)["agreement"]
    assert (agreement["pairs"], agreement["unanswered"], agreement["not_judged"]) == (4, 1, 0)
    assert agreement["applicability"] == {"both": 2, "only_human": 1, "only_judge": 1, "neither": 0}


def test_slices_are_compared_with_the_rest_and_adjusted(api: Api) -> None:
    evaluation = api.hog()
    judged(api, evaluation, [True] * 60, model="good")
    judged(api, evaluation, [True] * 10, model="rare")
    names = [f"bad-{n}" for n in range(30)]
    for name in names:
        judged(api, evaluation, [True], model="bad", target_event_id=name)
    say(api, evaluation, {f"event-{n}": True for n in range(60)} | {name: n < 15 for n, name in enumerate(names)})
    found = {each["name"]: each for each in trust(api, evaluation, "?slice=model")["agreement"]["slices"]}
    assert set(found) == {"good", "bad"}
    assert found["bad"]["accuracy"]["value"] == pytest.approx(0.5)
    assert found["bad"]["p"] < 0.001
    assert trust(api, evaluation)["agreement"]["slices"] == []


def test_slices_by_a_property_and_the_length_bias_are_read_from_the_archive(api: Api) -> None:
    evaluation = api.hog()
    for number in range(60):
        text = "x" * (number + 1)
        [event] = api.events({"$ai_output_choices": text, "plan": "free" if number % 2 else "paid"})
        judged(api, evaluation, [number >= 40], target_event_id=event)
        say(api, evaluation, {event: False})
    plans = trust(api, evaluation, "?slice=plan")["agreement"]["slices"]
    assert {each["name"]: each["pairs"] for each in plans} == {"free": 30, "paid": 30}
    thirds = trust(api, evaluation, "?slice=output_length")["agreement"]["length_bias"]
    assert [each["judged_pass"]["value"] for each in thirds] == [0, 0, 1]
    reader = api.as_key(api.key("evaluation:read"))
    path = f"/api/projects/{api.team}/evaluations/{evaluation['id']}/trust/?slice="
    assert [reader.get(path + name).status_code for name in ("plan", "output_length", "model")] == [403, 200, 200]
    assert "query:read" in reader.get(path + "plan").json()["detail"]


def test_a_stratified_queue_is_weighted_to_the_window(api: Api) -> None:
    from storage.sql.label_queues import LabelQueues

    evaluation = api.hog()
    judged(api, evaluation, [True] * 380 + [False] * 20)
    made = queue(api, evaluation, size=40, mode="stratified")
    items = LabelQueues(api.services.database).items(api.team, made["id"])
    say(api, evaluation, {item.target_event_id: item.stratum == "pass" for item in items})
    found = trust(api, evaluation)
    assert found["agreement"]["sample"] == "stratified"
    assert found["agreement"]["pass_fail"]["prevalence"] == pytest.approx(0.95)
    assert found["corrected"]["method"] == "post_stratified"
    assert found["corrected"]["human_only"] is None


def test_random_labels_beside_a_stratified_queue_are_weighted_with_it(api: Api) -> None:
    from storage.sql.label_queues import LabelQueues

    evaluation = api.hog()
    judged(api, evaluation, [True] * 380 + [False] * 20)
    queues = LabelQueues(api.services.database)
    for made in (queue(api, evaluation, size=60), queue(api, evaluation, size=40, mode="stratified")):
        drawn = queues.items(api.team, made["id"])
        say(api, evaluation, {item.target_event_id: int(item.target_event_id[6:]) < 380 for item in drawn})
    agreement = trust(api, evaluation)["agreement"]
    assert agreement["random"] > agreement["stratified"] > 0
    assert agreement["sample"] == "stratified"
    assert agreement["pass_fail"]["prevalence"] == pytest.approx(0.95), "judged fails were drawn more often"


def scored(api: Api, scores: list[float], **options: Any) -> dict[str, Any]:
    """An evaluation that has given these scores."""
    scale = {"output_type": "numeric", "output_config": {"min": 1, "max": 5} | options}
    judge = {"name": "n", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "How good is it?"}}
    evaluation: dict[str, Any] = api.ok("POST", "evaluations/", 201, json=judge | scale)
    each = [
        {"numeric_result": score, "model": f"m{number % 2}", "target_event_id": f"score-{number}"}
        for number, score in enumerate(scores)
    ]
    judged(api, evaluation, [True] * len(scores), each, result_type="numeric", result=None)
    return evaluation


def draw(api: Api, evaluation: dict[str, Any], size: int, mode: str) -> list[Any]:
    """The items of a new queue."""
    from storage.sql.label_queues import LabelQueues

    return LabelQueues(api.services.database).items(api.team, queue(api, evaluation, size=size, mode=mode)["id"])


def label_all(api: Api, evaluation: dict[str, Any], verdicts: dict[str, Any]) -> None:
    labels = [
        {"evaluation": evaluation["id"], "target_event_id": target, "verdict": verdict}
        for target, verdict in verdicts.items()
    ]
    api.ok("POST", "labels/", 201, json={"labels": labels})


def test_scores_of_a_stratified_queue_are_weighted_to_the_window(api: Api) -> None:
    evaluation = scored(api, [5.0] * 110 + [1.0] * 10, passing_rule={"operator": "gte", "threshold": 3})
    drawn = draw(api, evaluation, 60, "stratified")
    passes = sum(item.stratum == "pass" for item in drawn)
    assert (passes, len(drawn)) == (50, 60), "judged fails are drawn twice as often"
    # People say 4 of every judged 5, and 4 of every judged 1.
    label_all(api, evaluation, {item.target_event_id: {"score": 4} for item in drawn})
    found = trust(api, evaluation, "?slice=model")["agreement"]
    assert (found["sample"], found["stratified"]) == ("stratified", 60)
    assert found["scores"]["bias"]["value"] == pytest.approx((110 * 1 - 10 * 3) / 120)
    assert found["scores"]["mae"]["value"] == pytest.approx((110 * 1 + 10 * 3) / 120)
    assert found["scores"]["bias"]["low"] <= found["scores"]["bias"]["value"] <= found["scores"]["bias"]["high"]
    # All judged passes agree on passing, and no judged fail does.
    assert sum(each["pairs"] for each in found["slices"]) == 60
    for each in found["slices"]:
        own = [item for item in drawn if int(item.target_event_id[6:]) % 2 == int(each["name"][1:])]
        weights = {"pass": 2.2, "fail": 1.0}
        right = sum(weights[item.stratum] for item in own if item.stratum == "pass")
        assert each["accuracy"]["value"] == pytest.approx(right / sum(weights[item.stratum] for item in own))


def test_a_stratum_without_labels_refuses_what_it_would_bias(api: Api) -> None:
    evaluation = scored(api, [5.0] * 90 + [1.0] * 30, passing_rule={"operator": "gte", "threshold": 3})
    drawn = draw(api, evaluation, 60, "stratified")
    said = {item.target_event_id: {"score": 4} for item in drawn if item.stratum == "pass"}
    fails = [item.target_event_id for item in drawn if item.stratum == "fail"]
    label_all(api, evaluation, said | {target: {"score": 4} for target in fails[:7]})
    found = trust(api, evaluation, "?slice=model")["agreement"]
    assert found["scores"]["bias"]["too_few"] == 3
    assert found["pass_fail"]["accuracy"]["too_few"] == 3
    assert found["pass_fail"]["prevalence"] is None
    assert found["slices"] == []
    label_all(api, evaluation, {target: {"score": 4} for target in fails[7:10]})
    found = trust(api, evaluation, "?slice=model")["agreement"]
    assert found["pass_fail"]["accuracy"]["value"] == pytest.approx(0.75)
    assert found["slices"]


def test_heavy_labels_count_as_fewer_for_a_mean(api: Api) -> None:
    """Ten labels of 90 judged passes and thirty of 30 judged fails are worth 13 labels."""
    evaluation = scored(api, [5.0] * 90 + [1.0] * 30, passing_rule={"operator": "gte", "threshold": 3})
    drawn = draw(api, evaluation, 120, "stratified")
    passes = [item.target_event_id for item in drawn if item.stratum == "pass"][:10]
    fails = [item.target_event_id for item in drawn if item.stratum == "fail"]
    label_all(api, evaluation, {target: {"score": 4} for target in [*passes, *fails]})
    found = trust(api, evaluation)["agreement"]["scores"]
    effective = 120**2 / (10 * 9**2 + 30)
    assert found["bias"]["too_few"] == 20 - int(effective)
    assert found["mae"]["too_few"] == 30 - int(effective)


def test_labels_from_outside_enter_no_weighted_figure_and_alone_have_no_weights(api: Api) -> None:
    evaluation = scored(api, [float(1 + 2 * (n % 3)) for n in range(90)])
    drawn = draw(api, evaluation, 30, "stratified")
    targets = {item.target_event_id for item in drawn}
    label_all(api, evaluation, {target: {"score": 3} for target in targets})
    outside = [f"score-{n}" for n in range(90) if f"score-{n}" not in targets]
    label_all(api, evaluation, {target: {"score": 1} for target in outside[:20]})
    weighted = trust(api, evaluation)["agreement"]
    assert (weighted["sample"], weighted["unsampled"]) == ("stratified", 20)
    # The thirds are drawn in proportion here, so the weights are the same.
    errors = [abs(2 * (int(target[6:]) % 3) - 2) for target in targets]
    assert weighted["scores"]["mae"]["value"] == pytest.approx(sum(errors) / 30)
    label_all(api, evaluation, {target: {"score": 1} for target in outside[20:]})
    plain = trust(api, evaluation)["agreement"]
    assert plain["sample"] == "all"
    judge = [1 + 2 * (int(target[6:]) % 3) for target in outside]
    assert plain["scores"]["bias"]["value"] == pytest.approx(sum(judge) / len(judge) - 1)


def test_classes_and_options_of_a_stratified_queue_are_weighted_to_the_window(api: Api) -> None:
    for several in (False, True):
        options = [{"key": key, "label": key} for key in ("good", "bad", "odd")]
        output = {"options": options, "passing_rule": {"categories": ["good"]}}
        if several:
            output["selection_mode"] = "multiple"
        judge = {"name": "c", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Which is it?"}}
        fields = {"output_type": "categorical", "output_config": output}
        evaluation = api.ok("POST", "evaluations/", 201, json=judge | fields)
        each = [
            {"categorical_result": [key], "target_event_id": f"{several}-{number}"}
            for number, key in enumerate(["good"] * 90 + ["bad"] * 30)
        ]
        judged(api, evaluation, [True] * 120, each, result_type="categorical", result=None)
        drawn = draw(api, evaluation, 60, "stratified")
        # People agree with every judged "good", and call every judged "bad" odd.
        said = {item.target_event_id: {"categories": ["good" if item.stratum == "pass" else "odd"]} for item in drawn}
        label_all(api, evaluation, said)
        found = trust(api, evaluation)["agreement"]
        if several:
            assert found["options"]["jaccard"] == pytest.approx(0.75)
            assert found["options"]["kappa_by_option"]["good"]["value"] == pytest.approx(1)
        else:
            assert found["classes"]["accuracy"]["value"] == pytest.approx(0.75)
            assert found["classes"]["balanced_accuracy"] == pytest.approx(0.5)
            assert sum(map(sum, found["classes"]["confusion"])) == 60


def test_the_length_bias_of_a_stratified_queue_is_weighted_to_the_window(api: Api) -> None:
    evaluation = api.hog()
    events = api.events(*({"$ai_output_choices": "x" * (n % 7 + 1)} for n in range(240)))
    judged(api, evaluation, [True] * 230 + [False] * 10, [{"target_event_id": event} for event in events])
    drawn = draw(api, evaluation, 60, "stratified")
    share = sum(item.stratum == "pass" for item in drawn) / len(drawn)
    assert share < 0.87
    say(api, evaluation, {item.target_event_id: False for item in drawn})
    thirds = trust(api, evaluation, "?slice=output_length")["agreement"]["length_bias"]
    assert sum(each["human_fails"] for each in thirds) == len(drawn)
    for each in thirds:
        assert each["judged_pass"]["low"] < each["judged_pass"]["value"] <= each["judged_pass"]["high"]
    mean = sum(each["judged_pass"]["value"] for each in thirds) / 3
    assert mean == pytest.approx(230 / 240, abs=0.03), "people fail everything, and the judge passes 23 of 24"


def test_without_the_extra_the_answer_names_the_command(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = api.hog()
    for model in ("a", "b"):
        for number in range(20):
            judged(api, evaluation, [True], model=model, target_event_id=f"{model}{number}")
    say(api, evaluation, {f"{model}{number}": True for model in ("a", "b") for number in range(20)})
    for name in [name for name in sys.modules if name.split(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)
    error = api.error("GET", f"evaluations/{evaluation['id']}/trust/?slice=model", 503)
    assert error["code"] == "extra_missing"
    assert "pip install 'gavel[quality]'" in error["detail"]


def test_results_without_labels_have_no_corrected_rate(api: Api) -> None:
    evaluation = api.hog()
    judged(api, evaluation, [True] * 3)
    assert api.ok("GET", f"evaluations/{evaluation['id']}/results/")["corrected"] is None


def test_gavel_trust_show_says_when_figures_are_weighted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = api.hog()
    judged(api, evaluation, [True] * 90 + [False] * 30)
    drawn = draw(api, evaluation, 40, "stratified")
    monkeypatch.setenv("GAVEL_STORE__DSN", api.services.database.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("GAVEL_CLICKHOUSE__DSN", api.clickhouse_dsn)
    words = ["trust", "show", evaluation["id"], "--team", str(api.team)]
    assert "weighted" not in CliRunner().invoke(build_app(), words).stdout
    say(api, evaluation, {item.target_event_id: item.stratum == "pass" for item in drawn})
    shown = CliRunner().invoke(build_app(), words).stdout
    assert "The figures are weighted to the window that the pairs were drawn from." in shown


def test_gavel_trust_show_prints_the_same_figures(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = sampled(api, 60, 40, 100, wrong_passes=6, wrong_fails=4)
    monkeypatch.setenv("GAVEL_STORE__DSN", api.services.database.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("GAVEL_CLICKHOUSE__DSN", api.clickhouse_dsn)
    words = ["trust", "show", evaluation["id"], "--team", str(api.team)]
    shown = CliRunner().invoke(build_app(), words)
    assert shown.exit_code == 0, shown.output
    assert "raw rate 0.600; corrected 0.580" in shown.stdout
    assert "agreement: good (by kappa)" in shown.stdout
    as_json = json.loads(CliRunner().invoke(build_app(), [*words, "--json"]).stdout)
    assert as_json["agreement"] == trust(api, evaluation)["agreement"]
    assert CliRunner().invoke(build_app(), [*words, "--version", "7"]).exit_code == 2
