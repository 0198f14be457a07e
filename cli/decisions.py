"""Decisions about a run, made when it was due, for `gavel why`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.running import beside_or_exit
from cli.terminal import console, printable, say

if TYPE_CHECKING:
    from storage.clickhouse.decisions import StoredDecision

_WORDS = {"not_made": "The run was not made", "parked": "The run had to wait"}


def decided(team: int, evaluation_id: str, event_uuid: str, config: Path | None) -> Sequence[StoredDecision]:
    """Return the recorded decisions; none, with a note, if ClickHouse does not have their table yet."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from storage.clickhouse.connect import connect
    from storage.clickhouse.decisions import find_decisions
    from storage.clickhouse.errors import ClickHouseProblem

    try:
        client = connect(beside_or_exit(config).clickhouse.dsn.get_secret_value())
        try:
            return find_decisions(client, team, evaluation_id, event_uuid)
        finally:
            client.close()
    except (ClickHouseProblem, ClickHouseError):
        say("note: recorded decisions cannot be read; `gavel init` makes their table")
        return []


def decisions_as_json(decisions: Sequence[StoredDecision]) -> list[dict[str, Any]]:
    """Return decisions for `--json`."""
    return [
        {
            "at": each.at.isoformat(),
            "decision": each.decision,
            "reason": each.reason,
            "detail": each.detail,
            "version": each.version,
            "trigger": each.trigger,
        }
        for each in decisions
    ]


def print_decisions(decisions: Sequence[StoredDecision]) -> None:
    """Print a line for each decision."""
    from rich.markup import escape

    screen = console()
    for each in decisions:
        detail = f": {each.detail}" if each.detail else ""
        words = f"{_WORDS.get(each.decision, each.decision)} ({each.reason}{detail})"
        screen.print(f"[yellow]{each.at:%Y-%m-%d %H:%M:%S} UTC[/] {escape(printable(words))}")
