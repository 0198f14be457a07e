"""`gavel dlq list`: its table fits a terminal, and takes no orders from a dead letter."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from cli.dlq import _note, table_of
from config.settings import load_settings
from processor.dead_letters.stored import DeadLetter


def letter(message: str, offset: int = 123_456) -> DeadLetter:
    return DeadLetter(
        partition=3, offset=offset, reason="evaluator_bug", stage="judge", message=message, headers=(),
        key=None, value=b"{}",
        source_topic="clickhouse_ai_events_json", source_partition=11, source_offset=987_654_321,
        redrive_topic="gavel_tasks", failed_at=datetime(2026, 3, 1, 10, tzinfo=UTC),
        size_bytes=2, attempts=2, evaluation_id="018f4b1e-7c3a-7000-8000-000000000001", sha256=None,
    )  # fmt: skip


def shown(letters: list[DeadLetter], width: int) -> list[str]:
    screen = io.StringIO()
    Console(file=screen, width=width).print(table_of(letters, width))
    return [line.rstrip() for line in screen.getvalue().splitlines() if line.strip()]


def test_a_letter_takes_one_line_on_80_columns() -> None:
    lines = shown([letter("the message is not JSON: " + "x" * 200), letter("short", 7)], 80)
    assert len(lines) == 4, lines
    assert max(map(len, lines)) <= 80
    assert "3:123456" in lines[2]
    assert "evaluator_bug" in lines[2]
    assert "the message is not" in lines[2]


def test_markup_and_control_characters_of_a_message_are_shown_as_they_stand() -> None:
    assert "[red]\\x1b[2J" in shown([letter("[red]\x1b[2J")], 200)[2]


def test_a_store_that_is_not_there_is_only_a_warning_and_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(environ={}, overrides={"data_dir": str(tmp_path)})
    _note(settings, "purged", (["0:1"], None, None, None, None), {"purged": 1})
    assert f"no entry about this, because there is no store at {tmp_path}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
