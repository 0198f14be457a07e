"""A form is claimed once, by one of many processes, and is forgotten after a while."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from storage.sql.engine import Database
from storage.sql.sent_forms import KEPT, SentForm, SentForms, console_sent_forms

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_form_is_worked_on_once_and_its_answer_is_kept_for_a_while(database: Database) -> None:
    forms = SentForms(database)
    assert forms.claim("a", now=NOW) is None
    assert forms.claim("a", now=NOW) == SentForm(None)
    forms.settle("a", "/console/7/labels/")
    assert forms.claim("a", now=NOW + KEPT) == SentForm("/console/7/labels/")
    assert forms.claim("b", now=NOW) is None
    forms.settle("b", None)
    assert forms.claim("b", now=NOW) is None, "a form that changed nothing can be sent again"
    assert forms.claim("a", now=NOW + KEPT + timedelta(seconds=1)) is None
    with database.read() as connection:
        assert connection.execute(sa.select(console_sent_forms.c.mark)).scalars().all() == ["a"]


def test_of_many_at_once_one_has_the_form(database: Database) -> None:
    barrier = threading.Barrier(6)

    def claim(_: int) -> SentForm | None:
        barrier.wait()
        return SentForms(database).claim("a", now=NOW)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(claim, range(6)), key=repr) == [None, *[SentForm(None)] * 5]
