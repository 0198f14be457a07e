"""`formatDateTime`, with the tokens of ClickHouse. Names of days and months are English on any host."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from evaluators.hog.runtime.context import FREE_CHARS, Context
from evaluators.hog.runtime.values import Value
from evaluators.hog.stdlib.arguments import as_text, charge_text
from evaluators.hog.stdlib.moments import in_zone, local, read_moment

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_LONGEST = 10
"""Characters that one token may become; the text around tokens stays as long as it is."""


def _offset(at: datetime) -> str:
    seconds = int((at.utcoffset() or at - at).total_seconds())
    sign, minutes = "-" if seconds < 0 else "+", abs(seconds) // 60
    return f"{sign}{minutes // 60:02d}{minutes % 60:02d}"


def _twelve(at: datetime) -> int:
    return at.hour % 12 or 12


_LITERALS = {"n": "\n", "t": "\t"}

_TOKENS: dict[str, Callable[[datetime], str]] = {
    "a": lambda at: _DAYS[at.weekday()][:3],
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "c": lambda at: f"{at.month:02d}",
    "C": lambda at: f"{at.year // 100:02d}",
    "d": lambda at: f"{at.day:02d}",
    "D": lambda at: f"{at.month:02d}/{at.day:02d}/{at.year % 100:02d}",
    "e": lambda at: str(at.day),
    "f": lambda at: f"{at.microsecond:06d}",
    "F": lambda at: f"{at.year:04d}-{at.month:02d}-{at.day:02d}",
    "g": lambda at: f"{at.isocalendar().year % 100:02d}",
    "G": lambda at: f"{at.isocalendar().year:04d}",
    "h": lambda at: f"{_twelve(at):02d}",
    "H": lambda at: f"{at.hour:02d}",
    "i": lambda at: f"{at.minute:02d}",
    "I": lambda at: f"{_twelve(at):02d}",
    "j": lambda at: f"{at.timetuple().tm_yday:03d}",
    "k": lambda at: f"{at.hour:02d}",
    "l": lambda at: f"{_twelve(at):02d}",
    "m": lambda at: f"{at.month:02d}",
    "M": lambda at: _MONTHS[at.month - 1],
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "Q": lambda at: str((at.month + 2) // 3),
    "r": lambda at: f"{_twelve(at):02d}:{at.minute:02d} {'AM' if at.hour < 12 else 'PM'}",
    "R": lambda at: f"{at.hour:02d}:{at.minute:02d}",
    "s": lambda at: f"{at.second:02d}",
    "S": lambda at: f"{at.second:02d}",
    "T": lambda at: f"{at.hour:02d}:{at.minute:02d}:{at.second:02d}",
    "u": lambda at: str(at.isoweekday()),
    "V": lambda at: f"{at.isocalendar().week:02d}",
    "w": lambda at: str(at.isoweekday() % 7),
    "W": lambda at: _DAYS[at.weekday()],
    "y": lambda at: f"{at.year % 100:02d}",
    "Y": lambda at: f"{at.year:04d}",
    "z": _offset,
}


def format_date_time(ctx: Context, value: Value, pattern: Value, zone_name: Value = None) -> str | None:
    """Return a date as text, in its zone or in a given one; a `%` before any other character leaves both out."""
    wanted = as_text("formatDateTime", "the format", pattern)
    if value is None:
        return None
    at = read_moment("formatDateTime", value)
    there = local(at if zone_name is None else in_zone("formatDateTime", at, zone_name))
    if len(wanted) > FREE_CHARS:
        charge_text(ctx, len(wanted) + _LONGEST * wanted.count("%"), wanted)
        ctx.step(wanted.count("%"))
    pieces = wanted.split("%")
    made = [pieces[0]]
    index = 1
    while index < len(pieces):
        piece = pieces[index]
        if piece:
            token = _TOKENS.get(piece[0])
            made += [token(there) if token else _LITERALS.get(piece[0], ""), piece[1:]]
        elif index + 1 < len(pieces):
            # `%%`: the next piece is text as it stands
            index += 1
            made += ["%", pieces[index]]
        index += 1
    return "".join(made)
