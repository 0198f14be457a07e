"""Files of labels: CSV or JSON lines, read line by line, with the number of every line that cannot be taken."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any

from config.given import opened_given
from config.label_verdicts import BadVerdict, read_short_verdict, read_verdict
from config.outputs import OutputConfig
from config.storable import is_storable
from storage.sql.labels import MAX_COMMENT_CHARS, NewLabel

MAX_LINE_CHARS = 1024 * 1024
REQUIRED = ("target_event_id", "verdict")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_MAX_ID_CHARS, _MAX_LABELLER_CHARS, _MAX_SECONDS = 200, 254, 86_400.0


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that makes no label. `number` counts from 1, the header of a table included."""

    number: int
    problem: str


@dataclass(frozen=True, slots=True)
class Numbered:
    """A label with the number of its line."""

    number: int
    label: NewLabel


@dataclass(frozen=True, slots=True)
class Asked:
    """The question that the labels of a file answer, and the labeller of those that name nobody."""

    evaluation_id: str
    question: int
    output: OutputConfig
    labeller: str


class NotATable(ValueError):
    """The file cannot be read further: its header lacks a column, its encoding is unknown, or a line is too long."""


def read_labels(path: Path, asked: Asked, *, encoding: str | None) -> Iterator[Numbered | BadLine]:
    """Yield the labels of a file in their order, and the lines that make none. A line at a time is in memory.

    Args:
        path: `-` is standard input, which is CSV. Names that end with .jsonl, .ndjson or .json are JSON lines.
        encoding: without one the first bytes of the file decide, or it is UTF-8.

    Raises:
        NotATable: the header of a table lacks a column, the encoding is unknown, or a line is too long.
        UnreadableFile: the path names no file that can be read.
    """
    is_table = path.suffix.lower() not in (".jsonl", ".ndjson", ".json")
    with opened_given(path) as file:
        # A byte that the encoding does not know becomes half of a surrogate pair, which `_check` finds.
        text = TextIOWrapper(file, encoding=_encoding(file, encoding), errors="surrogateescape", newline="")
        lines = _bounded_lines(text)
        try:
            for number, record in _table(lines) if is_table else _json_lines(lines):
                try:
                    yield record if isinstance(record, BadLine) else Numbered(number, _label(record, asked))
                except (BadVerdict, ValueError) as error:
                    yield BadLine(number, str(error))
        except UnicodeError as error:
            raise NotATable(f"is not {text.encoding} text; name another one with --encoding") from error


def _bounded_lines(text: TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE_CHARS + 1):
        number += 1
        if len(line) > MAX_LINE_CHARS:
            raise NotATable(f"line {number} is longer than {MAX_LINE_CHARS} characters; split it")
        yield line


def _encoding(file: BufferedReader, given: str | None) -> str:
    if given is not None:
        try:
            return codecs.lookup(given).name
        except LookupError as error:
            raise NotATable(f"there is no encoding {given!r}; name one such as cp1252 or utf-16") from error
    start = file.peek(4)[:4]
    return next((name for mark, name in _BOMS if start.startswith(mark)), "utf-8")


def _table(lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any] | BadLine]]:
    reader = csv.reader(lines, strict=True)
    header = [name.strip().lower() for name in next(reader, [])]
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        shown = ", ".join(header)[:200] or "nothing"
        raise NotATable(f"line 1: the header lacks {missing[0]} and has {shown}; name the columns in the first line")
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, BadLine(number, f"is not CSV ({error}); quote cells that hold quotes or line ends")
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            yield number, BadLine(number, f"has {len(cells)} cells, and the header has {len(header)}")
            continue
        yield number, {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}


def _json_lines(lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any] | BadLine]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            yield number, BadLine(number, "is not JSON; write one object per line")
            continue
        if not isinstance(record, dict):
            yield number, BadLine(number, 'is not an object; write {"target_event_id": …, "verdict": …}')
            continue
        yield number, record


def _label(record: Mapping[str, Any], asked: Asked) -> NewLabel:
    for name in REQUIRED:
        if record.get(name) in (None, ""):
            raise ValueError(f"{name} is missing")
    _check(record)
    question = record.get("question")
    if question not in (None, "", asked.question, str(asked.question)):
        raise ValueError(
            f"the label answers question {str(question)[:20]}, and the evaluation asks {asked.question} now"
        )
    raw = record["verdict"]
    verdict = read_short_verdict(raw, asked.output) if isinstance(raw, str) else read_verdict(raw, asked.output)
    target = _text(record, "target_event_id", _MAX_ID_CHARS)
    labeller = _text(record, "labeller", _MAX_LABELLER_CHARS).lower() or asked.labeller
    comment = _text(record, "comment", MAX_COMMENT_CHARS)
    client_id = _text(record, "client_id", 100) or _identity(asked, target, labeller, verdict, comment)
    return NewLabel(
        evaluation_id=asked.evaluation_id,
        question=asked.question,
        target_event_id=target,
        verdict=verdict,
        labeller=labeller,
        source="import",
        comment=comment,
        seconds=_seconds(record.get("seconds")),
        after_reveal=_flag(record.get("after_reveal")),
        client_id=client_id,
    )


def _check(record: Mapping[str, Any]) -> None:
    for name, value in record.items():
        if isinstance(value, str) and not is_storable(value):
            raise ValueError(f"{name[:100]} is not text in the file's encoding; name another one with --encoding")


def _text(record: Mapping[str, Any], name: str, longest: int) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text")
    if len(value) > longest:
        raise ValueError(f"{name} has {len(value)} characters; at most {longest} are taken")
    # A table that was exported marks cells that a spreadsheet would calculate.
    return value[1:] if value[:2] in ("'=", "'+", "'-", "'@") else value


def _seconds(value: object) -> float | None:
    if value in (None, ""):
        return None
    try:
        seconds = float(str(value))
    except ValueError:
        raise ValueError("seconds must be a number") from None
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ValueError(f"seconds must be from 0 to {_MAX_SECONDS:g}")
    return seconds


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value or "").strip().lower()
    if text not in ("", "true", "false", "1", "0"):
        raise ValueError("after_reveal must be true or false")
    return text in ("true", "1")


def _identity(asked: Asked, target: str, labeller: str, verdict: Mapping[str, Any], comment: str) -> str:
    """Return a client id by which the same line of the same file is known when it is imported again."""
    text = json.dumps([asked.evaluation_id, asked.question, target, labeller, verdict, comment], sort_keys=True)
    return f"import-{sha256(text.encode()).hexdigest()[:32]}"
