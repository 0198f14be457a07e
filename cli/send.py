"""`gavel send`: events in files to a front door."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import lines_or_exit
from cli.running import running_or_exit
from cli.terminal import ConfigOption, JsonOption, fail, plural, print_json, printable, progress, say, settings_or_exit
from processor.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE

if TYPE_CHECKING:
    from cli.sending import Report, Sender
    from config.settings import Settings

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("send")(send)


def send(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files of JSON lines; - reads standard input.", metavar="FILE…")
    ] = None,
    examples: Annotated[
        bool, typer.Option("--examples", help="Send the generations that come with Gavel, moved to the last day.")
    ] = False,
    url: Annotated[
        str | None, typer.Option("--url", envvar="GAVEL_URL", help="Front door; that of `gavel up` otherwise.")
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", envvar="GAVEL_TOKEN", help="Project token; that of `gavel up` otherwise.")
    ] = None,
    rate: Annotated[float | None, typer.Option("--rate", min=0.1, help="Most events a second.")] = None,
    retries: Annotated[int, typer.Option("--retries", min=0, max=1000, help="Tries of a request after the first.")] = 8,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send events to the front door: rows as Kafka carries them, events of SDKs, or OTLP/JSON requests, one per line.

    Lines that cannot be sent are named with their number, and the others are sent. The exit code is 0 if all lines
    were taken, and 1 if some were not. A line that is sent again is the same event.

    \b
        gavel send --examples --rate 50
        gavel send generations.jsonl
        zcat *.jsonl.gz | gavel send - --url https://gavel.internal --token gvt_…
    """
    from cli.sending import Sender, SenderRefused

    paths = files or []
    if not paths and not examples:
        fail("name a file of JSON lines, - for standard input, or --examples", code=EXIT_USAGE)
    door, key = _door(settings_or_exit(config), url, token)
    began_s = time.monotonic()
    sender = Sender(door, key, rate=rate, retries=retries, sleep=time.sleep, clock=time.monotonic, on_wait=_say_wait)
    code, problem = 0, None
    try:
        _work(sender, paths, datetime.now(UTC) if examples else None)
    except SenderRefused as error:
        code, problem = EXIT_FAILED, str(error)
    except KeyboardInterrupt:
        code, problem = EXIT_INTERRUPTED, "interrupted; the lines that were not sent can be sent again"
    finally:
        sender.close()
    _tell(sender.report, time.monotonic() - began_s, problem, as_json=as_json)
    if code or sender.report.refused:
        raise typer.Exit(code or EXIT_FAILED)


def _work(sender: Sender, paths: Sequence[Path], examples_at: datetime | None) -> None:
    total = None if any(str(path) == "-" for path in paths) else sum(1 for _ in _lines(paths, examples_at))
    with progress("sending", total) as advance:
        for done in sender.send(_lines(paths, examples_at)):
            advance(done, total)


def _lines(paths: Sequence[Path], examples_at: datetime | None) -> Iterator[tuple[str, bytes]]:
    """Yield place and content of every line that is not blank, and of the examples as of `examples_at`, if given."""
    for path in paths:
        for number, line in enumerate(lines_or_exit(path, blank=True), 1):
            if line.strip():
                yield f"{path}:{number}", line
    if examples_at is not None:
        from examples.today import generations_of_today

        yield from generations_of_today(examples_at)


def _door(settings: Settings, url: str | None, token: str | None) -> tuple[str, str]:
    """Return address and token: as given, or those of the `gavel up` that runs here."""
    running = running_or_exit(settings)
    address = url or (running.events if running is not None else "")
    if not address:
        fail(
            f"no `gavel up` runs on {settings.data_dir}; start it, or name a front door with --url and --token",
            code=EXIT_USAGE,
        )
    if not address.startswith(("http://", "https://")):
        fail(f"--url: {address!r} does not begin with http:// or https://", code=EXIT_USAGE)
    kept = Path(settings.data_dir) / "project_token"
    if token is None and url is None and kept.is_file():
        token = kept.read_text(encoding="ascii", errors="replace").strip()
    if not token:
        fail("give a project token with --token or GAVEL_TOKEN; `gavel tokens create` makes one", code=EXIT_USAGE)
    return address.rstrip("/"), token


def _say_wait(reason: str, wait_s: float) -> None:
    say(f"{reason}; trying again in {wait_s:.1f} s")


def _tell(report: Report, seconds: float, problem: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "sent": report.sent,
                "refused": report.refused,
                "requests": report.requests,
                "retries": report.retries,
                "seconds": round(seconds, 3),
                "problem": problem,
                "refused_lines": [{"line": place, "problem": text} for place, text in report.problems],
            }
        )
        return
    for place, text in report.problems[:_SHOWN]:
        say(f"{printable(place)}: {printable(text)}")
    if report.refused > _SHOWN:
        say(f"… and {report.refused - _SHOWN} more; --json names them")
    if problem is not None:
        say(problem)
    typer.echo(
        f"{plural(report.sent, 'event')} sent in {seconds:.1f} s ({report.sent / max(seconds, 0.001):,.0f}/s), "
        f"{plural(report.refused, 'line')} not taken."
    )
