"""Conditions and windows of read queries. Values are always bound by the server, never put into the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

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

    @property
    def text(self) -> str:
        """The condition; never empty."""
        return " AND ".join(self.terms) or "true"


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


def rows(client: Client, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run `query` and return its rows by column name."""
    found = client.query(query, parameters=dict(values), settings=dict(READ_SETTINGS))
    return list(found.named_results())
