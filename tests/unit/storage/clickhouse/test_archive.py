from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from processor.sink.rows import ARCHIVE, archive_of
from storage.clickhouse.archive import count_archive, read_archive
from storage.clickhouse.rows import RowSelection, newest_rows
from tests.services.records import Record, generation_row

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


def archive(client: Client, *bodies: bytes, kinds: tuple[str, ...] = ()) -> None:
    rows = [archive_of(kinds).decode(Record(body, at=n)) for n, body in enumerate(bodies)]
    client.insert(
        ARCHIVE.table,
        list(zip(*rows, strict=True)),
        column_names=ARCHIVE.columns,
        column_type_names=ARCHIVE.types,
        column_oriented=True,
        settings={"async_insert": 0},
    )


def test_the_archive_gives_rows_that_the_matcher_reads_as_it_read_the_originals(client: Client) -> None:
    body = generation_row(7, row={"group1_properties": '{"a": "ü"}', "person_mode": "full"}, note='\u2028 🦜 \\ "')
    archive(client, body)
    (event,) = read_archive(client)
    original = json.loads(body)
    again = json.loads(event.value)
    for name in (
        "uuid",
        "event",
        "properties",
        "team_id",
        "project_id",
        "distinct_id",
        "timestamp",
        "created_at",
        "person_id",
        "person_mode",
        "person_properties",
        "group0_properties",
        "group1_properties",
    ):
        assert again[name] == original[name], name
    assert "group2_properties" not in again
    assert ARCHIVE.decode(Record(event.value)) == ARCHIVE.decode(Record(body))


def test_an_event_that_was_archived_twice_is_replayed_once(client: Client) -> None:
    """Also when both copies fall on the border of two pages."""
    for _ in range(2):
        archive(client, *(generation_row(n, row={"timestamp": "2026-11-20 10:00:00"}) for n in range(20)))
    for page in (1, 3, 20, 100):
        found = [event.uuid for event in read_archive(client, page=page)]
        assert len(found) == len(set(found)) == 20


def test_a_replay_goes_on_where_it_stopped(client: Client) -> None:
    archive(client, *(generation_row(n, row={"team_id": n % 3}) for n in range(50)))
    everything = [e.uuid for e in read_archive(client, page=7)]
    assert len(set(everything)) == len(everything) == count_archive(client) == 50
    first: list[str] = []
    position = None
    for event in read_archive(client, page=7):
        first.append(event.uuid)
        position = event.position
        if len(first) == 23:
            break
    rest = [e.uuid for e in read_archive(client, page=7, resume=position)]
    assert first + rest == everything


def test_a_replay_can_be_limited_to_a_time_and_a_team(client: Client) -> None:
    archive(client, *(generation_row(n, row={"team_id": n % 2}) for n in range(60)))
    window = {
        "after": datetime(2026, 11, 20, 10, 0, 10, tzinfo=UTC),
        "before": datetime(2026, 11, 20, 10, 0, 20, tzinfo=UTC),
    }
    found = list(read_archive(client, **window, team_id=1))
    assert len(found) == count_archive(client, **window, team_id=1) == 5
    assert {e.team_id for e in found} == {1}


def test_other_events_of_the_archive_are_not_judged_again(client: Client) -> None:
    """A replay, a backfill, samples and estimates all read through these."""
    names = ("$ai_generation", "$ai_span", "$ai_trace")
    archive(client, *(generation_row(n, row={"event": names[n % 3], "team_id": 5}) for n in range(30)), kinds=names)
    assert client.query("SELECT count() FROM ai_events").first_row == (30,)
    assert len(list(read_archive(client, page=4))) == count_archive(client) == 10
    found = list(newest_rows(client, RowSelection(5), page=4))
    assert {row.event for row in found} == {"$ai_generation"}
    assert len(found) == 10
