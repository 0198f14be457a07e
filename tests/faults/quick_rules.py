"""The shipped rules of Prometheus, sixty times as fast: a minute of a rule is a second of a test.

`quick_rules` divides every time of a rule by 60: its `for`, its ranges, and its offsets. A range is at least 10 s long,
because a rate needs some scrapes, and a scrape comes every second. A threshold that a short test cannot reach, or that
is a time, is replaced as `THRESHOLDS` says. The expressions stay the same otherwise.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.services.cache import CHECKOUT

FASTER = 60
SHORTEST_RANGE_S = 10
RANGES_S = {"GavelRestarting": 45}
"""Alert → its range here: a process that is started again needs some seconds of a core until it is scraped."""
THRESHOLDS = {
    "GavelLagGrows": ("> 100000", "> 20"),
    "GavelBehind": ("> 300", "> 3"),
    "GavelSinkBehind": ("> 300", "> 5"),
    "GavelFrontierStalled": ("> 120", "> 5"),
    "GavelEvaluatorErrors": ("> 0.2", "> 0.01"),
    "GavelParkedTooOld": ("> 21600", "> 3"),
    "GavelDefinitionsOld": ("> 120", "> 4"),
    "GavelReportOverdue": ("> 1800", "> 5"),
    "GavelWindowsRestarting": ("> 10", "> 2"),
}
"""Alert → its threshold in the shipped rules, and here."""
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def quick_rules(free_disk: float) -> dict[str, Any]:
    """Return the content of the file of rules.

    Args:
        free_disk: the free share of the disk below which `GavelDiskFilling` fires.
    """
    content: dict[str, Any] = yaml.safe_load((CHECKOUT / "deploy/prometheus/alerts.yaml").read_text())
    for group in content["groups"]:
        for rule in group["rules"]:
            usual, quick = {**THRESHOLDS, "GavelDiskFilling": ("< 0.1", f"< {free_disk}")}.get(rule["alert"], ("", ""))
            assert usual in rule["expr"], f"{rule['alert']}: {usual} is not in its expression"
            expression = rule["expr"].replace(usual, quick) if usual else rule["expr"]
            rule["expr"] = _quick_ranges(expression, RANGES_S.get(rule["alert"], SHORTEST_RANGE_S))
            if "for" in rule:
                rule["for"] = f"{_seconds(rule['for']) / FASTER:.0f}s"
    return content


def alerts() -> set[str]:
    """Return the names of all alerts."""
    return {rule["alert"] for group in quick_rules(0.1)["groups"] for rule in group["rules"]}


def _quick_ranges(expression: str, shortest_s: int) -> str:
    def quick(found: re.Match[str]) -> str:
        seconds = max(shortest_s, _seconds(found[2]) // FASTER)
        return f"{found[1]}{seconds}s"

    return re.sub(r"(\[|\boffset )(\d+[smhd])", quick, expression)


def _seconds(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]]
