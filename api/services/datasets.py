"""Datasets as pages use them: their names, and a generation that becomes an item."""

from __future__ import annotations

from api.http.errors import Invalid
from api.services.resources import Services
from conditions import EventRow, RowError
from processor.events.generation import parse_timestamp, to_generation
from storage.sql.api_keys import ApiKey
from storage.sql.datasets import DatasetQuery, Datasets, UnknownDataset

_SHOWN = 200


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
