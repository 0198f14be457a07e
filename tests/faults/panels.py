"""The queries of all dashboards, as Grafana sends them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tests.services.cache import CHECKOUT


def _targets() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((CHECKOUT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            yield from ((f"{path.stem}: {panel['title']}", target) for target in panel.get("targets", ()))


def promql_queries() -> Iterator[tuple[str, str]]:
    """Yield panel and expression, with all instances, teams and evaluations chosen."""
    for title, target in _targets():
        if "expr" in target:
            expression = re.sub(r"\$(instance|team|evaluation)\b", ".*", target["expr"])
            yield title, expression.replace("$__rate_interval", "15s")


def sql_queries(team: int, evaluations: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield panel and query, with the macros written out as Grafana's plugin for ClickHouse does it."""
    quoted = ", ".join(f"'{each}'" for each in evaluations)
    for title, target in _targets():
        if "rawSql" in target:
            query = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 >= now() - INTERVAL 2 HOUR", target["rawSql"])
            query = re.sub(
                r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 SECOND)", query
            )
            query = query.replace("${team:csv}", str(team)).replace("${evaluation:singlequote}", quoted)
            assert "$" not in query, f"{title}: {query}"
            yield title, query
