"""The report as one self-contained page: no script, no network, and a policy that forbids both."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from reports.evaluation_reports.figures import standing_out
from reports.evaluation_reports.numerals import percent, points
from reports.evaluation_reports.page.plots import failures_by_slice, rate_over_time, score_distribution
from reports.evaluation_reports.page.readable import one_line, readable
from reports.evaluation_reports.trust import trust_table

_FOLDER = Path(__file__).parent


def render_html(content: Mapping[str, Any]) -> str:
    """Return the page of a report's content. It takes time linear in the parts that it shows, which are bounded."""
    figures = content["figures"]
    plots: dict[str, Any] = {"rate": Markup(), "versions": []}
    if figures is not None:
        plots["rate"] = rate_over_time(figures)
        plots["versions"] = [
            {
                "version": version,
                "stands_out": standing_out(version),
                "scores": score_distribution(version, figures["score_bounds"]),
                "slices": failures_by_slice(version),
            }
            for version in figures["versions"]
        ]
    return _template().render(
        content=content,
        figures=figures,
        trust=trust_table(figures),
        plots=plots,
        style=Markup(_style()),  # noqa: S704  # a file of this package
        policy=Markup(page_policy()),  # noqa: S704  # made here
    )


@cache
def page_policy() -> str:
    """Return the Content-Security-Policy of every page: its own style, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _style() -> str:
    return (_FOLDER / "report.css").read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "readable": readable,
        "one_line": one_line,
        "percent": percent,
        "points": points,
        "count": lambda value: f"{value:,}",
        "moment": lambda text: text[:16].replace("T", " "),
    }
    return environment.from_string((_FOLDER / "report.html").read_text(encoding="utf-8"))
