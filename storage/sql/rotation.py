"""Rotation of the keys that encrypt secrets at rest: provider keys, and the targets of evaluation reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from config.secrets import SecretBox, UndecipherableSecret
from storage.sql.engine import Database
from storage.sql.evaluation_report_runs import evaluation_report_deliveries
from storage.sql.evaluation_reports import evaluation_reports
from storage.sql.provider_keys import provider_keys

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many secrets were encrypted anew, and whose secrets nothing configured can open.

    Attributes:
        resealed: secrets of provider keys and of report targets, also of those in runs.
        undecipherable: ids of provider keys and of reports, each once.
    """

    resealed: int
    undecipherable: tuple[str, ...]


def reseal_all(database: Database, box: SecretBox) -> Rotated:
    """Encrypt every stored secret with the newest key of `box`.

    It makes one short transaction per row, and overwrites nothing that changed meanwhile, so it may run beside
    everything else.

    Raises:
        NoSecretKeys: nothing to encrypt with is configured.
    """
    done = (_provider_keys(database, box), _reports(database, box), _deliveries(database, box))
    lost = dict.fromkeys(name for each in done for name in each.undecipherable)
    return Rotated(sum(each.resealed for each in done), tuple(lost))


def _provider_keys(database: Database, box: SecretBox) -> Rotated:
    row = provider_keys.c
    with database.read() as connection:
        stored = connection.execute(sa.select(row.id, row.sealed_api_key).order_by(row.id)).all()
    resealed = 0
    undecipherable: list[str] = []
    for key_id, sealed in stored:
        try:
            anew = box.reseal(sealed)
        except UndecipherableSecret:
            undecipherable.append(key_id)
            continue
        change = sa.update(provider_keys).where(row.id == key_id, row.sealed_api_key == sealed)
        with database.write() as connection:
            resealed += connection.execute(change.values(sealed_api_key=anew)).rowcount
    return Rotated(resealed, tuple(undecipherable))


def _reports(database: Database, box: SecretBox) -> Rotated:
    """Reseal the targets of all reports, also of deleted ones, because those can come back."""
    row = evaluation_reports.c
    resealed = 0
    undecipherable: list[str] = []
    after = ""
    while ids := _page(database, sa.select(row.id).where(row.id > after).order_by(row.id)):
        for (report_id,) in ids:
            after = report_id
            with database.write() as connection:
                mine = row.id == report_id
                targets = _locked(connection, row.delivery_targets, mine) or []
                anew, count, lost = _resealed(targets, box)
                if count:
                    connection.execute(sa.update(evaluation_reports).where(mine).values(delivery_targets=anew))
            resealed += count
            undecipherable += [report_id] if lost else []
    return Rotated(resealed, tuple(undecipherable))


def _deliveries(database: Database, box: SecretBox) -> Rotated:
    """Reseal the targets that runs were made with: a run that waits for its receiver is delivered to them."""
    row = evaluation_report_deliveries.c
    resealed = 0
    undecipherable: list[str] = []
    after = ("", 0)
    place = sa.tuple_(row.run_id, row.position)
    while found := _page(database, sa.select(row.run_id, row.position).where(place > after).order_by(*place)):
        for run_id, position in found:
            after = (run_id, position)
            with database.write() as connection:
                mine = sa.and_(row.run_id == run_id, row.position == position)
                target = _locked(connection, row.target, mine)
                anew, count, lost = _resealed([] if target is None else [target], box)
                if count:
                    connection.execute(sa.update(evaluation_report_deliveries).where(mine).values(target=anew[0]))
            resealed += count
            undecipherable += [run_id] if lost else []
    return Rotated(resealed, tuple(undecipherable))


def _page(database: Database, query: sa.Select[Any]) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(query.limit(_PAGE)).all())


def _locked(connection: Connection, column: sa.Column[Any], mine: sa.ColumnElement[bool]) -> Any:
    """Return the value that nobody else changes until the transaction ends; None if the row is gone."""
    return connection.execute(sa.select(column).where(mine).with_for_update()).scalar_one_or_none()


def _resealed(targets: Iterable[Mapping[str, Any]], box: SecretBox) -> tuple[list[dict[str, Any]], int, bool]:
    """Return the targets with their secrets encrypted anew, how many were, and whether one could not be opened."""
    anew: list[dict[str, Any]] = []
    count = 0
    lost = False
    for target in targets:
        kept = dict(target)
        try:
            if "sealed" in kept:
                kept["sealed"] = box.reseal(kept["sealed"])
                count += 1
        except UndecipherableSecret:
            lost = True
        anew.append(kept)
    return anew, count, lost
