"""The operators of Hog as functions of `operations`, or as the host's own where types are certain."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from evaluators.hog.runtime import operations

INLINE = {"<": ast.Lt(), "<=": ast.LtE(), ">": ast.Gt(), ">=": ast.GtE()}
MIRRORED = {"<": ast.Gt(), "<=": ast.GtE(), ">": ast.Lt(), ">=": ast.LtE()}
WITHOUT_CONTEXT = frozenset({"-", "*", "/", "%"})
BINARY: dict[tuple[str, bool], tuple[str, Callable[..., Any]]] = {
    ("-", False): ("h_subtract", operations.subtract),
    ("*", False): ("h_multiply", operations.multiply),
    ("/", False): ("h_divide", operations.divide),
    ("%", False): ("h_modulo", operations.modulo),
    ("==", False): ("h_equals", operations.equals),
    ("==", True): ("h_differs", operations.differs),
    ("<", False): ("h_less", operations.less),
    ("<=", False): ("h_less_or_equal", operations.less_or_equal),
    (">", False): ("h_greater", operations.greater),
    (">=", False): ("h_greater_or_equal", operations.greater_or_equal),
    ("in", False): ("h_within", operations.within),
    ("in", True): ("h_not_within", operations.not_within),
    ("like", False): ("h_like", operations.like),
    ("ilike", False): ("h_ilike", operations.ilike),
    ("=~", False): ("h_regex", operations.regex),
    ("=~", True): ("h_not_regex", operations.not_regex),
    ("=~*", False): ("h_iregex", operations.iregex),
    ("=~*", True): ("h_not_iregex", operations.not_iregex),
}
HEAVY_OPERATORS = frozenset({"in", "like", "ilike", "=~", "=~*"})
