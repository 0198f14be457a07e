"""How far a judge can be believed: agreement, the corrected rate, measurements, and comparisons of versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from starlette.responses import RedirectResponse, Response, StreamingResponse

from api.services import trust_desk
from api.services.definitions import find, versions_of
from api.services.trust.warnings import TEXTS
from api.services.verdicts import passing_means
from console import commands
from console.charts.drift import Level, drift_chart
from console.flips import as_csv, as_jsonl
from console.pages.panels import Panel, panels_of
from console.pages.registry import Page, post
from console.render import fragment, page
from console.visit import Visit, read_number

_FLIPS = 50


def show(visit: Visit) -> Response:
    """Show the page; the figures come as a panel, because they take a second where there are many labels."""
    return _shown(visit, dry=None, asked={})


def _shown(visit: Visit, *, dry: object, asked: dict[str, Any]) -> Response:
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    versions = versions_of(visit.services, visit.reader.key, evaluation.id)
    version, by = read_number(visit.query("version")) or evaluation.version, visit.query("slice")
    strategy = trust_desk.strategy_of(visit.services, evaluation, version)
    of, state = {"evaluation": evaluation.id}, {"version": str(version), **visit.state(visit.asked)}
    panels = [Panel("figures", "figures of trust", _FIGURES, of, {"slice": by, **state})]
    if strategy is not None and strategy.kind != "single":
        panels.append(Panel("steps", "steps", _STEPS, of, state))
    return page(
        visit,
        "trust.html",
        panels=panels_of(visit, *panels),
        evaluation=evaluation,
        versions=[each.version for each in versions],
        version=version,
        period=visit.period("30d"),
        by=by,
        strategy=strategy,
        runs=trust_desk.runs_of(visit.services, evaluation),
        comparisons=trust_desk.comparisons_of(visit.services, evaluation),
        golden=trust_desk.golden_choices(visit.services, evaluation),
        dry=dry,
        asked=asked,
        done=visit.notice("done"),
    )


def show_figures(visit: Visit) -> Response:
    """Show agreement and the corrected rate of one version."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period = visit.period("30d")
    found = trust_desk.trust_of(
        visit.services,
        visit.reader.key,
        evaluation,
        version=read_number(visit.query("version")),
        start=period.start,
        end=period.end,
        by=visit.query("slice"),
    )
    runs = trust_desk.drift_runs(visit.services, evaluation, found.version)
    return fragment(
        visit,
        "trust_part.html",
        trust=found,
        drift=_drift_chart(visit, runs),
        drift_runs=runs,
        warnings=[TEXTS[each] for each in found.warnings],
        passing=passing_means(evaluation.output_config),
        evaluation=evaluation,
    )


def _drift_chart(visit: Visit, runs: Sequence[Any]) -> Markup | None:
    """Return the drift statistic over the runs of the anchors, or None without a run that counts."""
    if not runs:
        return None
    levels = [Level(value, name) for value, name in trust_desk.DRIFT_LEVELS]
    words = ", ".join(f"{each.name} from {each.value:g} on" for each in levels)
    places = [(visit.zone.local(each.ended_at), each.statistic) for each in runs]
    return drift_chart(places, levels, description=f"Over the runs of the anchors; {words}.")


def show_steps(visit: Visit) -> Response:
    """Show how the models of a version judge together, and what each threshold of a cascade would do."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    period = visit.period("30d")
    version = read_number(visit.query("version")) or evaluation.version
    strategy = trust_desk.strategy_of(visit.services, evaluation, version)
    cascade = None
    if strategy is not None and strategy.kind == "cascade":
        cascade = trust_desk.cascade_of(visit.services, evaluation, version=version, start=period.start, end=period.end)
    return fragment(visit, "trust_steps.html", evaluation=evaluation, strategy=strategy, cascade=cascade)


def start(visit: Visit) -> Response:
    """Show what a measurement or a comparison would cost, or start it."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    kind = visit.field("kind")
    names = ("version_a", "version_b", "size") if kind == "comparison" else ("kind", "version", "size", "repeats")
    given = {name: visit.field(name) for name in (*names, "golden")}
    golden, _, number = given["golden"].partition(":")
    source = {"golden_set": golden, "golden_set_version": read_number(number)} if golden else {}
    fields: dict[str, Any] = {name: read_number(given[name]) if name != "kind" else kind for name in names} | source
    if kind == "comparison" and golden:
        fields["source"] = "golden_set"
    fields["dry_run"] = visit.field("action") != "start"
    begin = trust_desk.start_comparison if kind == "comparison" else trust_desk.start_run
    made: Any = begin(visit.services, visit.reader.key, evaluation, fields)
    if fields["dry_run"]:
        return _shown(visit, dry=made, asked={**given, "kind": kind})
    place = f"comparisons/{made.id}/" if kind == "comparison" else f"trust/{made.id}/"
    return RedirectResponse(visit.link(f"evaluations/{evaluation.id}/{place}"), 303)


def cancel(visit: Visit) -> Response:
    """Cancel a measurement or a comparison."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    state = trust_desk.cancel(visit.services, visit.reader.key, evaluation, visit.path["run"])
    done = f"The measurement is {state}."
    return RedirectResponse(visit.link(f"evaluations/{evaluation.id}/trust/", done=done), 303)


def show_run(visit: Visit) -> Response:
    """Show one measurement."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    run = trust_desk.run_of(visit.services, evaluation, visit.path["run"])
    return page(visit, "measurement.html", evaluation=evaluation, run=run)


def show_comparison(visit: Visit) -> Response:
    """Show one comparison with the conversations on which the versions disagree."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    run = trust_desk.comparison_of(visit.services, evaluation, visit.path["run"])
    flips = trust_desk.flips_of(visit.services, evaluation, visit.path["run"])
    first = min(read_number(visit.query("from_flip")) or 0, len(flips))
    return page(
        visit,
        "comparison.html",
        evaluation=evaluation,
        run=run,
        outcome=run.outcome,
        flips=flips[first : first + _FLIPS],
        first=first,
        more=max(0, len(flips) - first - _FLIPS),
        step=_FLIPS,
        commands=[
            commands.gavel(visit, "compare", evaluation.id, str(run.version_a), str(run.version_b), "--json"),
            commands.curl(visit, f"evaluations/{evaluation.id}/comparisons/{run.id}/flips/"),
        ],
    )


def export_flips(visit: Visit) -> Response:
    """Send the conversations on which the versions disagree as a file."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    flips = trust_desk.flips_of(visit.services, evaluation, visit.path["run"])
    form = visit.choice("format", ("csv", "jsonl"), "csv")
    lines, kind = (
        (as_csv(flips), "text/csv; charset=utf-8") if form == "csv" else (as_jsonl(flips), "application/x-ndjson")
    )
    headers = {"Content-Disposition": f'attachment; filename="flips.{form}"'}
    return StreamingResponse(lines, media_type=kind, headers=headers)


_READ, _WRITE = "evaluation:read", "evaluation:write"
_BASE = "{team}/evaluations/{evaluation}/"
_FIGURES = Page(_BASE + "trust/figures/", show_figures, _READ)
_STEPS = Page(_BASE + "trust/steps/", show_steps, _READ)
PAGES = (
    Page(_BASE + "trust/", show, _READ),
    post(_BASE + "trust/", start, _WRITE, slow=()),
    _FIGURES,
    _STEPS,
    Page(_BASE + "trust/{run}/", show_run, _READ),
    post(_BASE + "trust/{run}/cancel/", cancel, _WRITE),
    Page(_BASE + "comparisons/{run}/", show_comparison, _READ),
    Page(_BASE + "comparisons/{run}/flips/", export_flips, _READ),
)
