"""A library function as the compiler sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Function:
    """A library function.

    Attributes:
        impl: takes Hog values by position (first the `Context`, if `needs_context`) and returns a Hog value
            or raises a `HogRuntimeError`. It changes none of its arguments.
        min_args, max_args: how many arguments a call may have; `max_args` None for any number.
        needs_context: it allocates in proportion to its arguments, calls functions, or asks for the time.
        cheap: its time does not grow with its arguments; calls to it cost no look at the clock.
        constant: it gives the same value for the same arguments on every event, and does nothing else.
    """

    impl: Callable[..., Any]
    min_args: int
    max_args: int | None
    needs_context: bool = False
    cheap: bool = False
    constant: bool = True


def arity_error(name: str, given: int, min_args: int, max_args: int | None) -> str | None:
    """Return the message for a wrong number of arguments, or None."""
    if given < min_args:
        return f"Function {name} requires at least {min_args} argument{'s' if min_args != 1 else ''}"
    if max_args is not None and given > max_args:
        return f"Function {name} requires at most {max_args} argument{'s' if max_args != 1 else ''}"
    return None
