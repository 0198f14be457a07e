"""The generations that come with Gavel, as if they had happened in the last day."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from examples import GENERATIONS

_DAY = timedelta(days=1)


def generations_of_today(now: datetime) -> Iterator[tuple[str, bytes]]:
    """Yield place and content of each line, moved by whole days so that the newest event is less than a day old.

    Pages and tests look at the last 7 days only. The same number of days gives the same events; another one gives
    events of their own.
    """
    files = {path: path.read_bytes().splitlines() for path in sorted(GENERATIONS.glob("*.jsonl"))}
    newest = max(_time_of(json.loads(line)) for lines in files.values() for line in lines)
    days = (now - newest) // _DAY
    for path, lines in files.items():
        for number, line in enumerate(lines, 1):
            row = json.loads(line)
            moved = {
                "uuid": str(uuid5(UUID(row["uuid"]), str(days))),
                "timestamp": (_time_of(row) + days * _DAY).isoformat(),
            }
            yield f"{path}:{number}", json.dumps(row | moved, ensure_ascii=False).encode()


def _time_of(row: dict[str, str]) -> datetime:
    return datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
