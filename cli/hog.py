"""`gavel hog`: run, check and show Hog programs without Kafka."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inputs import definitions_or_exit, lines_or_exit, row_or_exit, text_or_exit
from cli.terminal import fail
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from datetime import datetime

    from evaluators.hog import HogFailure

BATCH_TIME_LIMIT_S = 10.0
"""Seconds that each line of a batch may take, unless `--time-limit` says otherwise."""

File = Annotated[Path, typer.Argument(help="A Hog source.", show_default=False)]
Event = Annotated[Path | None, typer.Option("--event", help="JSON of an event, as it comes from Kafka.")]
Globals = Annotated[Path | None, typer.Option("--globals", help="JSON object of globals, instead of an event.")]
AllowsNa = Annotated[bool, typer.Option("--allows-na", help="Null is a verdict: not applicable.")]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")]
Batch = Annotated[Path | None, typer.Option("--batch", help="JSON lines of {source, globals, allows_na}; - is stdin.")]
AsVerdict = Annotated[bool, typer.Option("--verdict", help="Hold results to the rules of an evaluator.")]
TimeLimit = Annotated[float, typer.Option("--time-limit", min=0.001, help="Seconds that a program may take.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(name="hog", no_args_is_help=True, help="Run, check and look at deterministic evaluators.")
    group.command("run")(run)
    group.command("check")(check)
    group.command("show")(show)
    app.add_typer(group)


def run(
    file: Annotated[
        Path | None, typer.Argument(help="A Hog source, or the YAML of an evaluation.", show_default=False)
    ] = None,
    event: Event = None,
    globals_file: Globals = None,
    batch: Batch = None,
    allows_na: AllowsNa = False,
    verdict: AsVerdict = False,
    as_json: AsJson = False,
    time_limit: TimeLimit = BATCH_TIME_LIMIT_S,
) -> None:
    """Run a program on an event, or many programs from a file.

    \b
    gavel hog run check.hog --event event.json
    gavel hog run evaluation.yaml --event event.json
    gavel hog run --batch programs.jsonl

    With an event the rules of an evaluator hold: the program must give true, false or, with --allows-na, null.
    A line of a batch gives {"result", "reasoning", "error": {"kind", "message", "line"} | null}; the kinds are
    compile_error, bad_request and those of evaluators/hog/runtime/errors.py.
    """
    if batch is not None:
        if file is not None:
            fail("--batch and FILE exclude each other; give one of them", code=EXIT_USAGE)
        _run_batch(batch, verdict=verdict, time_limit_s=time_limit)
        return
    if file is None:
        fail("name a FILE, or --batch FILE", code=EXIT_USAGE)
    if event is not None and globals_file is not None:
        fail("--event and --globals exclude each other; give one of them", code=EXIT_USAGE)
    source, allowed = _program(file)
    table, now, seed = _globals_of(event, globals_file)
    verdict = verdict or event is not None
    allows_na = allows_na or allowed
    answer = _answer(source, table, now=now, seed=seed, verdict=verdict, allows_na=allows_na, limit_s=time_limit)
    if as_json:
        typer.echo(_dump({key: answer[key] for key in ("result", "reasoning", "error")}))
    else:
        _show_answer(answer, verdict=verdict)
    if answer["error"] is not None:
        raise typer.Exit(EXIT_FAILED)


def check(
    files: Annotated[list[Path], typer.Argument(help="Hog sources.", show_default=False)],
    any_globals: Annotated[bool, typer.Option("--any-globals", help="Accept globals no evaluator has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compile sources and report what is wrong as FILE:LINE:COLUMN, for editors and CI.

    gavel hog check evaluators/*.hog
    """
    from evaluators.hog import EVALUATOR_GLOBALS, HogCompileError, compile_program

    wrong = 0
    for file in files:
        source = text_or_exit(file)
        try:
            compile_program(source, known_globals=None if any_globals else EVALUATOR_GLOBALS)
        except HogCompileError as error:
            wrong += 1
            if as_json:
                place = {"line": error.line, "column": error.column}
                typer.echo(_dump({"file": str(file), "ok": False, **place, "message": error.message}))
            else:
                typer.echo(f"{file}:{error.line}:{error.column}: {error.message}\n{error.excerpt}", err=True)
        else:
            typer.echo(_dump({"file": str(file), "ok": True}) if as_json else f"{file}: ok")
    if wrong:
        raise typer.Exit(EXIT_FAILED)


def show(file: File) -> None:
    """Show the Python code that a source compiles to.

    \b
        gavel hog show check.hog
    """
    from evaluators.hog import HogCompileError, compile_program

    try:
        typer.echo(compile_program(text_or_exit(file)).emitted())
    except HogCompileError as error:
        fail(f"{file}: {error}")


def _program(file: Path) -> tuple[str, bool]:
    """Return the Hog source of a file, and whether null is a verdict: a definition in YAML says so itself."""
    if file.suffix not in (".yaml", ".yml", ".json"):
        return text_or_exit(file), False
    drafts = [item.draft for item in definitions_or_exit([file]) if item.draft.source is not None]
    if len(drafts) != 1:
        fail(f"{file}: holds {len(drafts)} Hog evaluations; name a file with one", code=EXIT_USAGE)
    return drafts[0].source or "", drafts[0].output_config.allows_na


def _globals_of(event: Path | None, globals_file: Path | None) -> tuple[Mapping[str, Any], datetime, str]:
    """Return the globals, the event's time and its uuid."""
    from evaluators.hog import GenerationGlobals
    from evaluators.hog.program import EPOCH
    from processor.events.generation import to_generation

    if event is not None:
        generation = to_generation(row_or_exit(event))
        return GenerationGlobals(generation), generation.timestamp, generation.uuid
    if globals_file is None:
        return {}, EPOCH, ""
    try:
        table = json.loads(text_or_exit(globals_file))
    except (ValueError, RecursionError) as error:
        fail(f"{globals_file}: is not JSON: {error}; write an object of globals", code=EXIT_USAGE)
    if not isinstance(table, dict):
        fail(f"{globals_file}: is not an object; write an object of globals", code=EXIT_USAGE)
    return table, EPOCH, ""


def _run_batch(batch: Path, *, verdict: bool, time_limit_s: float) -> None:
    """Answer each line of a file by one line, in order. A bad line gets an error as its answer."""
    for line in lines_or_exit(batch):
        answer = _answer_line(line, verdict=verdict, time_limit_s=time_limit_s)
        sys.stdout.write(_dump({key: answer[key] for key in ("result", "reasoning", "error")}) + "\n")
        sys.stdout.flush()


def _answer_line(line: bytes, *, verdict: bool, time_limit_s: float) -> dict[str, Any]:
    from evaluators.hog.program import EPOCH

    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        return _failed("bad_request", f"The line is not JSON: {error}")
    if not isinstance(request, dict) or not isinstance(request.get("source"), str):
        return _failed("bad_request", "The line must be an object with a string `source`")
    table = request.get("globals")
    if table is not None and not isinstance(table, dict):
        return _failed("bad_request", "`globals` must be an object")
    return _answer(
        request["source"],
        table or {},
        now=EPOCH,
        seed="",
        verdict=verdict,
        allows_na=bool(request.get("allows_na")),
        limit_s=time_limit_s,
    )


def _failed(kind: str, message: str, line: int | None = None, reasoning: str = "", text: str = "") -> dict[str, Any]:
    error = {"kind": kind, "message": message, "line": line}
    return {"result": None, "reasoning": reasoning, "error": error, "text": text or message, "na": False}


def _failure(failure: HogFailure) -> dict[str, Any]:
    prints = getattr(failure, "prints", ())
    return _failed(failure.kind, failure.message, failure.line, "\n".join(prints), str(failure))


def _answer(
    source: str,
    table: Mapping[str, Any],
    *,
    now: datetime,
    seed: str,
    verdict: bool,
    allows_na: bool,
    limit_s: float,
) -> dict[str, Any]:
    """Compile and run one program."""
    from evaluators.hog import HogFailure, compile_program
    from evaluators.hog.evaluator import verdict_of
    from evaluators.hog.runtime.copies import to_json

    try:
        done = compile_program(source).run(table, now=now, uuid_seed=seed, time_limit_s=limit_s)
        judged = verdict_of(done.value, done.prints, allows_na=allows_na) if verdict else None
        value = to_json(done.value) if judged is None else judged.result
    except HogFailure as failure:
        return _failure(failure)
    na = judged is not None and not judged.applicable
    return {"result": value, "reasoning": "\n".join(done.prints), "error": None, "text": "", "na": na}


def _dump(answer: dict[str, Any]) -> str:
    """Return JSON in ASCII, so that any terminal and half surrogate pairs alike get through."""
    try:
        return json.dumps(answer)
    except ValueError:  # an integer of more than 4300 digits
        return json.dumps({**answer, "result": None})


def _show_answer(answer: dict[str, Any], *, verdict: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    if answer["reasoning"]:
        typer.echo(answer["reasoning"].encode("utf-8", "replace").decode())
    if answer["error"] is not None:
        fail(f"{answer['error']['kind']}: {answer['text']}")
    if not verdict:
        typer.echo(_dump({"result": answer["result"]}))
        return
    word, style = ("not applicable", "yellow") if answer["na"] else ("pass", "green")
    if answer["result"] is False:
        word, style = "fail", "red"
    Console().print(Text(word, style=style))
