"""The decisions that follow from the names of a span's attributes alone, made once for each set of names.

Spans of one application have the same few sets of names, and most sources of a property cannot have a value for them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ingest.otlp import conventions
from ingest.otlp.conventions import KindRule, Source
from ingest.otlp.readers import ValueReader, reader_of, trigger, triggers
from ingest.otlp.span import Attributes

Steps = tuple[tuple[ValueReader, Source], ...]
Table = tuple[tuple[str, Steps], ...]
"""Property → how to read it from each source that can have a value, the first first."""

_MAX_PLANS = 512
_KNOWN_NAMES, _KNOWN_CHARS = 64, 2_048
"""Sets of names above this are not kept, because a stranger could fill the memory with them."""


class Plan(NamedTuple):
    """The facts about every span whose attributes have certain names.

    Attributes:
        is_ai: whether one of the names is of an LLM application.
        rules: those whose attribute is there; the first one that has a value decides.
        has_model: whether a span that no rule decides is a generation if it has content.
        has_content: whether its attributes hold some; its events may too.
        explicit: names that are properties already.
        content, spans, both: the sources of generations and embeddings, of other spans, and of either.
    """

    is_ai: bool
    rules: tuple[KindRule, ...]
    has_model: bool
    has_content: bool
    explicit: tuple[str, ...]
    content: Table
    spans: Table
    both: Table


class _Candidate(NamedTuple):
    needed: str
    reader: ValueReader
    source: Source


_Candidates = tuple[tuple[str, tuple[_Candidate, ...]], ...]


def _candidates(*tables: Mapping[str, Sequence[Source]]) -> _Candidates:
    return tuple(
        (name, tuple(_Candidate(trigger(source), reader_of(source), source) for source in sources))
        for table in tables
        for name, sources in table.items()
    )


_OF_CONTENT = _candidates(conventions.GENERATION_PROPERTIES, conventions.PROPERTIES)
_OF_SPANS = _candidates(conventions.SPAN_PROPERTIES, conventions.PROPERTIES)
_OF_BOTH = _candidates(conventions.OF_SPAN_OR_RESOURCE)


def plan_of(attributes: Attributes, *, has_events: bool) -> Plan:
    """Return the plan for spans with attributes of these names, of which some have events."""
    key: tuple[bool | str, ...] = (has_events, *attributes)
    found = _plans.get(key)
    if found is None:
        found = _make(tuple(attributes), has_events)
        if len(attributes) <= _KNOWN_NAMES and sum(map(len, attributes)) <= _KNOWN_CHARS:
            if len(_plans) >= _MAX_PLANS:
                _plans.clear()
            _plans[key] = found
    return found


_plans: dict[tuple[bool | str, ...], Plan] = {}


def _make(names: tuple[str, ...], has_events: bool) -> Plan:
    present = triggers(names, has_events=has_events)
    given = set(names)
    return Plan(
        is_ai=any(name.startswith(conventions.AI_PREFIXES) for name in names),
        rules=tuple(rule for rule in conventions.KIND_RULES if _is_there(rule.attribute, given)),
        has_model=not given.isdisjoint(conventions.MODEL_ATTRIBUTES),
        has_content=not given.isdisjoint(conventions.CONTENT_ATTRIBUTES),
        explicit=tuple(name for name in names if name.startswith("$ai_")),
        content=_present(_OF_CONTENT, present),
        spans=_present(_OF_SPANS, present),
        both=_present(_OF_BOTH, present),
    )


def _is_there(name: str, given: Collection[str]) -> bool:
    return any(each.startswith(name) for each in given) if name.endswith(".") else name in given


def _present(table: _Candidates, present: Collection[str]) -> Table:
    found = (
        (name, tuple((each.reader, each.source) for each in candidates if each.needed in present))
        for name, candidates in table
    )
    return tuple((name, steps) for name, steps in found if steps)
