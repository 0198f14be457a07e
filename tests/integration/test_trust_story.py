"""A judge and its evaluation from the first label to the question who moved, on real Kafka.

The judge is the stand-in provider with known errors: each text says what people find, and what each model answers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from typer.testing import CliRunner

from api.serve import ApiServer
from cli.main import build_app
from cli.reports_role import build_reports_role
from examples.stand_in.client import StandInServer
from quality.drift import run_of
from storage.drift import drift_in
from storage.sql.anchors import Anchors
from storage.sql.api_keys import ApiKeys
from storage.sql.provider_keys import NewKey, ProviderKeys
from tests.integration.pipeline import TEAM, Pipeline
from tests.services.waiting import PATIENCE_S, until

ITEMS, LABELLED, ANCHORS = 160, 120, 30
BLOCK_S = 2
"""A block of the live rate is two seconds long and not a minute, so that the story need not wait for the clock."""
MOST_RUNS = 4
"""With a third of the anchors flipped, nearly every sample of them raises the alarm in the first run."""


class Text:
    """One generation: what people find, and what each model answers.

    The first model fails 24 of 96 good texts and passes 4 of 64 bad ones; the second fails 2 and passes 2. A model that
    has changed flips every third answer of the second.
    """

    def __init__(self, number: int, *, good: bool) -> None:
        self.good = good
        self.first = good != (number % 4 == 0 if good else number % 16 == 0)
        self.second = good != (number % 48 == 0 if good else number % 32 == 0)
        self.later = self.second != (number % 3 == 0)
        answers = {"first": self.first, "second": self.second, "later": self.later}
        words = " ".join(f"{model}-{'yes' if passes else 'no'}" for model, passes in answers.items())
        self.output = f"Answer {number} {'good' if good else 'bad'}-text {words}"

    def event(self) -> bytes:
        properties = {
            "$ai_trace_id": str(uuid4()), "$ai_input": [{"role": "user", "content": "A question?"}],
            "$ai_output_choices": [{"role": "assistant", "content": self.output}],
        }  # fmt: skip
        moment = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
        row = {
            "uuid": str(uuid4()), "event": "$ai_generation", "properties": json.dumps(properties), "team_id": TEAM,
            "distinct_id": "someone", "timestamp": moment, "created_at": moment,
        }  # fmt: skip
        return json.dumps(row).encode()


TEXTS = [Text(number, good=True) for number in range(96)] + [Text(number, good=False) for number in range(64)]
GOOD = [text for text in TEXTS if text.good]
BAD = [text for text in TEXTS if not text.good]
TRUE_RATE = len(GOOD) / ITEMS


class Story:
    """A team with an evaluation, the API, and the running roles."""

    def __init__(self, pipeline: Pipeline, stand_in: StandInServer, client: httpx.Client, evaluation: str) -> None:
        self.pipeline, self.stand_in, self.client, self.evaluation = pipeline, stand_in, client, evaluation
        self.path = f"evaluations/{evaluation}/"
        self.judged = 0

    def call(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        answer = self.client.request(method, path, json=body or None)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def models_answer(self, second: str) -> None:
        """Let the models answer as the texts say; `second` names the word that the second one goes by."""

        def answering(verdict: bool) -> dict[str, Any]:
            return {"do": "answer", "content": json.dumps({"reasoning": "as the text says", "verdict": verdict})}

        self.stand_in.reset()
        self.stand_in.script(
            {"match": {"model": "m1", "contains": "first-no"}, "action": answering(False)},
            {"match": {"model": "m2", "contains": f"{second}-no"}, "action": answering(False)},
            {"action": answering(True)},
        )

    def traffic(self, texts: list[Text]) -> None:
        """Let the product generate texts, and wait until all are judged and stored."""
        mixed = Random(len(texts)).sample(texts, len(texts))  # an order that does not shift by itself
        self.pipeline.produce([text.event() for text in mixed])
        self.judged += len(texts)
        until(
            lambda: len(self.pipeline.stored()) == self.judged,
            lambda: f"{len(self.pipeline.stored())} of {self.judged} stored",
        )

    def drift(self) -> Any:
        return self.call("GET", f"{self.path}trust/anchors/")["drift"]

    def until_drift(self, answer: str) -> Any:
        def found() -> str:
            return drift_in(self.pipeline.database, TEAM, self.evaluation, datetime.now(UTC)).answer

        until(lambda: found() == answer, lambda: str(self.call("GET", f"{self.path}trust/anchors/")))
        return self.drift()

    def runs(self) -> int:
        """Return how many runs of the anchors the test has taken."""
        base = Anchors(self.pipeline.database).baseline(self.evaluation)
        return 0 if base is None else base.runs


@contextmanager
def story(kafka: str, folder: Path, stand_in: StandInServer) -> Iterator[Story]:
    pipeline = Pipeline(
        kafka, folder, api={"port": 0}, secret_keys=[Fernet.generate_key().decode()],
        judge={"commit_interval_s": 0.1, "allowed_hosts": ["127.0.0.1"]},
        windows={"source": "clickhouse", "poll_interval_s": 0.2},
    )  # fmt: skip
    now = datetime.now(UTC)
    ProviderKeys.of(pipeline.settings, pipeline.database).create(
        TEAM,
        NewKey(
            provider="custom", name="k", api_key=SecretStr("sk-good-0123456789"), base_url=stand_in.base_url, state="ok"
        ),
        set_as_active=True,
        actor="t",
        now=now,
    )
    evaluation = pipeline.evaluate(
        "Answers the question", evaluation_type="llm_judge", evaluation_config={"prompt": "It answers the question."},
        model_configuration={"provider": "custom", "model": "m1"},
    )  # fmt: skip
    _, key = ApiKeys(pipeline.database).create(team_id=TEAM, label="test", scopes=["*"], now=now)
    server = ApiServer(pipeline.settings, pipeline.database, pipeline.clients.bootstrap_servers)
    headers = {"Authorization": f"Bearer {key}"}
    roles = ("matcher", "judge", "sink", "reports")
    with pipeline.running(roles, beside={"reports": build_reports_role}):
        server.start()
        try:
            base = f"http://127.0.0.1:{server.port}/api/projects/{TEAM}/"
            with httpx.Client(base_url=base, headers=headers, timeout=PATIENCE_S) as client:
                yield Story(pipeline, stand_in, client, evaluation)
        finally:
            server.stop()


def test_from_the_first_label_to_who_moved(
    kafka: str, tmp_path: Path, stand_in: StandInServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("processor.measurements.runner", "processor.measurements.anchors"):
        monkeypatch.setattr(f"{module}._LOOK_INTERVAL_S", 0.1)
    monkeypatch.setattr("cli.compare._POLL_S", 0.1)
    monkeypatch.setattr("reports.windows.watch.MINUTE_S", BLOCK_S)
    with story(kafka, tmp_path, stand_in) as told:
        told.models_answer(second="second")
        told.traffic(TEXTS)
        label_blind(told)
        the_corrected_rate_covers_the_true_one(told)
        the_second_version_is_better(told)
        the_first_version_stops_a_pipeline(told, tmp_path)
        anchors_give_a_baseline(told)
        the_product_moves(told)
        the_judge_moves(told)


def label_blind(told: Story) -> None:
    queue = told.call(
        "POST", "label_queues/", 201, evaluation=told.evaluation, size=LABELLED, overlap=0,
        window_start=(datetime.now(UTC) - timedelta(hours=1)).isoformat(),
    )  # fmt: skip
    for _ in range(LABELLED):
        item = told.call("POST", f"label_queues/{queue['id']}/next/")
        assert item["verdict"] is None
        assert "as the text says" not in json.dumps(item), "the labeller does not see the judge's reasoning"
        verdict = {"result": "good-text" in json.dumps(item["output"])}
        told.call("POST", f"label_queues/{queue['id']}/items/{item['id']}/label/", 201, verdict=verdict)


def the_corrected_rate_covers_the_true_one(told: Story) -> None:
    trust = told.call("GET", f"{told.path}trust/")
    assert trust["labels"] == LABELLED
    corrected = trust["corrected"]
    assert corrected["method"] == "post_stratified"
    assert corrected["low"] <= TRUE_RATE <= corrected["high"]
    raw = corrected["raw"]
    assert raw["value"] == pytest.approx(sum(text.first for text in TEXTS) / ITEMS)
    assert raw["high"] < TRUE_RATE, "the judge's own rate is wrong, and its interval does not say so"


def the_second_version_is_better(told: Story) -> None:
    changed = told.call(
        "PATCH", told.path, evaluation_config={"prompt": "It answers the whole question."},
        model_configuration={"provider": "custom", "model": "m2"},
    )  # fmt: skip
    assert changed["version"] == 2
    comparisons = f"{told.path}comparisons/"
    run = told.call("POST", comparisons, 202, version_a=1, version_b=2)
    until(
        lambda: told.call("GET", f"{comparisons}{run['id']}/")["state"] == "completed",
        lambda: str(told.call("GET", f"{comparisons}{run['id']}/")),
    )
    found = told.call("GET", f"{comparisons}{run['id']}/")
    assert (found["done"], found["reused"]) == (ITEMS, ITEMS)
    outcome = found["outcome"]
    assert outcome["fail_to_pass"] == sum(not text.first and text.second for text in TEXTS)
    assert outcome["pass_to_fail"] == sum(text.first and not text.second for text in TEXTS)
    assert outcome["outcome"] == "better"
    assert outcome["labels"]["only_b_right"] > outcome["labels"]["only_a_right"]


def the_first_version_stops_a_pipeline(told: Story, folder: Path) -> None:
    command = ["compare", told.evaluation, "2", "1", "--team", str(TEAM)]
    done = CliRunner().invoke(build_app(), command, env={"GAVEL_DATA_DIR": str(folder)})
    assert done.exit_code == 3, done.output
    assert "worse:" in done.output


def anchors_give_a_baseline(told: Story) -> None:
    golden = told.call("POST", "golden_sets/", 201, evaluation=told.evaluation, name="people", labels=True)["id"]
    version = told.call("POST", f"golden_sets/{golden}/freeze/", 201)["version"]
    told.call("PUT", f"{told.path}trust/anchors/", golden_set=golden, golden_set_version=version, size=ANCHORS)
    drift = told.until_drift("steady")
    assert (drift["version"], drift["null_rate"], drift["runs"]) == (2, 0.02, 0)
    canaries = told.call("GET", f"{told.path}trust/")["canaries"]
    assert (canaries["attacks"] > 100, canaries["succeeded"]) == (True, 0), "they go with the anchors"


def the_product_moves(told: Story) -> None:
    told.traffic(GOOD + BAD)
    next_block()
    told.traffic(BAD + BAD)
    next_block()  # the block that shows the shift ends with the first result of another one
    told.traffic(BAD[:10])
    drift = told.until_drift("product_moved")
    assert drift["shift"]["direction"] == "down"
    assert (drift["flips"], drift["anchors"]) == (0, ANCHORS)


def next_block() -> None:
    """Wait until results belong to another block of the live rate."""
    block = time.time() // BLOCK_S
    until(lambda: time.time() // BLOCK_S > block, lambda: "the clock stands still")


def the_judge_moves(told: Story) -> None:
    told.models_answer(second="later")
    earlier, flips = told.runs(), []
    while told.drift()["answer"] != "judge_moved":
        assert len(flips) < MOST_RUNS, f"no alarm after {flips} flips"
        seen = told.runs()
        told.call("POST", f"{told.path}trust/runs/", 202, kind="anchors")
        until(lambda seen=seen: told.runs() > seen, lambda: str(told.drift()))
        flips.append(told.drift()["flips"])
    drift = told.drift()
    states = run_of(0.02, ANCHORS, [0] * earlier + flips)
    assert drift["statistic"] == pytest.approx(states[-1].statistic)
    assert [state.state == "alarm" for state in states[earlier:]] == [False] * (len(flips) - 1) + [True]
    assert drift["agreement_now"]["agreed"] < drift["agreement_before"]["agreed"]
    assert told.call("GET", f"{told.path}trust/")["drift"]["answer"] == "judge_moved"
    served = told.call("GET", f"{told.path}trust/anchors/")["served"]
    names = {(each["model"], each["served_model"], each["system_fingerprint"], each["changed_at"]) for each in served}
    assert names == {(f"custom/{model}", model, "fp_stand_in", None) for model in ("m1", "m2")}
    emitted = [json.loads(each.value()) for each in told.pipeline.read(told.pipeline.settings.kafka.topics.results)]
    signals = [json.loads(each["properties"]) for each in emitted if each["event"] == "$ai_evaluation_drift"]
    assert [each["$ai_drift_answer"] for each in signals] == ["product_moved", "judge_moved"]
