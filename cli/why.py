"""`gavel why` and `gavel match`: what conditions make of an event, offline or from the stores."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli.clickhouse import connected
from cli.decisions import decided, decisions_as_json, print_decisions
from cli.inputs import lines_or_exit, names_a_file, row_or_exit, target_or_exit
from cli.running import beside_or_exit
from cli.terminal import ConfigOption, JsonOption, console, fail, opened_store, printable
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from conditions import EventRow, Explanation, Target

BEYOND = "(a number beyond a float's range)"
TOO_DEEP = "(nested too deeply to be shown)"
"""The texts that stand for a value that JSON, or a person, could not read."""

TeamOption = Annotated[int, typer.Option("--team", help="Team that an ID or a UUID belongs to.", min=0, max=2**63 - 1)]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("why")(why)
    app.command("match")(match)


def why(
    evaluation: Annotated[str, typer.Option(help="File with `conditions` (YAML or JSON), or an evaluation's id.")],
    event: Annotated[str, typer.Option(help="File with an event's row (JSON), or an event's uuid.")],
    team: TeamOption = 1,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain why an evaluation runs on an event, or does not: each set, each filter, and the rollout.

    With two files nothing else is needed: no Kafka, no store, no settings.

    \b
        gavel why --evaluation evaluation.yaml --event event.json
        gavel why --evaluation 0190… --event 01a2… --team 7
    """
    from conditions import ConditionError, RowError, explain
    from evaluators.hog import compile_expression

    target = target_or_exit(Path(evaluation)) if names_a_file(evaluation) else _stored(evaluation, team, config)
    row = row_or_exit(Path(event)) if names_a_file(event) else _archived(event, team, config)
    stored = not names_a_file(evaluation) and not names_a_file(event)
    decisions = decided(row.team_id, target.id, row.uuid, config) if stored else []
    try:
        explanation = explain(target, row, compile_expression=compile_expression)
    except RowError as error:
        fail(f"{event}: {error}", code=EXIT_USAGE)
    except ConditionError as error:
        fail(f"{evaluation}: {error}", code=EXIT_USAGE)
    if as_json:
        answer = _as_json(target, row, explanation)
        typer.echo(json.dumps({**answer, "decisions": decisions_as_json(decisions)}, allow_nan=False))
    else:
        _print(target, row, explanation)
        print_decisions(decisions)


def match(
    batch: Annotated[str, typer.Option(help="File of JSON lines {conditions, event}; - reads standard input.")],
) -> None:
    """Print the outcome of each line {conditions, event} as a JSON line, in the same order.

    A line that cannot be read gives the outcome "error" and its message; the others go on.

    \b
        gavel match --batch lines.jsonl
    """
    for line in lines_or_exit(Path(batch)):
        sys.stdout.write(json.dumps(_match_line(line), allow_nan=False) + "\n")


def _match_line(line: bytes) -> dict[str, Any]:
    from conditions import ConditionError, RowError, Target, explain, parse_conditions
    from conditions.row import decode_json, read_row
    from evaluators.hog import compile_expression

    answer: dict[str, Any] = {"outcome": "error", "condition_id": None, "rollout": None, "error": None}
    try:
        given = decode_json(line, "not_json", "the line")
        if not isinstance(given, dict) or "event" not in given:
            raise RowError("not_a_line", 'the line is not {"conditions": […], "event": {…}}')
        conditions = parse_conditions(given.get("conditions"), compile_expression=compile_expression)
        event = given["event"]
        row = read_row({"team_id": 0, **event} if isinstance(event, dict) else event)
        found = explain(Target(str(given.get("id", "")), conditions), row, compile_expression=compile_expression)
    except (ConditionError, RowError) as error:
        return {**answer, "error": str(error)}
    problem = _first_error(found) if found.outcome == "error" else None
    return {"outcome": found.outcome, "condition_id": found.condition_id, "rollout": found.rollout, "error": problem}


def _first_error(found: Explanation) -> str:
    from conditions.interpreter import first_error

    return first_error(found)


def _stored(evaluation_id: str, team: int, config: Path | None) -> Target:
    from conditions import Target
    from config.definition_errors import DefinitionError
    from storage.sql.evaluation_changes import EvaluationNotFound
    from storage.sql.evaluations import Evaluations

    with opened_store(beside_or_exit(config)) as database:
        try:
            found = Evaluations(database).get(team, evaluation_id)
        except EvaluationNotFound as error:
            fail(f"{error}, and there is no such file; list the ids with `gavel evaluations list`", code=EXIT_USAGE)
        except DefinitionError as error:
            fail(f"evaluation {evaluation_id} in the store is damaged: {error}; save it again")
    return Target(str(found.id), tuple(found.conditions), enabled=found.enabled, cohort=found.sampling_cohort)


def _archived(uuid: str, team: int, config: Path | None) -> EventRow:
    from storage.clickhouse.rows import find_row

    settings = beside_or_exit(config)
    missing = f"the archive of team {team} has no generation {uuid}, and there is no such file"
    if not _is_uuid(uuid):
        # An embedded archive is a folder that is made when it is opened, so a typing error must not open it.
        fail(missing, code=EXIT_USAGE)
    with connected(settings) as client:
        found = find_row(client, team, uuid, event="$ai_generation")
    if found is None:
        fail(missing, code=EXIT_USAGE)
    return found


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _as_json(target: Target, row: EventRow, found: Explanation) -> dict[str, Any]:
    answer = {"evaluation_id": target.id, "event_uuid": row.uuid, "cohort": target.cohort, **_plain(found)}
    if found.outcome == "error":
        answer["error"] = _first_error(found)
    return answer


def _plain(found: Explanation) -> dict[str, Any]:
    """Return an explanation as plain data, filters as they are written in a definition."""
    sets = [{**_fields_of(trace), "members": _plain_members(trace.members)} for trace in found.sets]
    return {**_fields_of(found), "sets": sets}


def _plain_members(members: Any) -> list[dict[str, Any]]:
    from conditions.interpreter import GroupTrace

    plain = []
    for member in members:
        if isinstance(member, GroupTrace):
            plain.append({**_fields_of(member), "members": _plain_members(member.members)})
        else:
            written = _showable(member.filter.model_dump(exclude_unset=True))
            plain.append({**_fields_of(member), "filter": written, "value": _showable(member.value)})
    return plain


def _fields_of(trace: Any) -> dict[str, Any]:
    return {field.name: getattr(trace, field.name) for field in fields(trace)}


def _showable(value: Any) -> Any:
    """Return a value that JSON can write. A value without a JSON form, such as the 1e400 of an event, becomes a text.

    It does not become null, because null stands for an absent field.
    """
    try:
        return _finite(value)
    except RecursionError:
        return TOO_DEEP


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return BEYOND
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _print(target: Target, row: EventRow, found: Explanation) -> None:
    from rich.markup import escape
    from rich.table import Table

    def text(words: str) -> str:
        return escape(printable(words))

    screen = console()
    colour = {"matched": "green", "error": "red"}.get(found.outcome, "yellow")
    winner = f" by set {text(repr(found.condition_id))}" if found.condition_id is not None else ""
    screen.print(f"[bold {colour}]{found.outcome}[/]{winner}: evaluation {text(target.id)}, event {text(row.uuid)}")
    screen.print(f"rollout number {found.rollout:.2f} (cohort {target.cohort})")
    if row.event != "$ai_generation":
        screen.print(f"[yellow]The event is {text(repr(row.event))}; the stream runs only $ai_generation.[/]")
    table = Table("set", "filter", "value", "outcome")
    for trace in found.sets:
        place = "in" if trace.sampled_in else "out"
        table.add_row(text(trace.id), f"rollout {trace.rollout_percentage:g} %", f"{found.rollout:.2f}", place)
        for cells in _rows_of(trace.members, 0):
            table.add_row("", *(text(cell) for cell in cells))
    screen.print(table)


def _rows_of(members: Any, depth: int) -> Iterator[tuple[str, str, str]]:
    from conditions.checks import shown
    from conditions.interpreter import GroupTrace

    for member in members:
        indent = "  " * depth
        if isinstance(member, GroupTrace):
            yield f"{indent}{member.type}", "", member.outcome
            yield from _rows_of(member.members, depth + 1)
        else:
            node = member.filter
            wanted = "" if node.value is None else f" {shown(_showable(node.value))}"
            text = f"hogql {node.key}" if node.type == "hogql" else f"{node.type} {node.key} {node.operator}{wanted}"
            yield f"{indent}{text}", shown(_showable(member.value)), member.error or member.outcome
