"""The SDKs that applications use, unmodified, against a running front door and the roles behind it."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from posthog import Posthog

from tests.integration.ingest.rig import IngestRig, generation
from tests.services.waiting import PATIENCE_S


def test_posthog_python_sends_and_its_generation_is_judged(
    kafka: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = IngestRig(kafka, tmp_path)
    evaluation = rig.pipeline.evaluate()
    errors: list[Exception] = []
    with rig.running(), rig.pipeline.running(("matcher", "judge", "sink")), caplog.at_level(logging.WARNING, "posthog"):
        client = Posthog(
            rig.token,
            host=f"http://127.0.0.1:{rig.server.port}",
            on_error=lambda error, _batch: errors.append(error),
            gzip=True,
        )
        properties = {**generation(1)["properties"], "$ai_span_id": "span"}
        for number in range(25):
            client.capture(
                "$ai_generation", distinct_id=f"user {number}", properties={**properties, "$ai_trace_id": str(number)}
            )
        client.capture("$pageview", distinct_id="somebody")
        client.shutdown()
        results = []
        end = time.monotonic() + PATIENCE_S
        while len(results) < 25 and time.monotonic() < end:
            results = rig.pipeline.read(rig.pipeline.settings.kafka.topics.results)
    assert errors == []
    assert [each.getMessage() for each in caplog.records if each.name.startswith("posthog")] == []
    rows = rig.rows()
    assert {row["distinct_id"] for row in rows} == {f"user {number}" for number in range(25)}
    assert len({row["uuid"] for row in rows}) == len(rows) == 25
    assert rows[0]["properties"]["$lib"] == "posthog-python"
    assert len(results) == 25
    assert all(evaluation.encode() in each.value() for each in results)


def test_posthog_python_tells_the_application_that_its_token_is_wrong(kafka: str, tmp_path: Path) -> None:
    rig = IngestRig(kafka, tmp_path)
    errors: list[Exception] = []
    with rig.running():
        client = Posthog(
            "gvt_" + "a" * 43,
            host=f"http://127.0.0.1:{rig.server.port}",
            on_error=lambda error, _batch: errors.append(error),
        )
        client.capture("$ai_generation", distinct_id="u", properties={"$ai_model": "m"})
        client.shutdown()
    assert len(errors) == 1
    assert "gavel tokens" in str(errors[0])
    assert rig.count("gavel_ingest_requests_total", protocol="v0", status="401") == 1
