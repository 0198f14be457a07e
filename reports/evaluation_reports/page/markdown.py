"""The report as Markdown: the text of e-mails and of Slack messages, and what `gavel reports show` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.evaluation_reports.numerals import interval, percent, points
from reports.evaluation_reports.page.readable import one_line, readable
from reports.evaluation_reports.trust import TrustTable, trust_table

_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>#|~!"})


def render_markdown(content: Mapping[str, Any]) -> str:
    """Return the Markdown of a report's content. Texts of strangers are escaped, so they make no link and no image."""
    figures = content["figures"]
    period = figures["period"] if figures is not None else content["period"]
    lines = [f"# {_safe(content['title'])}", ""]
    lines += [f"{_safe(content['evaluation']['name'])}, {_moment(period['start'])} to {_moment(period['end'])} UTC", ""]
    for section in content["sections"]:
        lines += [f"## {_safe(section['title'])}", "", _text(section["text"], 4_000), ""]
    if figures is not None and figures["versions"]:
        lines += ["| version | decided | pass rate | 95 % interval | change |", "|---|---|---|---|---|"]
        lines += [_row(version) for version in figures["versions"]]
        lines.append("")
        lines += _trusted(trust_table(figures))
    examples = content["examples"]
    if examples is not None and examples["newest"]:
        lines += ["## Newest failures", ""]
        lines += [f"- {_safe(each['generation_id'])}: {_safe(each['reasoning'], 500)}" for each in examples["newest"]]
        lines.append("")
    return "\n".join(lines)


def _row(version: Mapping[str, Any]) -> str:
    rate, change = version["rate"], version["change"]
    cells = [str(version["version"])]
    if rate is None:
        cells += ["0", "–", "–"]
    else:
        cells += [f"{rate['decided']:,}", percent(rate["value"]), interval(rate).partition("interval ")[2]]
    if change is None:
        cells.append("–")
    else:
        cells.append(points(change["value"]) + ("" if change["stands_out"] else " (chance)"))
    return f"| {' | '.join(cells)} |"


def _trusted(table: TrustTable | None) -> list[str]:
    """Return the table of how far the judges can be believed; nothing where nobody labelled results."""
    if table is None:
        return []
    lines = ["## How far the judge can be believed", ""]
    if table.rows:
        lines += [f"| | {' | '.join(f'version {each}' for each in table.versions)} |"]
        lines += [f"|---|{'---|' * len(table.versions)}"]
        lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in table.rows.items()]
        lines.append("")
    for problem in table.problems:
        lines += [_safe(problem, 500), ""]
    return lines


def _moment(text: str) -> str:
    return text[:16].replace("T", " ")


def _safe(text: object, max_chars: int = 200) -> str:
    return one_line(text, max_chars).translate(_MARKS)


def _text(text: object, max_chars: int) -> str:
    return "\n".join(line.strip().translate(_MARKS) for line in readable(text, max_chars).splitlines())
