"""The table of `gavel trust show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.terminal import console, plural, printable

if TYPE_CHECKING:
    from api.schemas.anchors import DriftShown
    from api.schemas.trust import CanariesShown, CorrectedRate, Figure, Trust

_ADVICE = {
    "too_few": "label more results of this window",
    "judge_no_better_than_chance": "the judge is not better than a guess; improve its criteria or its model",
    "inconsistent": "the labels contradict the window; label results of the window itself",
    "not_transportable": "the judge errs otherwise in this window; label results of the window itself",
    "other_version": "no labelled generation was judged by this version; run a backfill or label new results",
}
_DRIFT_ADVICE = {
    "judge_moved": "a change of the pass rate since then is not the product's; look at the flips, then acknowledge",
    "product_moved": "the judge answers as before, so the product or its traffic has changed",
    "undecided": "the live rate has shifted and the anchors do not tell yet; they run again at once",
}


def print_canaries(found: CanariesShown) -> None:
    """Print how the attacks on a judge went."""
    share = found.rate
    rate = "" if share.value is None else f", {share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"
    typer.echo(
        f"{found.succeeded} of {plural(found.attacks, 'attack')} succeeded{rate}; {found.not_counted} not counted"
    )
    for each in found.successes:
        typer.echo(f"  {each.attack} in {each.place}: {each.item}")


def print_trust(name: str, shown: Trust) -> None:
    """Print the figures of one version."""
    from rich.table import Table

    from api.services.trust.warnings import TEXTS

    found = shown.agreement
    typer.echo(
        f"{printable(name)}, version {shown.version}, {shown.window_start:%Y-%m-%d} to {shown.window_end:%Y-%m-%d}"
    )
    typer.echo(
        f"{plural(shown.labels, 'label')}, {plural(found.pairs, 'pair')} ({found.random} random, {found.stratified} "
        f"stratified, {found.unsampled} unsampled), {found.unanswered} unanswered, {found.unresolved} tied"
    )
    if found.weighting:
        typer.echo(f"The figures are {found.weighting}.")
    table = Table("figure", "value", "95 %")
    for label, each in _figures(shown):
        table.add_row(label, *_cells(each))
    console().print(table)
    _print_word(shown)
    _print_corrected(shown.corrected)
    for part in found.slices:
        adjusted = "" if part.p is None else f", p {part.p:.3g}"
        accuracy = " ".join(_cells(part.accuracy))
        typer.echo(f"  {printable(part.name) or '(none)'}: {plural(part.pairs, 'pair')}, accuracy {accuracy}{adjusted}")
    between = shown.between_labellers
    if between.alpha is not None:
        typer.echo(f"between labellers: alpha {between.alpha:.2f} over {plural(between.items, 'item')}")
    if shown.consistency is not None and shown.consistency.flip_rate is not None:
        typer.echo(
            f"consistency: flip rate {shown.consistency.flip_rate:.3f} over {plural(shown.consistency.items, 'item')}"
        )
    if shown.drift is not None:
        print_drift(shown.drift)
    for warning in shown.warnings:
        typer.echo(f"warning: {TEXTS[warning]}")


def print_drift(drift: DriftShown) -> None:
    """Print who moved, in one line or a few."""
    if drift.answer == "collecting":
        typer.echo("drift: the baseline is not complete yet; five runs of the anchors give it")
        return
    found = f"statistic {drift.statistic:.4g}" if drift.statistic is not None else "no run yet"
    flips = "" if drift.flips is None else f", {drift.flips} of {drift.anchors} anchors flipped in the newest run"
    typer.echo(f"drift: {drift.answer} ({found} after {plural(drift.runs, 'run')}{flips})")
    if drift.flips:
        typer.echo(f"  {drift.to_fail} from pass to fail, {drift.to_pass} from fail to pass")
    before, now = drift.agreement_before, drift.agreement_now
    if before is not None and now is not None and before.labelled and now.labelled:
        typer.echo(
            f"  agreement with labels: {before.agreed} of {before.labelled} before, {now.agreed} of {now.labelled} now"
        )
    if drift.answer in _DRIFT_ADVICE:
        typer.echo(f"  {_DRIFT_ADVICE[drift.answer]}")


def _figures(shown: Trust) -> list[tuple[str, Figure]]:
    found = shown.agreement
    rows: list[tuple[str, Figure]] = []
    for part, names in (
        (
            found.pass_fail,
            ("accuracy", "sensitivity", "specificity", "precision_pass", "precision_fail", "kappa", "ac1"),
        ),
        (found.scores, ("mae", "bias", "spearman")),
        (found.classes, ("accuracy", "kappa", "ac1")),
    ):
        if part is not None:
            rows += [(name.replace("_", " "), getattr(part, name)) for name in names]
    return rows


def _cells(each: Figure) -> tuple[str, str]:
    if each.too_few is not None:
        return f"{plural(each.too_few, 'label')} missing", ""
    if each.value is None:
        return "not defined", ""
    return f"{each.value:.3f}", "" if each.low is None else f"[{each.low:.3f}, {each.high:.3f}]"


def _print_word(shown: Trust) -> None:
    part = shown.agreement.pass_fail or shown.agreement.classes
    if part is not None and part.word is not None:
        typer.echo(f"agreement: {part.word} (by {part.headline})")


def _print_corrected(corrected: CorrectedRate) -> None:
    raw = "none" if corrected.raw.value is None else f"{corrected.raw.value:.3f}"
    if corrected.refused is not None:
        missing = ", ".join(f"{count} {name}" for name, count in corrected.missing.items())
        lacking = f" (missing: {missing})" if missing else ""
        typer.echo(f"raw rate {raw}; no corrected rate: {corrected.refused}{lacking}; {_ADVICE[corrected.refused]}")
        return
    value, bounds = (f"{corrected.value:.3f}", f"[{corrected.low:.3f}, {corrected.high:.3f}]")
    typer.echo(f"raw rate {raw}; corrected {value} {bounds} by {corrected.method}")
