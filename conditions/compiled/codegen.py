"""The look-ups of a matcher, written out as one Python function: a loop over the fields would cost more than they do.

For filters on the property `$ai_model`, dates relative to the event on `signed_up`, and `distinct_id`:

    def look_up(row):
        standing, undecided = everything, loose
        source = row.properties
        try:
            view0 = decode0(source) if source else read0(source)
        except unreadable:
            view0 = read0(source)
        x = view0.f0
        kind = type(x)
        if kind is str:
            mask = known0(x)
            if mask is None:
                mask = decide0(x)
                undecided |= tested0
            standing &= mask
        elif x is None:
            standing &= absent0
        elif kind is float:
            standing &= masks0[bisect_right(points0, x)]
        elif kind is int:
            standing &= masks0[bisect_right(points0, float(x))]
        elif kind is bool:
            standing &= truths0[x]
        else:
            standing &= decide0(x)
            undecided |= tested0
        x = view0.f1
        …                                   # the same for `signed_up`
        x = row.distinct_id
        …
        if standing & dated:
            when = day_and_time(row.timestamp)
            standing &= relative0(view0.f1, when)
        return standing, undecided, (view0, row)

The branch order depends on the values that the filters of a field compare with. A matcher of few sets
returns as soon as no set stands. A reader that looks its fields up itself is called:

        view0 = read0(row.properties)
        standing, undecided = narrow0(view0, standing, undecided)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from conditions.compiled.indexes import RelativeDateIndex
from conditions.compiled.plan import FieldPlan
from conditions.compiled.projection import ObjectReader, PropertyReader, RowReader, WideReader
from conditions.dates import day_and_time
from conditions.row import EventRow

LookUp = Callable[[EventRow], tuple[int, int, tuple[Any, ...]]]
"""From a row: the sets that no index rules out, the sets with something to test, the views of the readers.

Raises RowError for a part of the row that is broken, OverflowError for a whole number beyond all floats. If
no set stands, the rest is empty.
"""

_UNREADABLE = (msgspec.DecodeError, RecursionError, TypeError, UnicodeEncodeError)
_FEW_SETS = 64

_DECODE = """\
    source = row.{name}
    try:
        view{n} = decode{n}(source) if source else read{n}(source)
    except unreadable:
        view{n} = read{n}(source)
"""
_CALL = """\
    view{n} = read{n}(row.{name})
    standing, undecided = narrow{n}(view{n}, standing, undecided)
"""
_KNOWN = """\
        mask = known{n}(x)
        if mask is None:
            mask = decide{n}(x)
            undecided |= tested{n}
        standing &= mask
"""
_DECIDE = """\
    else:
        standing &= decide{n}(x)
        undecided |= tested{n}
"""
_STOP = """\
    if not standing:
        return 0, 0, ()
"""


def make_look_up(
    readers: Sequence[PropertyReader],
    everything: int,
    loose: int,
    relative_dates: Sequence[tuple[FieldPlan, RelativeDateIndex]],
) -> LookUp:
    """Return the function for readers whose fields are filled. No text of a user gets into its source.

    Args:
        loose: mask of the sets that have something to test, whatever the fields hold.
    """
    world: dict[str, Any] = {"everything": everything, "loose": loose, "unreadable": _UNREADABLE}
    world |= {"bisect_right": bisect_right, "day_and_time": day_and_time}
    source = ["def look_up(row):\n    standing, undecided = everything, loose\n"]
    views = {reader.name: "row" if reader.name == "row" else f"view{n}" for n, reader in enumerate(readers)}
    for n, reader in enumerate(readers):
        source.append(_read(n, reader, world))
        if isinstance(reader, WideReader):
            continue
        for m, field in enumerate(reader.fields):
            source.append(f"    x = {views[reader.name]}.{reader.attribute(field)}\n    kind = type(x)\n")
            source.append(_branches(f"{n}_{m}", field, world))
            source.append(_STOP if everything.bit_count() <= _FEW_SETS else "")
    source.append(_dates(relative_dates, readers, views, world))
    source.append(f"    return standing, undecided, ({', '.join(views.values())},)\n")
    exec("".join(source), world)  # noqa: S102  # composed above of this module's own text and of counted names
    look_up: LookUp = world["look_up"]
    return look_up


def _read(n: int, reader: PropertyReader, world: dict[str, Any]) -> str:
    if isinstance(reader, RowReader):
        return ""
    world[f"read{n}"] = reader.read
    if isinstance(reader, ObjectReader):
        world[f"decode{n}"] = reader.decode
        return _DECODE.format(n=n, name=reader.name)
    world[f"narrow{n}"] = reader.narrow
    return _CALL.format(n=n, name=reader.name)


def _branches(n: str, field: FieldPlan, world: dict[str, Any]) -> str:
    """Return the look-up of one field whose value is `x` and of the type `kind`."""
    world |= {f"known{n}": field.known.get, f"decide{n}": field.decide, f"tested{n}": field.tested}
    world |= {f"absent{n}": field.absent, f"truths{n}": field.truths}
    known = "kind is str or kind is float or kind is int"
    branches = {
        "truth": ("kind is bool", "        standing &= truths{n}[x]\n"),
        "text": (known if field.numbers is None else "kind is str", _KNOWN),
        "absent": ("x is None", "        standing &= absent{n}\n"),
    }
    if field.numbers is not None:
        world[f"points{n}"], world[f"masks{n}"] = field.numbers
        branches["number"] = (
            "kind is float",
            (
                "        standing &= masks{n}[bisect_right(points{n}, x)]\n"
                "    elif kind is int:\n        standing &= masks{n}[bisect_right(points{n}, float(x))]\n"
            ),
        )
    order = sorted(branches, key=lambda name: name != field.usual)
    chain = "el".join(f"if {branches[name][0]}:\n{branches[name][1]}    " for name in order)
    return f"    {chain[:-4]}{_DECIDE}".format(n=n)


def _dates(
    relative_dates: Sequence[tuple[FieldPlan, RelativeDateIndex]],
    readers: Sequence[PropertyReader],
    views: dict[str, str],
    world: dict[str, Any],
) -> str:
    if not relative_dates:
        return ""
    lines = ["    if standing & dated:\n        when = day_and_time(row.timestamp)\n"]
    by_name = {reader.name: reader for reader in readers}
    world["dated"] = 0
    for n, (field, index) in enumerate(relative_dates):
        reader = by_name[field.part]
        world["dated"] |= index.users
        world |= {f"key{n}": field.key, f"relative{n}": index.standing}
        view = views[reader.name]
        x = f"{view}.get(key{n})" if isinstance(reader, WideReader) else f"{view}.{reader.attribute(field)}"
        lines.append(f"        standing &= relative{n}({x}, when)\n")
    return "".join(lines)
