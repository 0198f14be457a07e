"""Forms of the console that were sent, so that a second press of a button makes nothing twice.

The store knows them, because the second request can reach another process than the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, metadata

KEPT = timedelta(minutes=15)

console_sent_forms = sa.Table(
    "console_sent_forms",
    metadata,
    sa.Column("mark", sa.String(64), primary_key=True),
    sa.Column("sent_at", UtcDateTime, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Index("ix_console_sent_forms_sent_at", "sent_at"),
)


@dataclass(frozen=True, slots=True)
class SentForm:
    """A form that was sent before.

    Attributes:
        answer: the address that its sender was led to; None while the form is being worked on.
    """

    answer: str | None


class SentForms:
    """The forms of the last 15 minutes. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, mark: str, *, now: datetime) -> SentForm | None:
        """Note that a form is being worked on and return None; return the form if it was sent before."""
        table = console_sent_forms
        with self._database.write() as connection:
            connection.execute(sa.delete(table).where(table.c.sent_at < now - KEPT))
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            new = dialect.insert(table).values(mark=mark, sent_at=now).on_conflict_do_nothing().returning(table.c.mark)
            if connection.execute(new).first() is not None:
                return None
            # A claim that was taken back meanwhile reads as one that is being worked on; its sender asks again.
            return SentForm(connection.execute(sa.select(table.c.answer).where(table.c.mark == mark)).scalar())

    def settle(self, mark: str, answer: str | None) -> None:
        """Note where the sender of a form was led; None takes the claim back, because the form changed nothing."""
        mine = console_sent_forms.c.mark == mark
        change = sa.update(console_sent_forms).where(mine).values(answer=answer)
        with self._database.write() as connection:
            connection.execute(sa.delete(console_sent_forms).where(mine) if answer is None else change)
