"""Reading from a row just the fields that some filter of the team names.

A reader gives a *view* of its part of the row, which `value` looks into; `conditions.compiled.codegen` writes the
look-ups of all readers out as one function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from conditions.compiled.plan import FieldPlan
from conditions.row import EventRow, decode_object

_MOST_PROJECTED = 64
"""Beyond this many keys, looking each key of the event up is cheaper than looking for each projected key."""
_MOST_SHAPES = 1024


class RowReader:
    """Reads the row's own fields, such as `distinct_id`: the view is the row."""

    def __init__(self, name: str, fields: Sequence[FieldPlan]) -> None:
        self.name = name
        self.fields = tuple(fields)

    def view(self, row: EventRow) -> EventRow:
        """Return the view."""
        return row

    def attribute(self, field: FieldPlan) -> str:
        """Return the attribute of a view that holds a field."""
        return field.key

    def value(self, view: Any, field: FieldPlan) -> Any:
        """Return one field's value, None if it is absent."""
        return getattr(view, field.key)


class ObjectReader:
    """Reads keys of an object field of the row (`properties`, `person_properties`, …).

    The view is a msgspec Struct of those keys, which lets the decoder skip all others without making
    values of them. The decoder does not check skipped values either, so a fault in a value that no filter names
    goes unseen.

    Args:
        carried: keys that no filter needs and whoever gets the view wants as they stand in the text, by the
            attribute of the view that holds them: a `msgspec.Raw`, or a value where the part was read leniently;
            UNSET if there is none. A key that a filter names too holds what the filter sees, None if there is none.

    Attributes:
        carries: whether anything is carried.
        decode: makes the view of JSON text; it may raise a DecodeError, RecursionError, TypeError or
            UnicodeEncodeError of what `read` can yet make sense of.
    """

    def __init__(self, name: str, fields: Sequence[FieldPlan], carried: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.fields = tuple(fields)
        self._keys = tuple(field.key for field in fields)
        self._attributes = {field: f"f{place}" for place, field in enumerate(fields)}
        names = list(self._attributes.values())
        twice = {attribute: self._keys.index(key) for attribute, key in (carried or {}).items() if key in self._keys}
        extra = {attribute: key for attribute, key in (carried or {}).items() if attribute not in twice}
        self._extra = extra
        self.carries = bool(carried)
        self._projection = msgspec.defstruct(
            "Projection",
            [(attribute, Any, None) for attribute in names]
            + [(attribute, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for attribute in extra],
            rename=dict(zip(names, self._keys, strict=True)) | extra,
            namespace={attribute: property(attrgetter(names[place])) for attribute, place in twice.items()},
            gc=False,
        )
        self.decode = msgspec.json.Decoder(self._projection).decode

    def view(self, row: EventRow) -> Any:
        """Return the view. Raises RowError if the part is not a JSON object."""
        return self.read(getattr(row, self.name))

    def read(self, source: object) -> Any:
        """Make the view of JSON text or of an object, leniently. Raises RowError if it is neither."""
        found = decode_object(source, self.name)
        extra = {attribute: found[key] for attribute, key in self._extra.items() if key in found}
        return self._projection(*map(found.get, self._keys), **extra)

    def attribute(self, field: FieldPlan) -> str:
        """Return the attribute of a view that holds a field."""
        return self._attributes[field]

    def value(self, view: Any, field: FieldPlan) -> Any:
        """Return one field's value, None if it is absent."""
        return getattr(view, self._attributes[field])


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

    def view(self, row: EventRow) -> dict[str, Any]:
        """Return the view. Raises RowError if the part is not a JSON object."""
        return self.read(getattr(row, self.name))

    def read(self, source: object) -> dict[str, Any]:
        """Make the view of JSON text or of an object. Raises RowError if it is neither."""
        found = decode_object(source, self.name)
        return {key: found[key] for key in self._by_key.keys() & found.keys() if found[key] is not None}

    def narrow(self, view: dict[str, Any], standing: int, undecided: int) -> tuple[int, int]:
        """Return the sets of `standing` that no index rules out, and `undecided` with those still to test."""
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

    def value(self, view: Any, field: FieldPlan) -> Any:
        """Return one field's value, None if it is absent."""
        return view.get(field.key)


PropertyReader = RowReader | ObjectReader | WideReader


def make_reader(name: str, fields: Sequence[FieldPlan], carried: Mapping[str, str] | None = None) -> PropertyReader:
    """Return the reader for fields of one part of the row; `name` is the row's field, or `row` for itself.

    `carried`: see `ObjectReader`; the other readers carry nothing.
    """
    if name == "row":
        return RowReader(name, fields)
    if len(fields) <= _MOST_PROJECTED and not any(_awkward(field.key) for field in fields):
        return ObjectReader(name, fields, carried)
    return WideReader(name, fields)


def _awkward(key: str) -> bool:
    """Tell whether msgspec refuses to name a field so."""
    return any(char in '"\\' or char < " " or "\ud800" <= char <= "\udfff" for char in key)
