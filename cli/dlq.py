"""`gavel dlq`: look at dead letters, send them back, close them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.running import beside_or_exit
from cli.terminal import (
    ConfigOption,
    JsonOption,
    confirm,
    console,
    fail,
    parse_time,
    printable,
    progress,
    refuse_embedded_broker,
    say,
)
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from rich.table import Table

    from config.settings import Settings
    from processor.dead_letters.redrive import Redriver
    from processor.dead_letters.stored import DeadLetter, LetterFilter, LetterRef
    from processor.dead_letters.topic import DeadLetterTopic, OpenLetters

Ids = Annotated[list[str] | None, typer.Argument(help="Letters by id (`partition:offset`); all open ones otherwise.")]
Reason = Annotated[str | None, typer.Option(help="decode, too_large, evaluator_bug, expired or sink_rejected.")]
Evaluation = Annotated[str | None, typer.Option(help="Only runs of this evaluation (id).")]
Since = Annotated[str | None, typer.Option(help="Only letters from this time on (ISO-8601; UTC by default).")]
Until = Annotated[str | None, typer.Option(help="Only letters before this time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the work and do nothing.")]


_BETWEEN_COLUMNS = 3
_LEAST_MESSAGE = 20
_SHOWN_BYTES = 4_000


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        name="dlq",
        no_args_is_help=True,
        help="Dead letters: records that could not be processed.",
    )
    group.command("list")(list_letters)
    group.command("show")(show)
    group.command("redrive")(redrive)
    group.command("purge")(purge)
    app.add_typer(group)


def list_letters(
    reason: Reason = None,
    evaluation: Evaluation = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show at the most.")] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List open dead letters, newest first.

    gavel dlq list --reason decode --since 2026-03-01
    """
    settings = beside_or_exit(config)
    found = _find(settings, _selection(None, reason, evaluation, since, until))
    letters = _read(settings, found.newest(limit), with_values=False)
    if as_json:
        for letter in letters:
            typer.echo(json.dumps(letter.as_json()))
        return
    if not letters:
        typer.echo("No open dead letters.")
        return
    screen = console()
    screen.print(table_of(letters, screen.width))
    counts = Counter(ref.reason for ref in found.refs)
    total = len(found.refs)
    shown = "" if total <= limit else f" ({limit} shown; --limit shows more)"
    typer.echo(f"{total} open{shown}: " + ", ".join(f"{n} {reason}" for reason, n in counts.most_common()))


def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="`partition:offset`, as `gavel dlq list` shows it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter with its headers and the beginning of its payload.

    \b
        gavel dlq show 0:17
    """
    settings = beside_or_exit(config)
    found = _find(settings, _selection([letter_id], None, None, None, None))
    letters = _read(settings, found.refs, with_values=True)
    if not letters:
        fail(f"there is no open dead letter {letter_id}; `gavel dlq list` shows the open ones", code=EXIT_USAGE)
    letter = letters[0]
    headers = [[name, _text(value)] for name, value in letter.headers]
    if as_json:
        typer.echo(json.dumps({**letter.as_json(), "headers": headers, "value": _text(letter.value)}))
        return
    for field, content in letter.as_json().items():
        typer.echo(f"{field:<14} {printable(str(content))}")
    typer.echo("headers")
    for name, header in headers:
        typer.echo(printable(f"  {name}: {header}"))
    if not letter.value:
        typer.echo("payload        left out: over the broker's limit, not redacted (ingest.redact), or empty")
        return
    typer.echo("payload")
    for line in (_text(letter.value[:_SHOWN_BYTES]) or "").splitlines():
        typer.echo(printable(line))


def redrive(
    ids: Ids = None,
    reason: Reason = None,
    evaluation: Evaluation = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters back to the topics that they came from, each once.

    A letter that has failed too often (dead_letters.max_redrives) stays, and so does an event that the front door
    refused.

    \b
        gavel dlq redrive --reason evaluator_bug --dry-run
        gavel dlq redrive 0:17 0:18 --yes
    """
    settings = beside_or_exit(config)
    found = _find(settings, _selection(ids, reason, evaluation, since, until))
    count = len(found.refs)
    if dry_run or not count:
        _say(as_json, f"{count} would be redriven.", would_send=count, sent=0, refused=[])
        return
    confirm(yes, f"Send {count} dead letters back?")
    from processor.dead_letters.redrive import RedriveStopped

    try:
        with progress("redriving", count) as advance:
            done = _redriver(settings).redrive(found.selection, on_sent=advance)
    except RedriveStopped as error:
        outcome = {"sent": error.done.sent, "refused": len(error.done.refused), "error": str(error)}
        _note(settings, "redriven", (ids, reason, evaluation, since, until), outcome)
        fail(str(error))
    refused = [{"id": name, "problem": problem} for name, problem in done.refused]
    outcome = {"sent": done.sent, "refused": len(refused)}
    _note(settings, "redriven", (ids, reason, evaluation, since, until), outcome)
    gone = count - done.sent - len(refused)
    lines = [f"{done.sent} redriven.", *_gone(gone), *(f"left {each['id']}: {each['problem']}" for each in refused)]
    _say(as_json, "\n".join(lines), sent=done.sent, refused=refused, gone=gone)
    if refused:
        raise typer.Exit(EXIT_FAILED)


def purge(
    ids: Ids = None,
    reason: Reason = None,
    evaluation: Evaluation = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close dead letters without sending them anywhere. Their records stay until the topic's retention.

    \b
        gavel dlq purge --reason decode --dry-run
    """
    settings = beside_or_exit(config)
    found = _find(settings, _selection(ids, reason, evaluation, since, until))
    count = len(found.refs)
    if dry_run or not count:
        _say(as_json, f"{count} would be purged.", would_purge=count, purged=0)
        return
    confirm(yes, f"Close {count} dead letters for good?")
    from processor.dead_letters.redrive import RedriveStopped

    try:
        purged = _redriver(settings).purge(found.selection)
    except RedriveStopped as error:
        outcome = {"purged": error.done.sent, "error": str(error)}
        _note(settings, "purged", (ids, reason, evaluation, since, until), outcome)
        fail(str(error))
    _note(settings, "purged", (ids, reason, evaluation, since, until), {"purged": purged})
    _say(as_json, "\n".join([f"{purged} purged.", *_gone(count - purged)]), purged=purged, gone=count - purged)


def _gone(count: int) -> list[str]:
    """Return the line about letters that were redriven, purged or removed between the question and the answer."""
    return [f"{count} were closed by somebody else meanwhile."] if count else []


def _topic(settings: Settings) -> DeadLetterTopic:
    from processor.dead_letters.topic import DeadLetterTopic
    from processor.kafka import KafkaClients

    refuse_embedded_broker(settings)
    return DeadLetterTopic(KafkaClients(settings).base("dlq"), settings.kafka.topics.dead_letters, timeout_s=15.0)


def _redriver(settings: Settings) -> Redriver:
    from processor.dead_letters.redrive import open_redriver
    from processor.kafka import KafkaClients

    return open_redriver(settings, KafkaClients(settings), _topic(settings))


def _find(settings: Settings, selection: LetterFilter) -> OpenLetters:
    from processor.dead_letters.topic import RedriveError

    try:
        with progress("reading dead letters") as advance:
            return _topic(settings).find(selection, on_read=advance)
    except RedriveError as error:
        fail(str(error))


def _read(settings: Settings, refs: Sequence[LetterRef], *, with_values: bool) -> list[DeadLetter]:
    from processor.dead_letters.topic import RedriveError

    try:
        return _topic(settings).read(refs, with_values=with_values)
    except RedriveError as error:
        fail(str(error))


def _selection(
    ids: list[str] | None, reason: str | None, evaluation: str | None, since: str | None, until: str | None
) -> LetterFilter:
    from processor.dead_letters.stored import LetterFilter

    return LetterFilter(
        ids=frozenset(ids) if ids else None,
        reason=reason,
        evaluation_id=evaluation,
        since=parse_time(since, "--since"),
        until=parse_time(until, "--until"),
    )


def _note(
    settings: Settings,
    action: str,
    chosen: tuple[list[str] | None, str | None, str | None, str | None, str | None],
    outcome: dict[str, Any],
) -> None:
    """Put a change into the audit trail. The letters are changed by now, so a missing store is only a warning."""
    from cli.status import missing_store
    from storage.sql.audit import record_letters
    from storage.sql.engine import StoreError, open_store

    problem = missing_store(settings)
    if problem is None:
        names = ("ids", "reason", "evaluation", "since", "until")
        try:
            with closing(open_store(settings)) as database:
                record_letters(
                    database, action, chosen=dict(zip(names, chosen, strict=True)), outcome=outcome, actor="cli",
                    at=datetime.now(UTC),
                )  # fmt: skip
        except StoreError as error:
            problem = str(error)
    if problem is not None:
        say(f"warning: the audit trail has no entry about this, because {problem}")


def _say(as_json: bool, text: str, **fields: Any) -> None:
    typer.echo(json.dumps(fields) if as_json else text)


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def table_of(letters: Iterable[DeadLetter], width: int) -> Table:
    """Return a table with one line per letter for a screen of `width`; `gavel dlq show` has the other fields."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    names = ("Id", "Failed at", "Reason", "Tries", "Message")
    rows = [
        (each.id, f"{each.failed_at:%Y-%m-%d %H:%M:%S}", each.reason, str(each.attempts), printable(each.message))
        for each in letters
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    left = width - _BETWEEN_COLUMNS
    for name, *cells in zip(names, *rows, strict=True):
        needed = max(map(len, (name, *cells)))
        # The message gets the rest of the line, because rich would drop other columns to show it whole.
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=min(needed, max(left, _LEAST_MESSAGE)))
        left -= needed + _BETWEEN_COLUMNS
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table
