"""Reading from a row just the fields that some filter of the team names.

A reader gives a *view* of the row for its fields: opaque to others, `value` looks into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from conditions.codegen import make_narrow
from conditions.plan import FieldPlan
from conditions.row import EventRow, decode_object

_MOST_PROJECTED = 64
"""Beyond this many keys, looking each key of the event up is cheaper than looking for each projected key."""
_MOST_SHAPES = 1024


class Reader(Protocol):
    """Reads the fields of one part of the row: its own fields, or one of its objects."""

    name: str
    fields: tuple[FieldPlan, ...]

    def read(self, row: EventRow) -> Any:
        """Return the view. Raises RowError if the part is no JSON object."""

    def narrow(self, view: Any, standing: int, undecided: int) -> tuple[int, int]:
        """Return the sets of `standing` that no index rules out, and `undecided` with those still to test."""

    def value(self, view: Any, field: FieldPlan) -> Any:
        """Return one field's value, None if it is absent."""


class _TupleReader:
    """A reader whose view is a tuple in the order of its fields."""

    def __init__(self, name: str, fields: Sequence[FieldPlan]) -> None:
        self.name = name
        self.fields = tuple(fields)
        self._narrow = make_narrow(fields)
        self._place = {field: place for place, field in enumerate(self.fields)}

    def narrow(self, view: tuple[Any, ...], standing: int, undecided: int) -> tuple[int, int]:
        """See `Reader`."""
        return self._narrow(view, standing, undecided)

    def value(self, view: tuple[Any, ...], field: FieldPlan) -> Any:
        """See `Reader`."""
        return view[self._place[field]]


class RowReader(_TupleReader):
    """Reads the row's own fields, such as `distinct_id`."""

    def __init__(self, name: str, fields: Sequence[FieldPlan]) -> None:
        super().__init__(name, fields)
        get = attrgetter(*(field.key for field in fields))
        self._get = get if len(fields) > 1 else lambda row: (get(row),)

    def read(self, row: EventRow) -> tuple[Any, ...]:
        """See `Reader`."""
        return self._get(row)


class ObjectReader(_TupleReader):
    """Reads keys of an object field of the row (`properties`, `person_properties`, …).

    A msgspec Struct of those keys lets the decoder pass over all others without making values of them. What
    it passes over it does not check either: a fault in a value that no filter names goes unseen.
    """

    def __init__(self, name: str, fields: Sequence[FieldPlan]) -> None:
        super().__init__(name, fields)
        self._keys = tuple(field.key for field in fields)
        names = [f"f{index}" for index in range(len(fields))]
        projection = msgspec.defstruct(
            "Projection",
            [(field, Any, None) for field in names],
            rename=dict(zip(names, self._keys, strict=True)),
            gc=False,
        )
        self._decode = msgspec.json.Decoder(projection).decode
        self._values = msgspec.structs.astuple

    def read(self, row: EventRow) -> tuple[Any, ...]:
        """See `Reader`."""
        source = getattr(row, self.name)
        if type(source) is str:
            try:
                return self._values(self._decode(source))
            except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
                pass  # empty, or what only the lenient decoder reads, or no JSON object at all
        found = decode_object(source, self.name)
        return tuple(map(found.get, self._keys))


class WideReader:
    """Reads keys of an object field when they are too many, or too odd, to be projected.

    It decodes the object whole and looks each key of the event up, so that fields which the event does not
    have cost nothing: the mask that they leave is kept for each set of keys that was seen.
    """

    def __init__(self, name: str, fields: Sequence[FieldPlan]) -> None:
        self.name = name
        self.fields = tuple(fields)
        self._by_key = {field.key: field for field in fields}
        self._shapes: dict[frozenset[str], int] = {}

    def read(self, row: EventRow) -> dict[str, Any]:
        """See `Reader`."""
        found = decode_object(getattr(row, self.name), self.name)
        return {key: found[key] for key in self._by_key.keys() & found.keys() if found[key] is not None}

    def narrow(self, view: dict[str, Any], standing: int, undecided: int) -> tuple[int, int]:
        """See `Reader`."""
        shape = frozenset(view)
        mask = self._shapes.get(shape)
        if mask is None:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            mask = self._shapes[shape] = self._without(shape)
        standing &= mask
        for key, x in view.items():
            field = self._by_key[key]
            known = field.known.get(x) if type(x) is str else None
            if known is None:
                known = field.decide(x)
                undecided |= field.tested
            standing &= known
        return standing, undecided

    def _without(self, shape: frozenset[str]) -> int:
        mask = -1
        for field in self.fields:
            if field.key not in shape:
                mask &= field.absent
        return mask

    def value(self, view: dict[str, Any], field: FieldPlan) -> Any:
        """See `Reader`."""
        return view.get(field.key)


def make_reader(name: str, fields: Sequence[FieldPlan]) -> Reader:
    """Return the reader for fields of one part of the row; `name` is the row's field, or `row` for itself."""
    if name == "row":
        return RowReader(name, fields)
    if len(fields) <= _MOST_PROJECTED and not any(_awkward(field.key) for field in fields):
        return ObjectReader(name, fields)
    return WideReader(name, fields)


def _awkward(key: str) -> bool:
    """Tell whether msgspec refuses to name a field so."""
    return any(char in '"\\' or char < " " or "\ud800" <= char <= "\udfff" for char in key)
