"""The text of a report from its figures alone: what stands when no model writes one, or when its text is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.evaluation_reports.figures import standing_out
from reports.evaluation_reports.numerals import interval, percent, points
from reports.evaluation_reports.trust import trust_sentences

Section = dict[str, str]


def plain_title(name: str, figures: Mapping[str, Any] | None) -> str:
    """Return the title of a report on the evaluation `name`."""
    rate = figures["versions"][0]["rate"] if figures and figures["versions"] else None
    return name if rate is None else f"{name}: {percent(rate['value'])} pass"


def plain_sections(figures: Mapping[str, Any] | None) -> list[Section]:
    """Return the sections; None: the figures could not be computed."""
    if figures is None:
        text = (
            "The figures could not be read from ClickHouse, so this report has none. It says nothing about the results."
        )
        return [{"title": "Figures are not available", "text": text}]
    if not figures["versions"]:
        return [{"title": "No results", "text": "The evaluation has no results in this period."}]
    sections = [{"title": "Results", "text": _results(figures)}]
    sections.extend(
        {"title": f"Version {version['version']}", "text": _version(version)} for version in figures["versions"]
    )
    return sections


def _results(figures: Mapping[str, Any]) -> str:
    counts = figures["counts"]
    parts = [
        f"{counts['results']:,} results: {counts['pass']:,} passed, {counts['fail']:,} failed,",
        f"{counts['not_applicable']:,} were not applicable, {counts['skipped']:,} were skipped.",
    ]
    if counts["scored"]:
        parts.append(f"{counts['scored']:,} have a score or categories and no passing rule.")
    if figures["skipped"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in figures["skipped"].items())
        parts.append(f"Reasons of skips: {reasons}.")
    if figures["cost"]["usd"] is not None:
        parts.append(f"The judges cost {figures['cost']['usd']:.2f} USD.")
    if len(figures["versions"]) > 1:
        parts.append("The evaluation was changed in this period, so each version has its own rate.")
    return " ".join(parts)


def _version(version: Mapping[str, Any]) -> str:
    parts: list[str] = []
    rate = version["rate"]
    if rate is None:
        parts.append("No result of this version passed or failed.")
    else:
        parts.append(f"{percent(rate['value'])} of {rate['decided']:,} decided results passed ({interval(rate)}).")
    parts.append(_change(version))
    parts.extend(trust_sentences(version))
    if version["scores"] is not None:
        parts.append(f"The mean score is {version['scores']['mean']:.3g}.")
    parts.extend(
        f"{each['dimension'].capitalize()} {each['value'] or '(none)'}: {percent(each['rate']['value'])} passed, "
        f"{points(each['against_rest']['value'])} against the rest."
        for each in standing_out(version)
    )
    if version["slices"] and not standing_out(version):
        parts.append("No model, prompt version or condition set differs from the rest by more than chance.")
    if version["latency"] is not None:
        latency = version["latency"]
        parts.append(f"A judge took {latency['p50_s']:.2f} s (median) and {latency['p95_s']:.2f} s (95th percentile).")
    return " ".join(part for part in parts if part)


def _change(version: Mapping[str, Any]) -> str:
    change = version["change"]
    if change is None:
        return "" if version["previous"] is not None else "This version has no results in the period before."
    if change["stands_out"]:
        return f"That is {points(change['value'])} against the period before, which is more than chance."
    return f"That is {points(change['value'])} against the period before, which chance explains."
