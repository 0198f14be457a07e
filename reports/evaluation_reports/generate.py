"""The content of one run: figures first, then examples, then a text that is held to the figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from config.definitions import Evaluation
from reports.evaluation_reports.cells import ReportPeriod, count_until, read_cells, read_latencies, read_shape
from reports.evaluation_reports.examples import make_examples, sample_failures
from reports.evaluation_reports.figures import make_figures
from reports.evaluation_reports.plain import plain_sections, plain_title
from reports.evaluation_reports.prose import Prose, ProseWriter
from reports.evaluation_reports.trust import TrustOf
from storage.clickhouse import ClickHouseProblem, connect
from storage.clickhouse.query import PassRule
from storage.sql.evaluation_report_runs import ReportRun
from storage.sql.evaluation_reports import EvaluationReport

if TYPE_CHECKING:
    from datetime import datetime

    from clickhouse_connect.driver.client import Client

Content = dict[str, Any]
"""JSON of a report: `title`, `sections`, `figures` (or `metrics_unavailable`), `examples`, `written_by`."""


class FiguresUnavailable(RuntimeError):
    """ClickHouse did not answer a query of the figures."""


class Generator:
    """Makes the content of runs, and counts results. It opens one client of ClickHouse per call.

    Args:
        dsn: of ClickHouse.
        prose: writes texts; None writes none.
        trust: says how far the judge of a version can be believed; None leaves that out.
    """

    def __init__(
        self,
        dsn: str,
        prose: ProseWriter | None,
        *,
        trust: TrustOf | None = None,
        open_client: Callable[[str], Client] = connect,
    ) -> None:
        self._dsn = dsn
        self._prose = prose
        self._trust = trust
        self._open = open_client
        self._log = structlog.get_logger("gavel.reports")

    def count(self, report: EvaluationReport, start: datetime, end: datetime, enough: int) -> int:
        """Return how many results that were not skipped a report's evaluation has, up to `enough`.

        Raises:
            FiguresUnavailable: ClickHouse does not answer.
        """
        try:
            with closing(self._open(self._dsn)) as client:
                return count_until(client, report.team_id, report.evaluation_id, start, end, enough)
        except (ClickHouseProblem, ClickHouseError, OSError) as error:
            raise FiguresUnavailable(_reason(error)) from error

    def content(self, run: ReportRun, report: EvaluationReport, evaluation: Evaluation) -> Content:
        """Return the content of a run.

        Raises:
            FiguresUnavailable: ClickHouse does not answer.
        """
        found = self._figures(run, report, evaluation)
        guidance = report.report_prompt_guidance
        decided = any(version["rate"] is not None for version in found["figures"]["versions"])
        prose = self._prose.write(evaluation, found, guidance) if self._prose is not None and decided else Prose()
        if prose.problem:
            self._log.info("report_without_prose", run=run.id, team=run.team_id, reason=prose.problem)
        figures = found["figures"]
        return {
            "evaluation": _shown(evaluation),
            "title": prose.title or plain_title(evaluation.name, figures),
            "sections": list(prose.sections) or plain_sections(figures),
            "metrics_unavailable": False,
            **found,
            "written_by": {name: value for name, value in asdict(prose).items() if name not in ("title", "sections")},
        }

    def _figures(self, run: ReportRun, report: EvaluationReport, evaluation: Evaluation) -> Content:
        period = ReportPeriod(run.period_start, run.period_end)
        where = (run.team_id, run.evaluation_id, period)
        rule = PassRule.of(evaluation.output_config)
        try:
            with closing(self._open(self._dsn)) as client:
                shape = read_shape(client, *where)
                cells = read_cells(client, *where, shape, rule)
                latencies = read_latencies(client, *where)
                failures = sample_failures(client, *where, rule, limit=report.max_sample_size)
        except (ClickHouseProblem, ClickHouseError, OSError) as error:
            raise FiguresUnavailable(_reason(error)) from error
        figures = make_figures(cells, latencies, shape, period)
        if self._trust is not None:
            for version in figures["versions"]:
                version["trust"] = self._trust(evaluation, version["version"], version["fingerprint"], period)
        return {"figures": figures, "examples": make_examples(failures)}


def content_without_figures(run: ReportRun, evaluation: Evaluation) -> Content:
    """Return the content of a run whose figures could not be read: it has none, rather than zeros."""
    return {
        "evaluation": _shown(evaluation),
        "title": f"{evaluation.name}: figures are not available",
        "sections": plain_sections(None),
        "metrics_unavailable": True,
        "figures": None,
        "examples": None,
        "period": {"start": run.period_start.isoformat(), "end": run.period_end.isoformat()},
        "written_by": None,
    }


def _shown(evaluation: Evaluation) -> dict[str, Any]:
    return {"id": str(evaluation.id), "name": evaluation.name, "version": evaluation.version}


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
