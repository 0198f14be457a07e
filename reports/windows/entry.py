"""The part of a result that windows count, and the batches in which it travels to the process that counts.

Results of one evaluation are spread over all partitions of the results topic, because their key is the event. The
windows topic is keyed by the evaluation, so that one process sees all of an evaluation's results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Literal

import msgspec

from evaluators.verdict import VerdictName
from processor.events.result import RESULT_EVENT
from storage.clickhouse.query import PassRule
from storage.clickhouse.windows import MOST_CATEGORIES

_LONGEST_TEXT = 200


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One result as windows count it.

    Attributes:
        id: the result's UUID, 16 bytes.
        at_s: its time, in seconds since 1970.
        live: whether it was judged as its event came in; a manual run, a backfill or a replay says nothing of now.
        reason: of a skip.
        score: of a numeric verdict.
        categories: of a categorical one.
    """

    id: bytes
    at_s: int
    verdict: VerdictName
    live: bool = True
    reason: str = ""
    score: float | None = None
    categories: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    latency_s: float | None = None


class WindowVersion(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The version of an evaluation that results belong to; `minimum` and `maximum` bound its scores, if they do."""

    team_id: int
    evaluation_id: str
    number: int
    fingerprint: str
    minimum: float | None = None
    maximum: float | None = None


class EntryBatch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Results of one version, in the order in which they were read."""

    version: WindowVersion
    entries: list[Entry]


class NotCounted(Exception):
    """A message of the results topic that windows do not count; `reason` is a bounded metric label."""

    def __init__(self, reason: Literal["other_event", "bad_row"]) -> None:
        super().__init__(reason)
        self.reason = reason


class _Outer(msgspec.Struct, gc=False):
    uuid: str
    event: str
    properties: str
    team_id: int
    timestamp: str


_NAMES = {
    "evaluation_id": "$ai_evaluation_id",
    "version": "$ai_evaluation_version",
    "fingerprint": "$ai_evaluation_fingerprint",
    "kind": "$ai_evaluation_result_type",
    "result": "$ai_evaluation_result",
    "score": "$ai_evaluation_numeric_result",
    "minimum": "$ai_evaluation_numeric_result_min",
    "maximum": "$ai_evaluation_numeric_result_max",
    "categories": "$ai_evaluation_categorical_result",
    "applicable": "$ai_evaluation_applicable",
    "skipped": "$ai_evaluation_skipped",
    "reason": "$ai_evaluation_skip_reason",
    "input_tokens": "$ai_input_tokens",
    "output_tokens": "$ai_output_tokens",
    "cost_usd": "$ai_evaluation_cost_usd",
    "latency_s": "$ai_evaluation_latency",
    "trigger": "$ai_evaluation_trigger",
}


class _Properties(msgspec.Struct, gc=False, rename=_NAMES):
    evaluation_id: str
    version: int | None = None
    fingerprint: str = ""
    kind: str = "boolean"
    result: bool | None = None
    score: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: list[str] | None = None
    applicable: bool | None = None
    skipped: bool = False
    reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    trigger: str = "live"


_SAME_NAMES = (
    "fingerprint",
    "result",
    "applicable",
    "skipped",
    "trigger",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "latency_s",
)
_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode_properties = msgspec.json.Decoder(_Properties).decode
_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(EntryBatch).decode

RuleOf = Callable[[int, str], PassRule]
"""Returns how the verdicts of a team's evaluation are read."""


def read_result(value: bytes, rule_of: RuleOf) -> tuple[WindowVersion, Entry]:
    """Return one message of the results topic as windows count it.

    Raises:
        NotCounted: it is another event, or not a result as Gavel writes it (the sink keeps it as a dead letter).
    """
    try:
        outer = _decode_outer(value)
        if outer.event != RESULT_EVENT:
            raise NotCounted("other_event")
        found = _decode_properties(outer.properties)
        identity = bytes.fromhex(outer.uuid.replace("-", ""))
        moment = datetime.fromisoformat(outer.timestamp)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise NotCounted("bad_row") from None
    at_s = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return _counted(found, outer.team_id, identity, at_s, rule_of)


def read_row(row: Mapping[str, Any], rule_of: RuleOf) -> tuple[WindowVersion, Entry]:
    """Return a row of `storage.clickhouse.windows.fresh_results` as windows count it.

    Raises:
        NotCounted: its id is not a UUID.
    """
    found = _Properties(
        evaluation_id=row["evaluation_id"],
        version=row["evaluation_version"],
        kind=row["result_type"],
        score=row["numeric_result"],
        minimum=row["numeric_result_min"],
        maximum=row["numeric_result_max"],
        categories=row["categorical_result"],
        reason=row["skip_reason"],
        **{name: row[name] for name in _SAME_NAMES},
    )
    try:
        identity = bytes.fromhex(row["uuid"].replace("-", ""))
    except ValueError:
        raise NotCounted("bad_row") from None
    return _counted(found, int(row["team_id"]), identity, int(row["at_s"]), rule_of)


def _counted(
    found: _Properties, team_id: int, identity: bytes, at_s: int, rule_of: RuleOf
) -> tuple[WindowVersion, Entry]:
    name = found.evaluation_id
    if len(identity) != 16 or not 0 < len(name) <= _LONGEST_TEXT or len(found.fingerprint) > _LONGEST_TEXT:
        raise NotCounted("bad_row")
    version = WindowVersion(team_id, name, found.version or 0, found.fingerprint, found.minimum, found.maximum)
    return version, _entry(found, identity, at_s, rule_of(team_id, name))


def _entry(found: _Properties, identity: bytes, at_s: int, rule: PassRule) -> Entry:
    live = found.trigger == "live"
    score = None if found.skipped or found.kind != "numeric" else found.score
    categories = () if found.skipped or found.kind != "categorical" else tuple(found.categories or ())
    return Entry(
        identity,
        at_s,
        "skipped" if found.skipped else _verdict(found, rule),
        live,
        reason=found.reason[:_LONGEST_TEXT] if found.skipped else "",
        score=score if score is None or isfinite(score) else None,
        categories=categories[:MOST_CATEGORIES],
        input_tokens=found.input_tokens or 0,
        output_tokens=found.output_tokens or 0,
        cost_usd=found.cost_usd,
        latency_s=found.latency_s,
    )


def _verdict(found: _Properties, rule: PassRule) -> VerdictName:
    answers: dict[str, Any] = {"numeric": found.score, "categorical": frozenset(found.categories or ()) or None}
    answer = answers.get(found.kind, found.result)
    return rule.name_of(None if found.applicable is False else answer)


def batches(results: Iterable[tuple[WindowVersion, Entry]]) -> list[EntryBatch]:
    """Return the results gathered by version; within a version they keep their order."""
    gathered: dict[WindowVersion, list[Entry]] = {}
    for version, entry in results:
        gathered.setdefault(version, []).append(entry)
    return [EntryBatch(version, entries) for version, entries in gathered.items()]


def batch_key(version: WindowVersion) -> bytes:
    """Return the key under which all batches of an evaluation are in one partition."""
    return f"{version.team_id}/{version.evaluation_id}".encode()


def encode_batch(batch: EntryBatch) -> bytes:
    """Return the record of the windows topic."""
    return _encode(batch)


def decode_batch(value: bytes) -> EntryBatch:
    """Return the batch that `encode_batch` wrote.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    return _decode_batch(value)
