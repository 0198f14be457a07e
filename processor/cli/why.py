"""`gavel why` and `gavel match`: what conditions make of an event, offline or from the stores."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from processor.cli.run import EXIT_FAILED, EXIT_USAGE, ConfigOption, JsonOption, settings_or_exit

if TYPE_CHECKING:
    from conditions import EventRow, Explanation, Target

BEYOND = "(a number beyond a float's range)"
TOO_DEEP = "(nested too deeply to be shown)"
"""What stands for a value that JSON, or a person, could not read."""

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
    """
    from conditions import ConditionError, RowError, explain
    from evaluators.hog import compile_expression

    target = _target_of_file(Path(evaluation)) if _is_file(evaluation) else _stored(evaluation, team, config)
    row = _row_of_file(Path(event)) if _is_file(event) else _archived(event, team, config)
    try:
        explanation = explain(target, row, compile_expression=compile_expression)
    except RowError as error:
        _fail(f"{event}: {error}", EXIT_FAILED)
    except ConditionError as error:
        _fail(f"{evaluation}: {error}", EXIT_USAGE)
    if as_json:
        typer.echo(json.dumps(_as_json(target, row, explanation), allow_nan=False))
    else:
        _print(target, row, explanation)


def match(
    batch: Annotated[str, typer.Option(help="File of JSON lines {conditions, event}; - reads standard input.")],
) -> None:
    """Print for each line {conditions, event} what becomes of it, as a JSON line, in the same order.

    A line that cannot be read gives the outcome "error" and its message; the others go on.
    """
    try:
        source = sys.stdin.buffer if batch == "-" else Path(batch).open("rb")  # noqa: SIM115  # closed below
    except OSError as error:
        _fail(
            f"{batch} cannot be read ({error.strerror}); give a file of JSON lines, or - for standard input", EXIT_USAGE
        )
    with source:
        try:
            for line in source:
                if line.strip():
                    sys.stdout.write(json.dumps(_match_line(line), allow_nan=False) + "\n")
        except OSError as error:
            _fail(f"{batch} cannot be read ({error.strerror})", EXIT_USAGE)


def _match_line(line: bytes) -> dict[str, Any]:
    from conditions import ConditionError, RowError, Target, explain, parse_conditions
    from conditions.row import decode_json
    from evaluators.hog import compile_expression

    answer: dict[str, Any] = {"outcome": "error", "condition_id": None, "rollout": None, "error": None}
    try:
        given = decode_json(line, "not_json", "the line")
        if not isinstance(given, dict) or "event" not in given:
            raise RowError("not_a_line", 'the line is not {"conditions": […], "event": {…}}')
        conditions = parse_conditions(given.get("conditions"), compile_expression=compile_expression)
        row = _row_of(given["event"])
        found = explain(Target(str(given.get("id", "")), conditions), row, compile_expression=compile_expression)
    except (ConditionError, RowError) as error:
        return {**answer, "error": str(error)}
    problem = _first_error(found) if found.outcome == "error" else None
    return {"outcome": found.outcome, "condition_id": found.condition_id, "rollout": found.rollout, "error": problem}


def _first_error(found: Explanation) -> str:
    from conditions.interpreter import first_error

    return first_error(found)


def _row_of(event: object) -> EventRow:
    """Return the row of an event given as an object; a bare one need have no team."""
    from conditions.row import read_row

    return read_row({"team_id": 0, **event} if isinstance(event, dict) else event)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # such as a name longer than names can be: then it is an id
        return False


def _target_of_file(path: Path) -> Target:
    import yaml

    from conditions import ConditionError, Target, parse_conditions
    from evaluators.hog import compile_expression

    class Loader(yaml.SafeLoader):
        """Reads dates as the text that they are, as JSON does."""

    Loader.yaml_implicit_resolvers = {
        first: [entry for entry in entries if entry[0] != "tag:yaml.org,2002:timestamp"]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        document = yaml.load(path.read_text("utf-8"), Loader)  # noqa: S506  # a SafeLoader
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # ValueError: an endless number
        _fail(f"{path} is no YAML or JSON: {str(error).splitlines()[0]}", EXIT_USAGE)
    if not isinstance(document, dict):
        _fail(f"{path} must hold one evaluation: an object with `conditions`", EXIT_USAGE)
    cohort = document.get("sampling_cohort", "shared")
    if cohort not in ("shared", "independent"):
        _fail(f"{path}: sampling_cohort must be shared or independent", EXIT_USAGE)
    try:
        conditions = parse_conditions(document.get("conditions"), compile_expression=compile_expression)
    except ConditionError as error:
        _fail(f"{path}: {error}", EXIT_USAGE)
    identity = str(document.get("id") or document.get("name") or path.stem)
    return Target(identity, conditions, enabled=document.get("enabled", True) is not False, cohort=cohort)


def _row_of_file(path: Path) -> EventRow:
    from conditions import RowError
    from conditions.row import decode_json

    try:
        return _row_of(decode_json(path.read_bytes(), "not_json", "the file"))
    except (OSError, RowError) as error:
        _fail(f"{path}: {error}; it must hold one event row as a JSON object", EXIT_USAGE)


def _stored(evaluation_id: str, team: int, config: Path | None) -> Target:
    from conditions import Target
    from config.definitions import DefinitionError
    from config.store.engine import StoreError, open_store
    from config.store.evaluations import EvaluationNotFound, Evaluations

    database = open_store(settings_or_exit(config))
    try:
        found = Evaluations(database).get(team, evaluation_id)
    except EvaluationNotFound as error:
        _fail(f"{error}, and there is no such file; list the ids with `gavel evaluations list`", EXIT_USAGE)
    except StoreError as error:
        _fail(f"{error}; check store.dsn with `gavel check`", EXIT_FAILED)
    except DefinitionError as error:
        _fail(f"evaluation {evaluation_id} in the store is damaged: {error}; save it anew", EXIT_FAILED)
    finally:
        database.close()
    return Target(str(found.id), tuple(found.conditions), enabled=found.enabled, cohort=found.sampling_cohort)


def _archived(uuid: str, team: int, config: Path | None) -> EventRow:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from config.clickhouse.connect import connect
    from config.clickhouse.errors import ClickHouseProblem
    from config.clickhouse.rows import find_row

    settings = settings_or_exit(config)
    missing = f"the archive of team {team} has no generation {uuid}, and there is no such file"
    if not _encodable(uuid):
        _fail(missing, EXIT_USAGE)
    try:
        client = connect(settings.clickhouse.dsn.get_secret_value())
        try:
            found = find_row(client, team, uuid, event="$ai_generation")
        finally:
            client.close()
    except ClickHouseProblem as error:
        _fail(f"{error}; check clickhouse.dsn with `gavel check`", EXIT_FAILED)
    except ClickHouseError as error:
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        _fail(f"the archive cannot be read ({problem}); see `gavel check`, make tables with `gavel init`", EXIT_FAILED)
    if found is None:
        _fail(missing, EXIT_USAGE)
    return found


def _encodable(text: str) -> bool:
    """Tell whether a text has a UTF-8 form: an argument of other bytes has none."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


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
    """Return a value as JSON can write it: what has no JSON form, such as the 1e400 of an event, becomes a text.

    Text rather than null, which is what a field that is absent shows.
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
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    def text(words: str) -> str:
        return escape(_printable(words))

    console = Console()
    colour = {"matched": "green", "error": "red"}.get(found.outcome, "yellow")
    winner = f" by set {text(repr(found.condition_id))}" if found.condition_id is not None else ""
    console.print(f"[bold {colour}]{found.outcome}[/]{winner}: evaluation {text(target.id)}, event {text(row.uuid)}")
    console.print(f"rollout number {found.rollout:.2f} (cohort {target.cohort})")
    if row.event != "$ai_generation":
        console.print(f"[yellow]The event is {text(repr(row.event))}; the stream runs only $ai_generation.[/]")
    table = Table("set", "filter", "value", "outcome")
    for trace in found.sets:
        place = "in" if trace.sampled_in else "out"
        table.add_row(text(trace.id), f"rollout {trace.rollout_percentage:g} %", f"{found.rollout:.2f}", place)
        for cells in _rows_of(trace.members, 0):
            table.add_row("", *(text(cell) for cell in cells))
    console.print(table)


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


def _printable(text: str) -> str:
    """Return text as a terminal can take it: half a surrogate pair, and control characters, are written out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(message.encode("utf-8", "backslashreplace").decode(), err=True)
    raise typer.Exit(code)
