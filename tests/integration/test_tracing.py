"""Traces of a running matcher and judge at a real OTLP receiver, joined with the trace of the application."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from uuid import uuid4

from config.settings.otel import Otel
from examples.stand_in.client import StandInServer
from tests.integration.judge_rig import judge_rig
from tests.services.otlp import attributes, otlp_receiver
from tests.services.ports import free_ports
from tests.services.waiting import PATIENCE_S

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_an_application_finds_verdicts_and_judge_calls_in_its_own_trace(
    kafka: str, tmp_path: Path, stand_in: StandInServer
) -> None:
    with otlp_receiver() as receiver, judge_rig(kafka, tmp_path, stand_in.base_url) as rig:
        (port,) = free_ports(1)
        rig.settings = rig.settings.model_copy(
            update={
                "otel": Otel(endpoint=receiver.url),
                "http": rig.settings.http.model_copy(update={"port": port}),
            }
        )
        rig.add_key()
        judge = rig.add_evaluation()
        hog = rig.add_evaluation(
            name="short", evaluation_type="hog", evaluation_config={"source": "return true"}, model_configuration=None
        )
        rig.start()
        rig.send("It left on Monday.", **{"$ai_trace_id": TRACE, "$ai_span_id": SPAN})
        rig.send("That is a stupid question.")
        results = rig.wait_for_results(4)
        rig.wait(lambda: len(receiver.logs) == 4 and len(receiver.spans) == 6, "the traces")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            metrics = answer.read().decode()
    spans = {span.span_id: span for span in receiver.spans}
    calls = [span for span in receiver.spans if span.name == "chat m1"]
    assert len(calls) == 2
    for call in calls:
        evaluation = spans[call.parent_span_id]
        assert attributes(evaluation.attributes)["gavel.evaluation.id"] == judge
        assert call.trace_id == evaluation.trace_id
        assert evaluation.start_time_unix_nano <= call.end_time_unix_nano <= evaluation.end_time_unix_nano
        assert f'trace_id="{call.trace_id.hex()}"' in metrics or call is not calls[-1], "the exemplar of its bucket"
    ours = [span for span in receiver.spans if span.trace_id.hex() == TRACE]
    assert {attributes(span.attributes)["gavel.evaluation.id"] for span in ours} == {judge, hog}
    assert len(ours) == 3, "two evaluations and one call"
    assert {attributes(span.attributes)["gavel.result.id"] for span in receiver.spans} == {
        each["uuid"] for each in results
    }


def test_a_receiver_that_hangs_or_is_gone_loses_and_delays_no_verdict(
    kafka: str, tmp_path: Path, stand_in: StandInServer
) -> None:
    with otlp_receiver() as receiver, judge_rig(kafka, tmp_path, stand_in.base_url) as rig:
        receiver.go_on.clear()
        rig.settings = rig.settings.model_copy(update={"otel": Otel(endpoint=receiver.url, queue_size=5, timeout_s=60)})
        rig.add_evaluation(
            name="short", evaluation_type="hog", evaluation_config={"source": "return true"}, model_configuration=None
        )
        rig.start(("matcher",))
        rig.send("first")
        rig.wait(lambda: receiver.requests, "an export that hangs")
        sent = {rig.send(f"{uuid4()}") for _ in range(30)}
        assert {each["$ai_target_event_id"] for each in rig.wait_for_results(31)} > sent
        assert rig.metrics.total("gavel_traces_dropped", reason="queue_full") == 25
        rig.stop()
        assert rig.metrics.total("gavel_traces_dropped", reason="shutdown") == 5
