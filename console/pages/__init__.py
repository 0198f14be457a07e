"""One module per page or per group of pages; `PAGES` has all that need a session."""

from __future__ import annotations

from console.pages import (
    datasets,
    editor,
    evaluation,
    evaluations,
    generation,
    golden_sets,
    labels,
    operations,
    overview,
    reports,
    results,
    team_lists,
    trust,
    versions,
)
from console.pages.registry import Page

PAGES: tuple[Page, ...] = (
    *operations.PAGES,
    *overview.PAGES,
    *team_lists.PAGES,
    *datasets.PAGES,
    *editor.PAGES,
    *evaluations.PAGES,
    *results.PAGES,
    *versions.PAGES,
    *evaluation.PAGES,
    *generation.PAGES,
    *labels.PAGES,
    *golden_sets.PAGES,
    *reports.PAGES,
    *trust.PAGES,
)
