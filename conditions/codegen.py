"""The look-ups of a reader's fields, written out as one Python function: a loop would cost more than they do."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from conditions.plan import FieldPlan

Narrow = Callable[[tuple[Any, ...], int, int], tuple[int, int]]
"""From the values of the fields, the sets that stand and the sets with something to test: both, afterwards."""

_HEAD = "def narrow(values, standing, undecided):\n    {names}, = values\n"
_FIELD = """\
    kind = type(x{n})
    if kind is str:
        mask = known{n}(x{n})
        if mask is None:
            mask = decide{n}(x{n})
            undecided |= tested{n}
        standing &= mask
    elif x{n} is None:
        standing &= absent{n}
{numbers}    else:
        standing &= decide{n}(x{n})
        undecided |= tested{n}
    if not standing:
        return 0, 0
"""
_NUMBERS = """\
    elif kind is float or kind is int:
        standing &= masks{n}[bisect_right(points{n}, x{n})]
"""


def make_narrow(fields: Sequence[FieldPlan]) -> Narrow:
    """Return the function for fields that are filled. No text of a user gets into its source."""
    if not fields:
        return lambda _, standing, undecided: (standing, undecided)
    source = [_HEAD.format(names=", ".join(f"x{n}" for n in range(len(fields))))]
    world: dict[str, Any] = {"bisect_right": bisect_right}
    for n, field in enumerate(fields):
        source.append(_FIELD.format(n=n, numbers=_NUMBERS.format(n=n) if field.numbers is not None else ""))
        world |= {f"known{n}": field.known.get, f"decide{n}": field.decide}
        world |= {f"tested{n}": field.tested, f"absent{n}": field.absent}
        if field.numbers is not None:
            world[f"points{n}"], world[f"masks{n}"] = field.numbers
    source.append("    return standing, undecided\n")
    exec("".join(source), world)  # noqa: S102  # composed above of this module's own text and of counted names
    narrow: Narrow = world["narrow"]
    return narrow
