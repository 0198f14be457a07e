"""`gavel labels`: files are taken line by line, bad lines are named, and the same file adds nothing twice."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import build_app
from config.definitions import parse_draft
from storage.sql.audit import read_team_audit
from storage.sql.engine import open_database
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade

NAME = "Answers the question"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    dsn = f"sqlite:///{tmp_path}/gavel.db"
    monkeypatch.setenv("GAVEL_STORE__DSN", dsn)
    monkeypatch.delenv("GAVEL_CONFIG", raising=False)
    database = open_database(dsn)
    upgrade(database)
    draft = parse_draft({"name": NAME, "evaluation_type": "hog", "evaluation_config": {"source": "return true"}})
    Evaluations(database).create(1, draft, actor=None, now=datetime.now(UTC))
    database.close()
    yield
    assert "GAVEL_STORE__DSN" in os.environ


def labels(*words: str) -> Result:
    return CliRunner().invoke(build_app(), ["labels", *words])


def take(file: Path, *words: str) -> Result:
    return labels("import", str(file), "--evaluation", NAME, *words)


def stored() -> list[dict[str, object]]:
    return [json.loads(line) for line in labels("export").stdout.splitlines()]


def test_a_table_is_imported_once_however_often(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text('target_event_id,verdict,comment,labeller\ne1,pass,"two\nlines",Ann@x.org\ne2,unsure,,\n')
    first = take(file)
    assert (first.exit_code, first.stdout) == (0, "2 labels stored, 0 known before, 0 left out\n")
    assert take(file).stdout == "0 labels stored, 2 known before, 0 left out\n"
    found = stored()
    assert [(each["labeller"], each["comment"]) for each in found] == [("ann@x.org", "two\nlines"), ("import", "")]
    assert {each["source"] for each in found} == {"import"}
    database = open_database(os.environ["GAVEL_STORE__DSN"])
    with database.read() as connection:
        newest = read_team_audit(connection, 1, before=None, limit=10)
    database.close()
    told = [(each.object_type, each.actor, each.changes.get("count")) for each in newest]
    assert told == [("labels", "cli", [None, 2]), ("evaluation", None, None)], "the second import added nothing"


def test_bad_lines_are_named_and_the_others_are_stored(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    lines = [
        "target_event_id,verdict,seconds",
        "e1,true,1",
        "e2,perhaps,",
        "e3,true",
        ",true,",
        "e5,true,-1",
        "e6,no,2",
    ]
    file.write_text("\n".join(lines))
    done = take(file)
    assert done.exit_code == 1
    assert "2 labels stored" in done.stdout
    for number in (3, 4, 5, 6):
        assert f"line {number}:" in done.stderr
    assert [each["target_event_id"] for each in stored()] == ["e1", "e6"]


def test_a_million_lines_are_read_to_the_end_and_the_broken_ones_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    rows = ["x"] * 1_000_000
    for place in (0, 500_000, 999_999):
        rows[place] = f"e{place},true"
    file.write_text("target_event_id,verdict\n" + "\n".join(rows))
    done = take(file)
    assert done.exit_code == 1
    assert done.stdout == "3 labels stored, 0 known before, 999997 left out\n"
    first, *_, last = done.stderr.strip().splitlines()
    assert first.endswith("line 3: has 1 cells, and the header has 2")
    assert last.endswith("999977 more lines were left out")
    assert [each["target_event_id"] for each in stored()] == ["e0", "e500000", "e999999"]


def test_memory_does_not_grow_with_the_lines_of_a_file(tmp_path: Path) -> None:
    def peak_bytes(lines: int) -> int:
        file = tmp_path / f"{lines}.csv"
        file.write_text("target_event_id,verdict,comment\n" + "".join(f"e{n},true,c{n}\n" for n in range(lines)))
        tracemalloc.start()
        done = take(file, "--dry-run")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert f"{lines} labels would be stored" in done.stdout
        return peak

    peak_bytes(10)  # The first import loads modules.
    assert peak_bytes(5_000) < 1.5 * peak_bytes(2_000)


def test_a_quote_that_never_closes_is_one_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text('target_event_id,verdict\ne1,true\ne2,"true\ne3,true\n')
    done = take(file)
    assert done.exit_code == 1
    assert "line 3: is not CSV" in done.stderr


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("target_event_id,verdict,comment\ne1,true,schön\n", encoding=encoding)
    given = ["--encoding", "cp1252"] if encoding == "cp1252" else []
    assert take(file, *given).exit_code == 0
    assert stored()[0]["comment"] == "schön"


def test_text_of_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes("target_event_id,verdict,comment\ne1,true,fine\ne2,true,schön\n".encode("cp1252"))
    done = take(file)
    assert done.exit_code == 1
    assert "line 3: comment is not text in the file's encoding; name another one with --encoding" in done.stderr


def test_json_lines_are_imported_and_what_is_exported_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"target_event_id": "e1", "verdict": {"result": true}, "client_id": "a"}\n\nnot json\n[]\n')
    done = take(file, "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert (report["stored"], report["left_out"]) == (1, 2)
    assert [each["line"] for each in report["problems"]] == [3, 4]
    exported = labels("export", "--format", "csv").stdout
    table = tmp_path / "exported.csv"
    table.write_text(exported)
    assert take(table).stdout == "0 labels stored, 1 known before, 0 left out\n"


def test_a_dry_run_stores_nothing(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("target_event_id,verdict\ne1,true\n")
    assert "1 label would be stored" in take(file, "--dry-run").stdout
    assert stored() == []


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("target,verdict\ne,true\n", [], "line 1: the header lacks target_event_id"),
        ("", [], "line 1: the header lacks target_event_id"),
        ("target_event_id,verdict\n", ["--encoding", "klingon"], "there is no encoding 'klingon'"),
        ("target_event_id,verdict\n", ["--encoding", "utf-16"], "is not utf-16 text"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: str, words: list[str], message: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(content)
    done = take(file, *words)
    assert done.exit_code == 2
    assert message in done.stderr


def test_labels_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("target_event_id,verdict\ne1,true\ne2,false\n")
    take(file)
    shown = labels("list", "--target", "e2")
    assert "e2" in shown.stdout
    assert "1 label" in shown.stdout
    assert [each["target_event_id"] for each in json.loads(labels("list", "--json").stdout)] == ["e2", "e1"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (os.mkfifo, "is a named pipe; name a regular file, or - for standard input"),
        (Path.mkdir, "is a folder; name a file"),
        (lambda path: None, "cannot be read (No such file or directory); correct the path"),
    ],
    ids=["a pipe", "a folder", "nothing"],
)
def test_what_is_not_a_file_is_one_clear_line(tmp_path: Path, make: Callable[[Path], None], problem: str) -> None:
    make(tmp_path / "given.csv")
    done = take(tmp_path / "given.csv")
    assert (done.exit_code, done.stderr) == (2, f"gavel: {tmp_path / 'given.csv'}: {problem}\n")


@pytest.mark.parametrize("name", ["given.csv", "given.jsonl"])
def test_a_gigabyte_without_a_line_is_refused(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**30)
    done = take(tmp_path / name)
    assert done.exit_code == 2
    assert done.stderr == f"gavel: {tmp_path / name}: line 1 is longer than 1048576 characters; split it\n"
    assert stored() == []
