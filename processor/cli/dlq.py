"""`gavel dlq`: look at dead letters, send them back, close them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processor.cli.run import EXIT_FAILED, EXIT_USAGE, ConfigOption, JsonOption, settings_or_exit

if TYPE_CHECKING:
    from config.settings import Settings
    from processor.redrive import DeadLetter, DeadLetterTopic, Redriver, Selection

Ids = Annotated[list[str] | None, typer.Argument(help="Letters by id (`partition:offset`); all open ones otherwise.")]
Reason = Annotated[str | None, typer.Option(help="decode, too_large, evaluator_bug, expired or sink_rejected.")]
Evaluation = Annotated[str | None, typer.Option(help="Only runs of this evaluation (id).")]
Since = Annotated[str | None, typer.Option(help="Only letters from this time on (ISO-8601; UTC by default).")]
Until = Annotated[str | None, typer.Option(help="Only letters before this time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done and do nothing.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        name="dlq", no_args_is_help=True, help="Dead letters: what could not be processed, with its original bytes."
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
    settings = settings_or_exit(config)
    letters = _find(settings, _selection(None, reason, evaluation, since, until))
    letters.sort(key=lambda letter: letter.failed_at, reverse=True)
    if as_json:
        for letter in letters[:limit]:
            typer.echo(json.dumps(letter.as_json()))
        return
    if not letters:
        typer.echo("No open dead letters.")
        return
    _print_table(letters[:limit])
    counts = Counter(letter.reason for letter in letters)
    shown = "" if len(letters) <= limit else f" ({limit} shown; --limit shows more)"
    typer.echo(f"{len(letters)} open{shown}: " + ", ".join(f"{n} {reason}" for reason, n in counts.most_common()))


def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="`partition:offset`, as `gavel dlq list` shows it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter with its headers and the beginning of its payload."""
    settings = settings_or_exit(config)
    letters = _find(settings, _selection([letter_id], None, None, None, None))
    if not letters:
        typer.echo(f"gavel: no open dead letter {letter_id}; `gavel dlq list` shows them", err=True)
        raise typer.Exit(EXIT_FAILED)
    letter = letters[0]
    headers = [[name, _text(value)] for name, value in letter.headers]
    if as_json:
        typer.echo(json.dumps({**letter.as_json(), "headers": headers, "value": _text(letter.value)}))
        return
    for field, content in letter.as_json().items():
        typer.echo(f"{field:<14} {content}")
    typer.echo("headers")
    for name, header in headers:
        typer.echo(f"  {name}: {header}")
    typer.echo("payload" if letter.value is not None else "payload        left out: over the broker's limit, or none")
    if letter.value is not None:
        typer.echo(_text(letter.value[:4000]))


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
    """Send dead letters back to where they came from, each once.

    A letter that has failed too often (dead_letters.max_redrives) stays.

        gavel dlq redrive --reason evaluator_bug --dry-run
        gavel dlq redrive 0:17 0:18 --yes
    """
    settings = settings_or_exit(config)
    letters = _find(settings, _selection(ids, reason, evaluation, since, until))
    if dry_run or not letters:
        _say(as_json, f"{len(letters)} would be redriven.", would_send=len(letters), sent=0, refused=[])
        return
    _ask(yes, f"Send {len(letters)} dead letters back?")
    from processor.redrive import RedriveError

    try:
        with _progress("redriving", len(letters)) as advance:
            done = _redriver(settings).redrive(letters, on_sent=advance)
    except RedriveError as error:
        typer.echo(f"gavel: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
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
    """Close dead letters without sending them anywhere. Their records stay until the topic's retention."""
    settings = settings_or_exit(config)
    letters = _find(settings, _selection(ids, reason, evaluation, since, until))
    if dry_run or not letters:
        _say(as_json, f"{len(letters)} would be purged.", would_purge=len(letters), purged=0)
        return
    _ask(yes, f"Close {len(letters)} dead letters for good?")
    from processor.redrive import RedriveError

    try:
        purged = _redriver(settings).purge(letters)
    except RedriveError as error:
        typer.echo(f"gavel: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    _say(as_json, f"{purged} purged.", purged=purged)


def _topic(settings: Settings) -> DeadLetterTopic:
    from processor.kafka import KafkaClients
    from processor.redrive import DeadLetterTopic

    if settings.kafka.is_embedded:
        typer.echo("gavel: the embedded broker lives in another process; set GAVEL_KAFKA__BOOTSTRAP_SERVERS", err=True)
        raise typer.Exit(EXIT_USAGE)
    return DeadLetterTopic(KafkaClients(settings).base("dlq"), settings.kafka.topics.dead_letters, timeout_s=15.0)


def _redriver(settings: Settings) -> Redriver:
    from processor.kafka import KafkaClients
    from processor.redrive import Redriver

    configuration = {
        **KafkaClients(settings).producer_config(),
        "transactional.id": settings.kafka.group("dlq-redrive"),
        "transaction.timeout.ms": int(settings.kafka.transaction_timeout_s * 1000),
    }
    topic = settings.kafka.topics.dead_letters
    return Redriver(configuration, _topic(settings), topic, max_attempts=settings.dead_letters.max_redrives)


def _find(settings: Settings, selection: Selection) -> list[DeadLetter]:
    from processor.redrive import RedriveError

    try:
        with _progress("reading dead letters", None) as advance:
            return _topic(settings).open_letters(selection, on_read=advance)
    except RedriveError as error:
        typer.echo(f"gavel: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None


def _selection(
    ids: list[str] | None, reason: str | None, evaluation: str | None, since: str | None, until: str | None
) -> Selection:
    from processor.redrive import Selection

    return Selection(
        ids=frozenset(ids) if ids else None,
        reason=reason,
        evaluation_id=evaluation,
        since=parse_time(since, "--since"),
        until=parse_time(until, "--until"),
    )


def parse_time(text: str | None, option: str) -> datetime | None:
    """Return the aware time of an option, UTC unless it says otherwise; exit with 2 if it is none."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        typer.echo(f"gavel: {option}: {text!r} is no ISO-8601 time; write 2026-03-01 or 2026-03-01T10:00:00Z", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _ask(yes: bool, question: str) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        typer.echo("gavel: not a terminal; add --yes to go on without being asked", err=True)
        raise typer.Exit(EXIT_USAGE)
    typer.confirm(question, abort=True)


def _say(as_json: bool, text: str, **fields: Any) -> None:
    typer.echo(json.dumps(fields) if as_json else text)


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Any]:
    """Yield a callable that moves a progress bar on stderr: with records done, and the total if not known before."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)

        def advance(done: int, of: int | None = None) -> None:
            bar.update(task, completed=done, total=of if of is not None else total)

        yield advance


def _print_table(letters: list[DeadLetter]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "failed at", "reason", "stage", "from", "attempts", "evaluation", "message")
    for letter in letters:
        source = f"{letter.source_topic}[{letter.source_partition}]@{letter.source_offset}"
        table.add_row(
            letter.id,
            f"{letter.failed_at:%Y-%m-%d %H:%M:%S}",
            letter.reason,
            letter.stage,
            source,
            str(letter.attempts),
            letter.evaluation_id or "",
            letter.message,
        )
    Console().print(table)
