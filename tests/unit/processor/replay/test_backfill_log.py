"""A store that is away for long is one line in the log of the backfills, and one when it is back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.settings import Settings
from processor.kafka import KafkaClients
from processor.replay import backfill
from processor.replay.backfill import BackfillRunner
from storage.sql.engine import StoreUnavailable, open_store
from tests.services.waiting import PATIENCE_S


def test_an_outage_of_the_store_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path})
    with capture_logs() as lines:
        runner = BackfillRunner(settings, open_store(settings), KafkaClients(settings))
        looks = threading.Semaphore(0)
        away: list[Any] = [True] * 4

        def claim(*_: object, **__: object) -> None:
            looks.release()
            if away and away.pop():
                raise StoreUnavailable("the store does not answer")

        monkeypatch.setattr(backfill, "_LOOK_INTERVAL_S", 0.01)
        monkeypatch.setattr(runner._catch_ups, "ask", lambda _now: None)
        monkeypatch.setattr(runner._backfills, "claim", claim)
        runner.start()
        for _ in range(7):
            assert looks.acquire(timeout=PATIENCE_S)
        runner.stop()
    assert [line["event"] for line in lines] == ["store_unavailable", "store_available"]
