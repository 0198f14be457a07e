"""Datasets as pages use them: their lists, and a generation that becomes an item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from api.http.errors import Invalid, NotFound
from api.services.cursors import read_cursor, to_cursor
from api.services.resources import Services
from api.services.turns import fitting
from conditions import EventRow, RowError
from evaluators.messages import to_json
from processor.events.generation import parse_timestamp, to_generation
from storage.sql.api_keys import ApiKey
from storage.sql.datasets import DatasetQuery, Datasets, UnknownDataset

_SHOWN = 200
_DATASETS, _ITEMS = 100, 20
"""Rows of a page. An item may have megabytes, of which a page shows the beginning."""
MAX_PAYLOAD = 16 * 1024
"""Characters of an input or an output that a page shows."""


@dataclass(frozen=True, slots=True)
class PayloadShown:
    """An input or an output as JSON, or a text as it is. `cut` characters are left out."""

    text: str
    cut: int


@dataclass(frozen=True, slots=True)
class ItemShown:
    """One item of a dataset. `row` has the columns of the table."""

    row: RowMapping
    given: PayloadShown
    output: PayloadShown


def dataset_page(services: Services, team_id: int, cursor: str) -> tuple[list[RowMapping], str | None]:
    """Return datasets, newest first, and the cursor of the next page. Raises `Invalid`."""
    found = Datasets(services.database).newest(team_id, limit=_DATASETS + 1, behind=_behind(cursor))
    return list(found[:_DATASETS]), _next(found, _DATASETS)


def item_page(
    services: Services, team_id: int, dataset_id: str, cursor: str
) -> tuple[RowMapping, list[ItemShown], str | None]:
    """Return a dataset, its items, newest first, and the cursor of the next page. Raises `NotFound` and `Invalid`."""
    repository = Datasets(services.database)
    dataset = repository.get(team_id, dataset_id)
    if dataset is None:
        raise NotFound
    found = repository.newest_items(team_id, dataset_id, limit=_ITEMS + 1, behind=_behind(cursor))
    items = [ItemShown(row, _payload(row["input"]), _payload(row["output"])) for row in found[:_ITEMS]]
    return dataset, items, _next(found, _ITEMS)


def _payload(value: Any) -> PayloadShown:
    text = value if isinstance(value, str) else to_json(value)
    if text is not value and len(text) <= MAX_PAYLOAD:  # indented, a longer one could become far longer
        with suppress(RecursionError):
            text = json.dumps(value, ensure_ascii=False, indent=1)
    begin = fitting(text, MAX_PAYLOAD)
    return PayloadShown(begin, len(text) - len(begin))


def _behind(cursor: str) -> tuple[datetime, str] | None:
    place = read_cursor(cursor)
    return None if place is None else (place.timestamp, place.uuid)


def _next(found: Sequence[RowMapping], limit: int) -> str | None:
    last = found[limit - 1] if len(found) > limit else None
    return None if last is None else to_cursor(last["created_at"], last["id"])


def dataset_names(services: Services, team_id: int) -> list[tuple[str, str]]:
    """Return the ids and names of the team's datasets, at most 200."""
    rows, _ = Datasets(services.database).page(team_id, DatasetQuery(), limit=_SHOWN, offset=0)
    return [(row["id"], row["name"]) for row in rows]


def add_generation(services: Services, caller: ApiKey, dataset_id: str, row: EventRow) -> str:
    """Add a generation to a dataset with a reference to its trace, and return the dataset's name.

    Raises:
        Invalid: the team has no such dataset, or the generation cannot be decoded.
    """
    datasets = Datasets(services.database)
    dataset = datasets.get(caller.team_id, dataset_id)
    if dataset is None:
        raise Invalid("There is no such dataset in this team.", code="does_not_exist", attr="dataset")
    try:
        generation = to_generation(row)
        at = parse_timestamp(row.timestamp)
    except RowError as error:
        raise Invalid(f"The generation cannot be decoded: {error}") from error
    trace = generation.properties.get("$ai_trace_id")
    values = {
        "dataset": dataset_id,
        "input": generation.input,
        "output": generation.output,
        "ref_trace_id": str(trace)[:255] if trace is not None else None,
        "ref_timestamp": at,
        "ref_source_id": row.uuid[:255],
    }
    try:
        datasets.create_item(caller.team_id, values, actor=caller.actor, now=services.now())
    except UnknownDataset as error:
        raise Invalid("There is no such dataset in this team.", code="does_not_exist", attr="dataset") from error
    return str(dataset["name"])
