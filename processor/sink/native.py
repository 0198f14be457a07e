"""Rows as blocks of ClickHouse's Native format.

Native is the format that the engine reads with the least work: columns, as they lie in its memory. An insert
takes any number of blocks, one after the other, so a stretch of rows is written down as soon as it is decoded,
while its values are still in the processor's cache, and nothing but its bytes is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.common import write_leb128
from clickhouse_connect.driver.insert import InsertContext


class NativeBlocks:
    """Writes rows of one table as blocks. Safe to use from several threads.

    Args:
        columns, types: names, and the ClickHouse types as which they are sent.
        defaults: what the table holds where nothing is sent; `...` for columns that are always sent.
    """

    def __init__(self, table: str, columns: Sequence[str], types: Sequence[str], defaults: Sequence[object]) -> None:
        self._table = table
        self._names = list(columns)
        self._types = [get_from_name(name) for name in types]
        heads = [_text(name) + _text(kind.insert_name) for name, kind in zip(columns, self._types, strict=True)]
        self._columns = list(zip(self._names, heads, self._types, defaults, strict=True))

    def encode(self, rows: Sequence[tuple[Any, ...]]) -> bytes:
        """Return one block of `rows`, of which there must be one at the least.

        A column that holds nothing but its default is left out, and the engine fills it in: a fifth of them, mostly.
        A text that all rows share is written once and repeated: another fifth.
        """
        context = InsertContext(self._table, self._names, self._types)
        body = bytearray()
        sent = 0
        for (name, head, kind, default), values in zip(self._columns, zip(*rows, strict=True), strict=True):
            first = values[0]
            shared = first == values[-1] and values.count(first) == len(values)
            if shared and first == default:
                continue
            body += head
            context.start_column(name)
            if shared and kind.name == "String":  # neither nullable nor a dictionary: one value's bytes repeat
                one = bytearray()
                kind.write_column(values[:1], one, context)
                body += one * len(values)
            else:
                kind.write_column(values, body, context)
            sent += 1
        return _number(sent) + _number(len(rows)) + body


def _number(value: int) -> bytes:
    written = bytearray()
    write_leb128(value, written)
    return bytes(written)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _number(len(encoded)) + encoded
