"""`gavel dlq`: look at dead letters, send them back, close them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.running import beside_or_exit
from cli.terminal import (
    EXIT_FAILED,
    ConfigOption,
    JsonOption,
    confirm,
    console,
    fail,
    parse_time,
    printable,
    progress,
    refuse_embedded_broker,
)

if TYPE_CHECKING:
    from rich.table import Table

    from config.settings import Settings
    from processor.dead_letters.redrive import DeadLetter, DeadLetterTopic, LetterFilter, Redriver

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
    letters = _find(settings, _selection(None, reason, evaluation, since, until))
    letters.sort(key=lambda letter: letter.failed_at, reverse=True)
    if as_json:
        for letter in letters[:limit]:
            typer.echo(json.dumps(letter.as_json()))
        return
    if not letters:
        typer.echo("No open dead letters.")
        return
    screen = console()
    screen.print(table_of(letters[:limit], screen.width))
    counts = Counter(letter.reason for letter in letters)
    shown = "" if len(letters) <= limit else f" ({limit} shown; --limit shows more)"
    typer.echo(f"{len(letters)} open{shown}: " + ", ".join(f"{n} {reason}" for reason, n in counts.most_common()))


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
    letters = _find(settings, _selection([letter_id], None, None, None, None))
    if not letters:
        fail(f"there is no open dead letter {letter_id}; `gavel dlq list` shows the open ones")
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
    letters = _find(settings, _selection(ids, reason, evaluation, since, until))
    if dry_run or not letters:
        _say(as_json, f"{len(letters)} would be redriven.", would_send=len(letters), sent=0, refused=[])
        return
    confirm(yes, f"Send {len(letters)} dead letters back?")
    from processor.dead_letters.redrive import RedriveError

    try:
        with progress("redriving", len(letters)) as advance:
            done = _redriver(settings).redrive(letters, on_sent=advance)
    except RedriveError as error:
        fail(str(error))
    refused = [{"id": letter.id, "problem": problem} for letter, problem in done.refused]
    text = "\n".join([f"{done.sent} redriven.", *(f"left {each['id']}: {each['problem']}" for each in refused)])
    _say(as_json, text, sent=done.sent, refused=refused)
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
    letters = _find(settings, _selection(ids, reason, evaluation, since, until))
    if dry_run or not letters:
        _say(as_json, f"{len(letters)} would be purged.", would_purge=len(letters), purged=0)
        return
    confirm(yes, f"Close {len(letters)} dead letters for good?")
    from processor.dead_letters.redrive import RedriveError

    try:
        purged = _redriver(settings).purge(letters)
    except RedriveError as error:
        fail(str(error))
    _say(as_json, f"{purged} purged.", purged=purged)


def _topic(settings: Settings) -> DeadLetterTopic:
    from processor.dead_letters.redrive import DeadLetterTopic
    from processor.kafka import KafkaClients

    refuse_embedded_broker(settings)
    return DeadLetterTopic(KafkaClients(settings).base("dlq"), settings.kafka.topics.dead_letters, timeout_s=15.0)


def _redriver(settings: Settings) -> Redriver:
    from processor.dead_letters.redrive import Redriver
    from processor.kafka import KafkaClients

    configuration = {
        **KafkaClients(settings).producer_config(),
        "transactional.id": settings.kafka.group("dlq-redrive"),
        "transaction.timeout.ms": int(settings.kafka.transaction_timeout_s * 1000),
    }
    topic = settings.kafka.topics.dead_letters
    return Redriver(configuration, _topic(settings), topic, max_attempts=settings.dead_letters.max_redrives)


def _find(settings: Settings, selection: LetterFilter) -> list[DeadLetter]:
    from processor.dead_letters.redrive import RedriveError

    try:
        with progress("reading dead letters") as advance:
            return _topic(settings).open_letters(selection, on_read=advance)
    except RedriveError as error:
        fail(str(error))


def _selection(
    ids: list[str] | None, reason: str | None, evaluation: str | None, since: str | None, until: str | None
) -> LetterFilter:
    from processor.dead_letters.redrive import LetterFilter

    return LetterFilter(
        ids=frozenset(ids) if ids else None,
        reason=reason,
        evaluation_id=evaluation,
        since=parse_time(since, "--since"),
        until=parse_time(until, "--until"),
    )


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
