"""`formatDateTime` writes every token as the ClickHouse that is shipped does."""

from __future__ import annotations

import chdb

from evaluators.hog import compile_program
from evaluators.hog.stdlib.date_format import _TOKENS

MOMENTS = ("2026-03-01 03:04:05", "2026-12-31 12:34:56", "2025-01-05 00:00:00", "2024-02-29 23:59:59")


def test_every_token_is_as_in_clickhouse() -> None:
    pattern = "|".join(f"%{token}" for token in sorted(_TOKENS))
    for moment in MOMENTS:
        query = f"SELECT formatDateTime(toDateTime64('{moment}', 6, 'UTC'), '{pattern}')"
        theirs = str(chdb.query(query, "TSVRaw")).strip("\n").split("|")
        source = f"return formatDateTime('{moment}', '{pattern}')"
        ours = compile_program(source).run({}).value.split("|")
        assert dict(zip(sorted(_TOKENS), ours, strict=True)) == dict(zip(sorted(_TOKENS), theirs, strict=True))
