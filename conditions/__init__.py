"""Condition sets: which evaluations an event runs. Pure: no I/O, no clock."""

from conditions.compiled.compiler import compile_matcher
from conditions.compiled.matcher import NOTHING, Matcher, MatchResult
from conditions.errors import ConditionError, RowError
from conditions.explain import Explanation, explain
from conditions.model import ConditionSet, Filter, FilterGroup, Target, parse_conditions
from conditions.rollout import rollout_number
from conditions.row import UNUSUAL, EventRow, decode_object, decode_row, decode_usual_row

__all__ = [
    "NOTHING",
    "UNUSUAL",
    "ConditionError",
    "ConditionSet",
    "EventRow",
    "Explanation",
    "Filter",
    "FilterGroup",
    "MatchResult",
    "Matcher",
    "RowError",
    "Target",
    "compile_matcher",
    "decode_object",
    "decode_row",
    "decode_usual_row",
    "explain",
    "parse_conditions",
    "rollout_number",
]
