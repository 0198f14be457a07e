"""Run keys and result ids: the same on any machine, at any time."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.events.identity import result_uuid, run_key, run_key_frame

EVALUATION, EVENT = "0190a000-0000-7000-8000-000000000001", "018f4b1e-7c3a-7000-8000-000000000001"


@given(st.text())
def test_the_fast_uuid_is_the_standard_librarys_uuid5(key: str) -> None:
    key = key.encode("utf-8", "replace").decode()
    assert result_uuid(key) == str(uuid5(NAMESPACE_URL, "posthog://ai-evaluation/" + key))


def test_run_keys_are_as_the_specification_writes_them() -> None:
    assert run_key("llm_judge", EVALUATION, EVENT) == f"llma-llm-eval-{EVALUATION}-{EVENT}-ingestion"
    assert run_key("hog", EVALUATION, EVENT) == f"llma-hog-eval-{EVALUATION}-{EVENT}-ingestion"
    assert run_key("hog", EVALUATION, EVENT, manual_at_ms=17).endswith("-manual-17")
    assert run_key("hog", EVALUATION, EVENT, backfill_id="b1").endswith("-ingestion-backfill-b1")


def test_an_unknown_runtime_is_a_defect_not_a_new_identity() -> None:
    with pytest.raises(KeyError):
        run_key("python", EVALUATION, EVENT)


@pytest.mark.parametrize("backfill_id", [None, "b1"])
def test_a_frame_around_the_event_gives_the_key(backfill_id: str | None) -> None:
    head, tail = run_key_frame("hog", "eval-1", backfill_id=backfill_id)
    assert f"{head}event-1{tail}" == run_key("hog", "eval-1", "event-1", backfill_id=backfill_id)
