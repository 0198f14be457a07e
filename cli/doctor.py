"""`gavel doctor`: everything that a bug report needs, in one archive without secrets."""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.outputs import written_or_exit
from cli.status import watched_or_exit
from cli.terminal import ConfigOption, fail, say
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from cli.overview import Overview
    from config.settings import Settings

_LOG_BYTES = 2 * 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Archive to write; gavel-doctor-TIME.tar.gz otherwise.")
    ] = None,
    log: Annotated[
        list[Path] | None, typer.Option("--log", help="Log file whose end is added; may be repeated.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Collect settings without secrets, versions, topics, group states and the last warnings into one archive.

    Read it before you send it: names of evaluations and hosts are in it.

    \b
        gavel doctor
        gavel doctor -o report.tar.gz --log gavel.log
    """
    from cli.overview import Gatherer
    from storage.sql.engine import open_store

    now = datetime.now(UTC)
    path = output or Path(f"gavel-doctor-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    logs = list(_logs(log or ()))
    settings = watched_or_exit(config)
    with closing(open_store(settings)) as database, closing(Gatherer(settings, database)) as gatherer:
        seen = gatherer.gather()
    _write(path, now, [*_parts(config, settings, seen), *logs])
    typer.echo(str(path))
    say("read it before you send it: names of evaluations and hosts are in it")


def _parts(config: Path | None, settings: Settings, seen: Overview) -> Iterator[tuple[str, bytes]]:
    from cli.findings import find_problems
    from cli.status_view import as_json
    from config.settings.reference import describe_settings
    from config.settings.safety import cautions

    rows = [{"setting": row.name, "value": row.value, "source": row.source} for row in describe_settings(config)]
    yield "settings.json", _json({"settings": rows, "cautions": cautions(settings)})
    yield "versions.json", _json(_versions())
    yield "status.json", _json(as_json(seen))
    kafka = seen.kafka
    if kafka is not None:
        yield "kafka.json", _json({"partitions": kafka.partitions, "missing": kafka.missing, "lag": kafka.lag})
    lines = [f"{each.severity}: {each.where}: {each.what} -> {each.remedy}" for each in find_problems(seen)]
    yield "problems.txt", "\n".join([*lines, ""]).encode()


def _versions() -> dict[str, Any]:
    return {
        "python": sys.version,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "packages": {each.metadata["Name"]: each.version for each in sorted(distributions(), key=lambda d: d.name)},
    }


def _logs(files: list[Path] | tuple[()]) -> Iterator[tuple[str, bytes]]:
    from config.given import UnreadableFile, opened_given

    for number, path in enumerate(files, 1):
        try:
            with opened_given(path) as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _LOG_BYTES))
                yield f"logs/{number}-{path.name}", file.read(_LOG_BYTES)
        except UnreadableFile as error:
            fail(f"--log: {error}", code=EXIT_USAGE)
        except OSError as error:
            fail(f"--log: {path} cannot be read ({error.strerror}); name a regular file", code=EXIT_USAGE)


def _write(path: Path, now: datetime, parts: list[tuple[str, bytes]]) -> None:
    """Write the archive, readable by its owner only."""
    with (
        written_or_exit(path, "--output", private=True) as file,
        tarfile.open(fileobj=file, mode="w:gz") as archive,
    ):
        for name, content in parts:
            entry = tarfile.TarInfo(f"gavel-doctor/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(now.timestamp()), 0o600
            archive.addfile(entry, io.BytesIO(content))


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str).encode("utf-8", "replace")
