"""Search in texts without regard to case, in every script and on every store alike."""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_SQLITE_FUNCTION = "gavel_holds"


class _Holds(FunctionElement[bool]):
    """Whether the first text holds the second, both in lower case by Unicode's rules.

    The stores' own functions do not do: SQLite lowers ASCII only, and PostgreSQL what the database's locale knows.
    """

    type = sa.Boolean()
    inherit_cache = True


@compiles(_Holds, "sqlite")
def _on_sqlite(element: _Holds, compiler: SQLCompiler, **options: Any) -> str:
    return f"{_SQLITE_FUNCTION}({compiler.process(element.clauses, **options)})"


@compiles(_Holds, "postgresql")
def _on_postgresql(element: _Holds, compiler: SQLCompiler, **options: Any) -> str:
    # The packages of PostgreSQL are built with ICU, whose root locale has this name.
    lowered = (f'lower(({compiler.process(part, **options)}) COLLATE "und-x-icu")' for part in element.clauses)
    return f"(strpos({', '.join(lowered)}) > 0)"


def prepare_sqlite(connection: sqlite3.Connection) -> None:
    """Give a new connection the function that `holds_text` calls."""
    connection.create_function(_SQLITE_FUNCTION, 2, _holds, deterministic=True)


def _holds(text: str | None, wanted: str) -> bool | None:
    return None if text is None else wanted.lower() in text.lower()


def holds_text(wanted: str, *columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Return the condition that one of `columns` holds `wanted`, without regard to case."""
    return sa.or_(*(_Holds(column, sa.literal(wanted, sa.String())) for column in columns))
