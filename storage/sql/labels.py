"""Labels: the verdicts of people on generations. Rows never change; a correction is a new row.

ClientIdReused      a client id that stands for another label of the same labeller

The newest row per labeller, question and target is that labeller's current label. Every new row is also put into the
outbox, from which it goes to Kafka. The audit trail has one entry for the new rows of one call and one evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from storage.sql.audit import IDS_KEPT, record
from storage.sql.engine import Database
from storage.sql.tables import BigId, UtcDateTime, json_column, metadata

LabelSource = Literal["queue", "console", "api", "import", "dataset"]
AUDITED = "labels"
MAX_COMMENT_CHARS = 10_000
MAX_AT_ONCE = 1_000
"""Labels in one call of `Labels.add`."""
_CLAIM = timedelta(minutes=2)
"""Longer than Kafka may take to confirm labels."""

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("seq", BigId, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("evaluation_id", sa.String(36), nullable=False),
    sa.Column("question", sa.Integer, nullable=False),
    sa.Column("target_event_id", sa.String(200), nullable=False),
    json_column("verdict"),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("labeller", sa.String(254), nullable=False),
    sa.Column("source", sa.String(16), nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("adjudicates", sa.Boolean, nullable=False),
    sa.Column("after_reveal", sa.Boolean, nullable=False),
    sa.Column("client_id", sa.String(100)),
    sa.Column("queue_item", sa.String(36)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("team_id", "labeller", "client_id", name="uq_labels_client_id"),
    sa.Index("ix_labels_target", "team_id", "evaluation_id", "question", "target_event_id", "seq"),
    sa.Index("ix_labels_team", "team_id", "seq"),
)

label_outbox = sa.Table(
    "label_outbox",
    metadata,
    sa.Column("seq", BigId, primary_key=True, autoincrement=False),
    sa.Column("claimed_until", UtcDateTime),
)
"""Labels that Kafka does not have yet, by `labels.seq`. A row is added with its label and removed once it is sent."""


class ClientIdReused(ValueError):
    """The labeller has another label with this client id. `place` is its position in the call, from 0."""

    def __init__(self, place: int) -> None:
        self.place = place
        super().__init__(f"label {place} has the client id of another label")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLabel:
    """A label to be stored. `verdict` is in the form of `config.label_verdicts`.

    Attributes:
        seconds: how long the labeller looked at the item.
        adjudicates: the label decides an item on which labellers tie.
        after_reveal: the labeller knew the judge's verdict, so the label enters no estimate.
        client_id: the client's own name of the label, by which a repeated request is known.
        queue_item: the item of a label queue that it answers.
    """

    evaluation_id: str
    question: int
    target_event_id: str
    verdict: Mapping[str, Any]
    labeller: str
    source: LabelSource
    comment: str = ""
    seconds: float | None = None
    adjudicates: bool = False
    after_reveal: bool = False
    client_id: str | None = None
    queue_item: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(NewLabel):
    """A stored label. `seq` is the order in which labels were stored."""

    seq: int
    id: str
    team_id: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LabelQuery:
    """Which labels are listed. `after` is included, `before` excluded."""

    evaluation_id: str | None = None
    target_event_id: str | None = None
    labeller: str | None = None
    after: datetime | None = None
    before: datetime | None = None

    def where(self, team_id: int) -> list[sa.ColumnElement[bool]]:
        """Return the conditions."""
        column = labels.c
        given = {name: getattr(self, name) for name in ("evaluation_id", "target_event_id", "labeller")}
        found = [column.team_id == team_id]
        found += [column[name] == value for name, value in given.items() if value is not None]
        if self.after is not None:
            found.append(column.created_at >= self.after)
        if self.before is not None:
            found.append(column.created_at < self.before)
        return found


_ASKED = tuple(each.name for each in fields(NewLabel))
_SAME = tuple(name for name in _ASKED if name not in ("after_reveal", "queue_item", "source"))
"""The fields by which a repeated request is told from another label with the same client id."""


class Labels:
    """The labels of all teams; each method names the team. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, team_id: int, new: Sequence[NewLabel], *, actor: str | None, now: datetime) -> list[Label]:
        """Store labels and return them in their order. One whose client id is known is returned as it is stored.

        Args:
            actor: of the entries in the audit trail.

        Raises:
            ClientIdReused: nothing was stored.
        """
        with self._database.write() as connection:
            return add_labels(connection, team_id, new, actor=actor, now=now)

    def get(self, team_id: int, label_id: str) -> Label | None:
        """Return one label, or None."""
        query = sa.select(labels).where(labels.c.team_id == team_id, labels.c.id == label_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else read_label(row)

    def page(self, team_id: int, query: LabelQuery, *, limit: int, offset: int) -> tuple[list[Label], int]:
        """Return a page, newest first, and how many there are."""
        where = query.where(team_id)
        statement = sa.select(labels).where(*where).order_by(labels.c.seq.desc()).limit(limit).offset(offset)
        with self._database.read() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(labels).where(*where)).scalar_one()
            return [read_label(row) for row in connection.execute(statement).mappings()], count

    def each(self, team_id: int, query: LabelQuery, *, page: int = 1_000) -> Iterator[Label]:
        """Yield labels, oldest first, `page` in memory at a time. A label that is added meanwhile may come too."""
        last = 0
        while True:
            statement = sa.select(labels).where(*query.where(team_id), labels.c.seq > last)
            with self._database.read() as connection:
                found = connection.execute(statement.order_by(labels.c.seq).limit(page)).mappings().all()
            yield from map(read_label, found)
            if len(found) < page:
                return
            last = found[-1]["seq"]

    def exist(self, team_id: int, evaluation_id: str, question: int) -> bool:
        """Return whether there is any label of a question."""
        column = labels.c
        where = (column.team_id == team_id, column.evaluation_id == evaluation_id, column.question == question)
        with self._database.read() as connection:
            return connection.execute(sa.select(column.seq).where(*where).limit(1)).first() is not None

    def labelled(self, team_id: int, evaluation_ids: Sequence[str]) -> set[str]:
        """Return those of the evaluations for which somebody has labelled anything."""
        column = labels.c
        query = sa.select(column.evaluation_id).where(
            column.team_id == team_id, column.evaluation_id.in_(evaluation_ids)
        )
        with self._database.read() as connection:
            return set(connection.scalars(query.distinct()))

    def current(
        self, team_id: int, evaluation_id: str, question: int, *, targets: Sequence[str] | None = None
    ) -> list[Label]:
        """Return the current labels of a question by target and age, of all targets or of some (at most 1 000)."""
        column = labels.c
        where = [column.team_id == team_id, column.evaluation_id == evaluation_id, column.question == question]
        if targets is not None:
            where.append(column.target_event_id.in_(targets))
        newest = sa.select(sa.func.max(column.seq)).where(*where).group_by(column.target_event_id, column.labeller)
        statement = sa.select(labels).where(column.seq.in_(newest)).order_by(column.target_event_id, column.seq)
        with self._database.read() as connection:
            return [read_label(row) for row in connection.execute(statement).mappings()]


def add_labels(
    connection: Connection, team_id: int, new: Sequence[NewLabel], *, actor: str | None, now: datetime
) -> list[Label]:
    """Store labels within a transaction of the caller; see `Labels.add`."""
    if not new:
        return []
    rows = [
        {**{name: getattr(each, name) for name in _ASKED}, "verdict": dict(each.verdict), "id": str(uuid4()),
         "team_id": team_id, "created_at": now}
        for each in new
    ]  # fmt: skip
    # Another request may store the same client id at the same moment: the row that is there first is kept.
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    kept = dialect.insert(labels).on_conflict_do_nothing(index_elements=["team_id", "labeller", "client_id"])
    connection.execute(kept, rows)
    ids = [row["id"] for row in rows]
    stored = _by(connection, "id", labels.c.id.in_(ids))
    if stored:
        connection.execute(sa.insert(label_outbox), [{"seq": label.seq} for label in stored.values()])
        _audit(connection, [stored[label_id] for label_id in ids if label_id in stored], actor)
    if len(stored) == len(rows):
        return [stored[label_id] for label_id in ids]
    return _with_known(connection, team_id, new, ids, stored)


def _audit(connection: Connection, added: Sequence[Label], actor: str | None) -> None:
    """Write an entry for the labels of each evaluation. Verdicts are left out, because other labellers may be blind."""
    by_evaluation: dict[str, list[Label]] = {}
    for label in added:
        by_evaluation.setdefault(label.evaluation_id, []).append(label)
    for evaluation_id, found in by_evaluation.items():
        facts: dict[str, Any] = {
            "count": len(found),
            "source": found[0].source,
            "adjudicating": sum(label.adjudicates for label in found),
            "ids": [label.id for label in found[:IDS_KEPT]],
        }
        changes = {name: [None, value] for name, value in facts.items() if value}
        record(
            connection, team_id=found[0].team_id, object_type=AUDITED, object_id=evaluation_id, action="added",
            actor=actor, at=found[0].created_at, changes=changes,
        )  # fmt: skip


def _with_known(
    connection: Connection, team_id: int, new: Sequence[NewLabel], ids: Sequence[str], stored: Mapping[str, Label]
) -> list[Label]:
    """Return the stored labels, and for the others those that have had their client ids since before."""
    mine = [each.client_id for each, label_id in zip(new, ids, strict=True) if label_id not in stored]
    column = labels.c
    known: dict[tuple[str, str | None], Label] = {}
    where = (column.team_id == team_id, column.client_id.in_(mine))
    for row in connection.execute(sa.select(labels).where(*where)).mappings():
        label = read_label(row)
        known[label.labeller, label.client_id] = label
    found = []
    for place, (each, label_id) in enumerate(zip(new, ids, strict=True)):
        label = stored.get(label_id) or known[each.labeller, each.client_id]
        if any(getattr(each, name) != getattr(label, name) for name in _SAME):
            raise ClientIdReused(place)
        found.append(label)
    return found


def _by(connection: Connection, name: str, where: sa.ColumnElement[bool]) -> dict[str, Label]:
    found = (read_label(row) for row in connection.execute(sa.select(labels).where(where)).mappings())
    return {getattr(label, name): label for label in found}


_LABEL_FIELDS = tuple(each.name for each in fields(Label))


def read_label(row: sa.RowMapping) -> Label:
    """Return the label of one row of the table."""
    return Label(**{name: row[name] for name in _LABEL_FIELDS})


class LabelOutbox:
    """Labels on their way to Kafka. Delivery is at least once: the event's id follows from the label's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, *, now: datetime, limit: int = 500) -> list[Label]:
        """Return the oldest labels that nobody else is sending, and keep others from sending them for a while."""
        outbox = label_outbox.c
        free = sa.or_(outbox.claimed_until.is_(None), outbox.claimed_until <= now)
        oldest = sa.select(outbox.seq).where(free).order_by(outbox.seq).limit(limit)
        change = sa.update(label_outbox).where(outbox.seq.in_(oldest), free).values(claimed_until=now + _CLAIM)
        with self._database.read() as connection:
            if connection.execute(oldest.limit(1)).first() is None:
                return []
        with self._database.write() as connection:
            claimed = list(connection.scalars(change.returning(outbox.seq)))
            rows = connection.execute(sa.select(labels).where(labels.c.seq.in_(claimed)).order_by(labels.c.seq))
            return [read_label(row) for row in rows.mappings()]

    def sent(self, sent: Sequence[Label]) -> None:
        """Take labels out that Kafka has confirmed."""
        with self._database.write() as connection:
            connection.execute(sa.delete(label_outbox).where(label_outbox.c.seq.in_([each.seq for each in sent])))
