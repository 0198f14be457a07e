"""Conditions and windows of read queries. Values are always bound by the server, never put into the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput, OutputConfig
from evaluators.verdict import VerdictName, verdict_name

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

READ_SETTINGS: Mapping[str, int] = {
    "max_execution_time": 60,
    # An id may lie in two months: a result and its replay, which carries the generation's own time.
    "do_not_merge_across_partitions_select_final": 0,
}


def to_microseconds(moment: datetime) -> int:
    """Return microseconds since 1970 of an aware time; a naive one is taken as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@dataclass(slots=True)
class Where:
    """A conjunction that grows, with its bound values."""

    terms: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def add(self, term: str, **values: Any) -> None:
        """Add a term with its values; values of None leave the term out."""
        if values and all(value is None for value in values.values()):
            return
        self.terms.append(term)
        self.values.update(values)

    def between(self, after: datetime | None, before: datetime | None, column: str = "timestamp") -> None:
        """Limit `column` to `after` (included) up to `before` (excluded)."""
        if after is not None:
            self.add(
                f"{column} >= fromUnixTimestamp64Micro({{after_us:Int64}}, 'UTC')", after_us=to_microseconds(after)
            )
        if before is not None:
            moment = to_microseconds(before)
            self.add(f"{column} < fromUnixTimestamp64Micro({{before_us:Int64}}, 'UTC')", before_us=moment)

    def beyond(self, sign: Literal["<", ">"], place: PageEnd) -> None:
        """Limit a list in the order of `timestamp` and `uuid` to the rows before (`<`) or behind (`>`) a place."""
        self.add(
            f"(timestamp, uuid) {sign} (fromUnixTimestamp64Micro({{key_us:Int64}}, 'UTC'), {{key_uuid:String}})",
            key_us=to_microseconds(place.timestamp),
            key_uuid=place.uuid,
        )

    @property
    def text(self) -> str:
        """The condition; never empty."""
        return " AND ".join(self.terms) or "true"


def property_where(team_id: int, name: str, value: str | None) -> Where:
    """Return the condition that a generation has a property, with a value as text unless that is None or empty."""
    where = Where()
    where.add("team_id = {team_id:Int64}", team_id=team_id)
    where.add("JSONHas(properties, {property:String})", property=name)
    where.add(
        "if(JSONType(properties, {property:String}) = 'String', JSONExtractString(properties, {property:String}), "
        "JSONExtractRaw(properties, {property:String})) = {property_value:String}",
        property_value=value or None,
    )
    return where


@dataclass(frozen=True, slots=True)
class ConfidenceRange:
    """A range of a judge's confidence, with both ends. None leaves an end open; without ends it selects everything.

    Raises:
        ValueError: an end is not a number from 0 to 1, or `least` is above `most`.
    """

    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        low, high = (0.0 if self.least is None else self.least), (1.0 if self.most is None else self.most)
        if not (0 <= low <= 1 and 0 <= high <= 1):
            raise ValueError("a confidence is a number from 0 to 1")
        if low > high:
            raise ValueError("the least confidence is above the most")

    def __bool__(self) -> bool:
        """Whether it has an end."""
        return self.least is not None or self.most is not None

    def __contains__(self, confidence: float | None) -> bool:
        """Whether a result with this confidence is selected, as `bind` has it for stored ones."""
        if not self:
            return True
        return confidence is not None and (self.least or 0.0) <= confidence <= (1.0 if self.most is None else self.most)

    def bind(self, where: Where) -> None:
        """Add the condition. A result without a confidence is in no range."""
        where.add("confidence >= {min_confidence:Float64}", min_confidence=self.least)
        where.add("confidence <= {max_confidence:Float64}", max_confidence=self.most)


ANY_CONFIDENCE = ConfidenceRange()


@dataclass(frozen=True, slots=True)
class PageEnd:
    """Where a page ends: the next one begins behind this row."""

    timestamp: datetime
    uuid: str


class VerdictRule(Protocol):
    """Decides in a query when a verdict passes."""

    def bind(self, where: Where) -> str:
        """Return an expression that is true for a pass, false for a fail, and NULL for anything else."""


@dataclass(frozen=True, slots=True)
class PassRule:
    """When a verdict passes: what a definition says of reading, and never of writing.

    Attributes:
        true_is_failure: polarity of boolean verdicts.
        operator, threshold: passing rule of numeric verdicts; without one they neither pass nor fail.
        categories: passing rule of categorical verdicts: all that were chosen are among them.
    """

    true_is_failure: bool = False
    operator: Literal["gte", "lte"] | None = None
    threshold: float | None = None
    categories: Sequence[str] | None = None

    @classmethod
    def of(cls, output: OutputConfig) -> PassRule:
        """Return how the verdicts of a definition with this output are read."""
        if isinstance(output, BooleanOutput):
            return cls(true_is_failure=output.true_is_failure)
        if isinstance(output, NumericOutput) and output.passing_rule is not None:
            return cls(operator=output.passing_rule.operator, threshold=output.passing_rule.threshold)
        if isinstance(output, CategoricalOutput) and output.passing_rule is not None:
            return cls(categories=output.passing_rule.categories)
        return cls()

    def passes(self, verdict: bool | float | frozenset[str]) -> bool | None:
        """Return whether an applicable verdict passes: a boolean, a score, or the keys of categories.

        None: no passing rule decides it. This is `bind` for a verdict that is not in ClickHouse.
        """
        if isinstance(verdict, bool):
            return verdict != self.true_is_failure
        if isinstance(verdict, frozenset):
            return None if self.categories is None else verdict <= frozenset(self.categories)
        if self.operator is None or self.threshold is None:
            return None
        return verdict >= self.threshold if self.operator == "gte" else verdict <= self.threshold

    def name_of(self, verdict: bool | float | frozenset[str] | None) -> VerdictName:
        """Return how a verdict reads that is not in ClickHouse. None: it is not applicable."""
        return "not_applicable" if verdict is None else verdict_name(self.passes(verdict))

    def reads(self, outcome: str, result_type: str, score: float | None, categories: Sequence[str]) -> bool | None:
        """Return what `bind` makes of a stored outcome: True for a pass, False for a fail, None for anything else."""
        if outcome in ("true", "false"):
            return self.passes(outcome == "true")
        if outcome != "scored":
            return None
        if result_type == "numeric":
            return None if score is None else self.passes(score)
        return self.passes(frozenset(categories))

    def bind(self, where: Where) -> str:
        """Return an expression that is true for a pass, false for a fail, and NULL for anything else.

        A skip and N/A are neither: they are outside every denominator.
        """
        where.values["true_is_failure"] = self.true_is_failure
        cases = ["outcome IN ('true', 'false'), toNullable((outcome = 'true') != {true_is_failure:Bool})"]
        if self.operator is not None and self.threshold is not None:
            where.values["threshold"] = self.threshold
            sign = ">=" if self.operator == "gte" else "<="
            cases.append(f"outcome = 'scored' AND result_type = 'numeric', numeric_result {sign} {{threshold:Float64}}")
        if self.categories is not None:
            where.values["categories"] = list(self.categories)
            cases.append(
                "outcome = 'scored' AND result_type = 'categorical', "
                "toNullable(hasAll({categories:Array(String)}, categorical_result))"
            )
        return f"multiIf({', '.join(cases)}, NULL)"


UNREAD = PassRule()
"""The rule for a query whose verdicts nobody reads, or that are read afterwards: true passes, and nothing else does."""


@dataclass(frozen=True, slots=True)
class PassRules:
    """The rules of several evaluations, for queries over all of them. Others read as if they had no rule.

    Attributes:
        by_evaluation: evaluation id → its rule.
    """

    by_evaluation: Mapping[str, PassRule]

    def bind(self, where: Where) -> str:
        """Return an expression as `PassRule.bind` does; each row is read by the rule of its evaluation."""
        rules = self.by_evaluation
        where.values["inverted"] = [key for key, rule in rules.items() if rule.true_is_failure]
        inverted = "has({inverted:Array(String)}, toString(evaluation_id))"
        cases = [f"outcome IN ('true', 'false'), toNullable((outcome = 'true') != {inverted})"]
        for operator, sign in (("gte", ">="), ("lte", "<=")):
            bounds = {key: rule.threshold for key, rule in rules.items() if rule.operator == operator}
            if bounds:
                where.values |= {f"{operator}_ids": list(bounds), f"{operator}_bounds": list(bounds.values())}
                place = f"indexOf({{{operator}_ids:Array(String)}}, toString(evaluation_id))"
                cases.append(
                    f"outcome = 'scored' AND result_type = 'numeric' AND {place} > 0, "
                    f"numeric_result {sign} {{{operator}_bounds:Array(Float64)}}[{place}]"
                )
        chosen = {key: list(rule.categories) for key, rule in rules.items() if rule.categories is not None}
        if chosen:
            where.values |= {"category_ids": list(chosen), "categories": list(chosen.values())}
            place = "indexOf({category_ids:Array(String)}, toString(evaluation_id))"
            cases.append(
                f"outcome = 'scored' AND result_type = 'categorical' AND {place} > 0, "
                f"toNullable(hasAll({{categories:Array(Array(String))}}[{place}], categorical_result))"
            )
        return f"multiIf({', '.join(cases)}, NULL)"


def verdict_expression(passes: str) -> str:
    """Return the expression of a result's `VerdictName`.

    Args:
        passes: an expression as `VerdictRule.bind` returns it, or the name of its column.
    """
    return (
        f"multiIf(outcome IN ('skipped', 'not_applicable'), toString(outcome), isNull({passes}), 'scored', "
        f"assumeNotNull({passes}), 'pass', 'fail')"
    )


def rows(client: Client, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run `query` and return its rows by column name."""
    found = client.query(query, parameters=dict(values), settings=dict(READ_SETTINGS))
    return list(found.named_results())
