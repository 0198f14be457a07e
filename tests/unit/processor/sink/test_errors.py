from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError, ProgrammingError

from processor.sink.errors import DATA, OPERATOR, PATIENCE, TRANSIENT, InsertFault, classify, label

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


def test_codes_carry_the_names_that_the_engine_gives_them(client: Client) -> None:
    """A wrong number in a table would turn an outage into dead letters, or a bad row into a standstill."""
    for table in (TRANSIENT, OPERATOR, DATA):
        named = client.query(
            "SELECT code, toString(errorCodeToName(code)) FROM (SELECT arrayJoin({codes:Array(UInt32)}) AS code)",
            parameters={"codes": list(table)},
        ).result_rows
        assert dict(named) == table


def test_no_code_is_in_two_tables() -> None:
    assert len(TRANSIENT | OPERATOR | DATA) == len(TRANSIENT) + len(OPERATOR) + len(DATA)


@pytest.mark.parametrize(
    ("error", "attempt", "fault"),
    [
        (OperationalError("connection reset"), 1000, InsertFault.TRANSIENT),
        (DatabaseError("x", code=252), 1000, InsertFault.TRANSIENT),
        (DatabaseError("x", code=60), 1000, InsertFault.OPERATOR),
        (DatabaseError("x", code=469), 1, InsertFault.DATA),
        (DatabaseError("x", code=49), PATIENCE - 1, InsertFault.TRANSIENT),
        (DatabaseError("x", code=49), PATIENCE, InsertFault.DATA),
        (DataError("Failed to write column"), 1, InsertFault.DATA),
        (ProgrammingError("The client has been closed"), 1, None),
        (ZeroDivisionError(), 1, None),
    ],
)
def test_an_error_is_somebodys_fault(error: Exception, attempt: int, fault: InsertFault | None) -> None:
    assert classify(error, attempt) is fault


def test_labels_are_bounded() -> None:
    assert label(DatabaseError("x", code=252)) == "TOO_MANY_PARTS"
    assert label(DatabaseError("x", code=31337)) == "OTHER"
    assert label(OperationalError("to 10.0.0.7 failed")) == "transport"
