"""Versions, network addresses, errors and `print`."""

from __future__ import annotations

import ipaddress
from functools import partial

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.regex import extract
from evaluators.hog.runtime.values import HogError, Value, integer_of
from evaluators.hog.stdlib.arguments import as_text, shown

_VERSION = r"[0-9]+(?:\.[0-9]+)+"
_LONGEST_VERSION = 1000
_LONGEST_ADDRESS = 100


def sortable_semver(ctx: Context, value: Value) -> list[int | None]:
    """Return the numbers of the first version in a text, to compare and to sort by; `[null]` if there is none."""
    found = extract(ctx, value[:_LONGEST_VERSION], _VERSION) if type(value) is str else ""
    return [integer_of(part) for part in found.split(".")] if found else [None]


def is_ip_address_in_range(address: Value, network: Value) -> bool:
    """Whether an IPv4 or IPv6 address is in a network in CIDR notation; false if either is none."""
    if type(address) is not str or type(network) is not str:
        return False
    if len(address) > _LONGEST_ADDRESS or len(network) > _LONGEST_ADDRESS:
        return False
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _error(type_name: str, ctx: Context, message: Value = None, payload: Value = None) -> HogError:
    """Return an error value of a type; without a message, `An error occurred`."""
    said = "" if message is None else shown(ctx, message)
    return HogError(type_name, said or "An error occurred", payload)


def hog_error(ctx: Context, type_name: Value, message: Value = None, payload: Value = None) -> HogError:
    """Return an error value of any type; null is the type `Error`."""
    name = "Error" if type_name is None else as_text("HogError", "the type", type_name)
    return _error(name or "Error", ctx, message, payload)


def print_line(ctx: Context, *values: Value) -> None:
    """Add a line to the reasoning: the values' print forms, joined by spaces."""
    ctx.print_line(" ".join([shown(ctx, value) for value in values]))


FUNCTIONS = {
    "sortableSemver": Function(sortable_semver, 1, 1, needs_context=True),
    "isIPAddressInRange": Function(is_ip_address_in_range, 2, 2),
    "Error": Function(partial(_error, "Error"), 0, 2, needs_context=True),
    "RetryError": Function(partial(_error, "RetryError"), 0, 2, needs_context=True),
    "NotImplementedError": Function(partial(_error, "NotImplementedError"), 0, 2, needs_context=True),
    "HogError": Function(hog_error, 1, 3, needs_context=True),
    "print": Function(print_line, 0, None, needs_context=True, constant=False),
}
