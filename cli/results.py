"""`gavel results`: stored verdicts, verdicts as they happen, and exports."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from cli.clickhouse import connected
from cli.evaluations import find_or_exit
from cli.outputs import written_or_exit
from cli.running import beside_or_exit
from cli.terminal import ConfigOption, JsonOption, fail, opened_store, parse_time, refuse_embedded_broker, say
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from cli.verdicts import VerdictLine
    from config.settings import Settings
    from processor.events.output import Headers
    from storage.clickhouse.query import ConfidenceRange, VerdictRule
    from storage.clickhouse.results import ResultSelection
    from storage.sql.engine import Database

_FORMATS = ("csv", "jsonl", "parquet")
_BACK = 200
"""Records of each partition that `--follow` begins with; those that are in ClickHouse already are not shown again."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("results")(results)


def results(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with verdicts as they happen.")] = False,
    evaluation: Annotated[str | None, typer.Option("--evaluation", help="Id or exact name of an evaluation.")] = None,
    failing: Annotated[bool, typer.Option("--failing", help="Only verdicts that fail.")] = False,
    min_confidence: Annotated[
        float | None,
        typer.Option("--min-confidence", help="Only where the judge is at least so sure, 0 to 1."),
    ] = None,
    max_confidence: Annotated[
        float | None, typer.Option("--max-confidence", help="Only where the judge is at most so sure.")
    ] = None,
    team: Annotated[int, typer.Option("--team", min=0, max=2**63 - 1, help="Team that the results belong to.")] = 1,
    since: Annotated[str | None, typer.Option("--since", help="Only from this time on (ISO-8601; UTC).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only before this time.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, max=1_000_000, help="Newest verdicts to show.")] = 20,
    export: Annotated[str | None, typer.Option("--export", help="Write all as csv, jsonl or parquet.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File of --export; standard output otherwise.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show verdicts, oldest first: the newest ones, and with --follow each one as it happens.

    It works beside a running `gavel up`, and against servers.

    \b
        gavel results --follow --failing
        gavel results --evaluation "No refusal" --limit 100
        gavel results --since 2026-03-01 --export parquet -o march.parquet
    """
    from storage.clickhouse.results import ResultSelection
    from storage.sql.evaluations import Evaluations

    if export is not None and export not in _FORMATS:
        fail(f"--export: {export!r} is not a format; choose {', '.join(_FORMATS)}", code=EXIT_USAGE)
    if export is not None and follow:
        fail("--export ends, and --follow does not; leave one of both out", code=EXIT_USAGE)
    if export == "parquet" and output is None and sys.stdout.isatty():
        fail("--export parquet writes bytes; name a file with --output", code=EXIT_USAGE)
    confidence = _confidence(min_confidence, max_confidence)
    settings = beside_or_exit(config)
    if follow:
        refuse_embedded_broker(settings)
    after, before = parse_time(since, "--since"), parse_time(until, "--until")
    with opened_store(settings) as database:
        chosen = None if evaluation is None else find_or_exit(Evaluations(database).each(team), evaluation).id
        selection = ResultSelection(team, evaluation_id=chosen, after=after, before=before, confidence=confidence)
        with connected(settings) as client:
            if export is not None:
                _export(client, database, selection, export, output, failing=failing)
                return
            shown = _stored(client, database, selection, limit, failing=failing)
            _print(shown, as_json=as_json)
            if follow:
                unseen = partial(was_stored_since, shown=shown, full=len(shown) == limit)
                _follow(settings, client, database, selection, unseen, failing=failing, as_json=as_json)
            elif not shown and not as_json:
                say("there is no such result yet; `gavel status` shows whether events arrive and are judged")


def _confidence(least: float | None, most: float | None) -> ConfidenceRange:
    from storage.clickhouse.query import ConfidenceRange

    try:
        return ConfidenceRange(least, most)
    except ValueError as error:
        fail(f"--min-confidence, --max-confidence: {error}", code=EXIT_USAGE)


def _stored(
    client: Client, database: Database, selection: ResultSelection, limit: int, *, failing: bool
) -> list[VerdictLine]:
    """Return the newest stored verdicts, oldest first."""
    from cli.verdicts import of_stored
    from storage.clickhouse.results import find_results

    rules = _rules(database, selection)
    found = find_results(client, selection, rules, verdict="fail" if failing else None, limit=limit)
    return [of_stored(each) for each in reversed(found)]


def _rules(database: Database, selection: ResultSelection) -> VerdictRule:
    from cli.verdicts import rules_of_team
    from storage.clickhouse.query import PassRule, PassRules

    rules = rules_of_team(database, selection.team_id)
    if selection.evaluation_id is not None:
        return rules.get(selection.evaluation_id, PassRule())
    return PassRules(rules)


def _print(lines: list[VerdictLine], *, as_json: bool) -> None:
    for line in lines:
        typer.echo(json.dumps(line.as_json(), ensure_ascii=True) if as_json else line.styled())


def was_stored_since(line: VerdictLine, *, shown: Sequence[VerdictLine], full: bool) -> bool:
    """Return whether a stored verdict was not stored yet when the newest ones were asked for.

    Args:
        shown: the newest ones, oldest first.
        full: whether there were more of them than were asked for.
    """
    if any((line.evaluation_id, line.event_id) == (each.evaluation_id, each.event_id) for each in shown):
        return False
    return not full or not shown or line.at >= shown[0].at


def _follow(
    settings: Settings,
    client: Client,
    database: Database,
    selection: ResultSelection,
    unseen: Callable[[VerdictLine], bool],
    *,
    failing: bool,
    as_json: bool,
) -> None:
    """Print verdicts as they are written to Kafka, until Ctrl-C.

    Args:
        unseen: says of a stored verdict that it was not shown, because it was stored in the meantime.
    """
    from confluent_kafka import KafkaException

    from cli.verdicts import RulesOfTeams, Tail, read_result
    from processor.events.message import headers_of
    from processor.events.result import RESULT_ID_HEADER
    from processor.kafka import KafkaClients
    from storage.clickhouse.results import existing_ids

    rules = RulesOfTeams(database)
    try:
        with closing(Tail(KafkaClients(settings), [settings.kafka.topics.results], back=_BACK)) as tail:
            while True:
                messages = tail.read()
                known = filter(tail.was_there, messages)
                ids = {id(each): _header(headers_of(each), RESULT_ID_HEADER) for each in known}
                stored = existing_ids(client, set(ids.values())) if ids else set()
                lines = []
                for each in messages:
                    line = read_result(each.value() or b"", rules)
                    if line is None or not is_wanted(line, selection, failing=failing):
                        continue
                    if ids.get(id(each)) not in stored or unseen(line):
                        lines.append(line)
                _print(lines, as_json=as_json)
    except KafkaException as error:
        fail(f"Kafka does not answer: {error.args[0].str()}; `gavel check` tests the connection")
    except KeyboardInterrupt:
        return


def _header(headers: Headers | None, name: str) -> str:
    value = dict(headers or ()).get(name, b"")
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def is_wanted(line: VerdictLine, selection: ResultSelection, *, failing: bool) -> bool:
    """Return whether a verdict that happens now is of the selection, as stored ones are."""
    return (
        line.team_id == selection.team_id
        and selection.evaluation_id in (None, line.evaluation_id)
        and (not failing or line.verdict == "fail")
        and line.confidence in selection.confidence
    )


def _export(
    client: Client,
    database: Database,
    selection: ResultSelection,
    form: str,
    output: Path | None,
    *,
    failing: bool,
) -> None:
    """Write all results of a selection in ClickHouse's own format, a piece at a time."""
    from storage.clickhouse.results import export_results

    pieces = export_results(
        client, selection, _rules(database, selection), form=form, verdict="fail" if failing else None
    )
    if output is None:
        _write(pieces, sys.stdout.buffer)
        return
    with written_or_exit(output, "--output") as file:
        _write(pieces, file)
    say(f"written to {output}")


def _write(pieces: Iterator[bytes], file: BinaryIO) -> None:
    file.writelines(pieces)
    file.flush()
